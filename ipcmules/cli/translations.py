"""From options as a uWSGI configuration writes them to ours: what uWSGI accepts is accepted.

Each option becomes none, one or several of ours, and perhaps a note of what will be missing. Knows uWSGI's
leniency (core/uwsgi.c) and the table of our options; reads no files.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ipcmules.cli import readers
from ipcmules.cli.options import OPTIONS
from ipcmules.compat import legions
from ipcmules.compat.ini import Entry
from ipcmules.errors import ConfigError
from ipcmules.options import daemons
from ipcmules.options.caches import REMOTE
from ipcmules.options.events import ALARMS
from ipcmules.options.hooks import ACTIONS
from ipcmules.options.metrics import COLLECTED


class Translated(NamedTuple):
    """Our options by name and text, and what will be missing ('' for nothing)."""

    options: list[tuple[str, str]]
    missing: str = ""


def translate(entry: Entry, entries: Sequence[Entry]) -> Translated:
    """What becomes of an option of a [uwsgi] section, among all the others."""
    special = _SPECIAL.get(entry.key)
    if special is not None:
        return special(entry, entries)
    return Translated([(entry.key, _lenient(entry.key, entry.value))])


def _lenient(key: str, text: str) -> str:
    """Numbers as atoi(3) reads them, and any word for a flag, as there."""
    option = OPTIONS[key]
    kind = option.kind.toml
    if kind not in ("flag", "number", "seconds"):
        return text
    try:
        readers.read(option, text)
    except ConfigError:
        if kind == "flag":
            return "true"
        number = re.match(r"\s*[+-]?\d+", text)
        return str(int(number[0])) if number else text
    return text


def _variable(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    # putenv(3): without an equals sign it removes the variable.
    if "=" in entry.value:
        return Translated([("env", entry.value)])
    return Translated([("unenv", entry.value)] if entry.value else [])


def _mule(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    """mule = true or 1 is one mule without a program, and so is mule = 4."""
    value = entry.value
    if value.lower() in ("true", "yes", "on"):
        return Translated([("mule", "")])
    if value.isdigit():
        several = f"more than one mule: 'mule = {value}' makes one, as in uWSGI (mules = {value})"
        return Translated([("mule", "")], several if int(value) > 1 else "")
    return Translated([("mule", value)])


def _application(entry: Entry, entries: Sequence[Entry]) -> Translated:
    """module = app with callable = create(): the factory is called."""
    name = next((each.value for each in reversed(entries) if each.key == "callable" and each.holds), "")
    called = name.endswith("()") and ":" not in entry.value
    return Translated([(entry.key, f"{entry.value}:{name}" if called else entry.value)])


def _path(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    if not entry.value:
        return Translated([])
    found = sorted(glob.glob(entry.value)) or [entry.value]
    return Translated([("pythonpath", each) for each in found])


def _cron(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    try:
        readers.read(OPTIONS[entry.key], entry.value)
    except ConfigError as error:
        words = entry.value.split(None, 5)
        if len(words) == 6 and all(re.fullmatch(r"-?\d+", each) for each in words[:5]):
            return Translated([], f"it never runs, as in uWSGI: {error}")
        raise
    return Translated([(entry.key, entry.value)])


def _cron2(entry: Entry, entries: Sequence[Entry]) -> Translated:
    first, _, rest = entry.value.strip().partition(" ")
    pairs = [each for each in first.split(",") if each]
    legion = next((each.partition("=")[2] for each in pairs if each.startswith("legion=")), None)
    if "=" not in first or legion is None:
        return Translated([("cron2", entry.value)])
    left = ",".join(each for each in pairs if not each.startswith("legion="))
    return _of_legion("cron2", legion, f"{left} {rest}".strip(), entries)


def _legion_itself(entry: Entry, entries: Sequence[Entry]) -> Translated:
    given = [(each.key, each.value) for each in entries if each.holds]
    if legions.alone(given, entry.value.partition(" ")[0]):
        return Translated([])
    return Translated(
        [], "who of the machines is the lord: uwsgi.i_am_the_lord() raises, crons of it do not run"
    )


def _legion(key: str) -> Callable[[Entry, Sequence[Entry]], Translated]:
    def translated(entry: Entry, entries: Sequence[Entry]) -> Translated:
        name, _, rest = entry.value.strip().partition(" ")
        found = _of_legion(key, name, rest, entries)
        if not found.options or key not in _SPECIAL:
            return found
        return _SPECIAL[key](Entry("uwsgi", key, rest, entry.line, entry.file), entries)

    return translated


def _of_legion(key: str, name: str, text: str, entries: Sequence[Entry]) -> Translated:
    """Something that the lord of a legion does."""
    alone = legions.alone([(each.key, each.value) for each in entries if each.holds], name)
    if alone:
        return Translated([(key, text)])
    if alone is None:
        return Translated([], f"it never runs, as in uWSGI: there is no legion {name!r}")
    return Translated(
        [], f"it does not run: legion {name!r} has several machines; on one of them write {key} = {text}"
    )


#: What the master does anyway when it gets the signal: SIGINT and SIGTERM stop the bus, SIGQUIT at once.
_USUAL = frozenset(
    (*(f"{number} gracefully_kill_them_all" for number in (2, 15)), "2 kill_them_all", "3 kill_them_all")
)


def _hook(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    hook = entry.value.strip()
    if entry.key == "hook-touch":
        hook = hook.partition(" ")[2].strip()
    kind, _, argument = hook.removeprefix("!").partition(":")
    if kind in ACTIONS:
        return Translated([(entry.key, entry.value)])
    if kind == "unix_signal" and " ".join(argument.split()) in _USUAL:
        return Translated([])
    return Translated([], f"what {kind!r} does; hooks here can {', '.join(ACTIONS)}")


def _alarm(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    name, _, what = entry.value.strip().partition(" ")
    kind = what.strip().partition(":")[0]
    if kind in ALARMS:
        return Translated([("alarm", entry.value)])
    return Translated(
        [("alarm", f"{name} log:{kind}")],
        f"what {kind!r} does: uwsgi.alarm({name!r}) is logged alone (kinds: {', '.join(ALARMS)})",
    )


def _daemon2(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    """cmd=COMMAND,pidfile=FILE,daemonize=1 and so on (core/daemons.c)."""
    values = daemons.pairs(entry.value)
    pidfile = values.pop("pidfile", "")
    own = values.pop("daemonize", "") or values.pop("daemon", "")
    lost = [each for each in ("legion", "ns_pid", "stdin") if values.pop(each, "")]
    if pidfile:
        # What a shell looks after is not the master's child: it gets no signals but its pid file's.
        lost += [each for each in ("stopsignal", "stop_signal", "touch", "notifypid") if values.pop(each, "")]
        command = daemons.daemon(daemons.joined(values)).command
        kept = {key: value for key, value in values.items() if key in ("chdir", "uid", "gid")}
        values = {"cmd": _smart(pidfile, command, bool(own)), **kept}
    missing = f"of this daemon: {', '.join(lost)}" if lost else ""
    return Translated([("attach-daemon2", daemons.joined(values))], missing)


def _smart_daemon(makes_daemon: bool) -> Callable[[Entry, Sequence[Entry]], Translated]:
    def translated(entry: Entry, _entries: Sequence[Entry]) -> Translated:
        pidfile, _, command = entry.value.strip().partition(" ")
        if not command:
            raise ConfigError(f"{entry.value!r} is no daemon with a pid file: write FILE COMMAND")
        return Translated([("attach-daemon", _smart(pidfile, command, makes_daemon))])

    return translated


def _smart(pidfile: str, command: str, makes_daemon: bool) -> str:
    """A shell that starts a command when the process of its pid file is gone, and leaves it alone at the end.

    makes_daemon: it goes to the background itself and writes the file; else that is done for it.
    """
    file = shlex.quote(os.path.abspath(pidfile))
    start = command if makes_daemon else f"setsid sh -c {shlex.quote(f'exec {command}')} & echo $! > {file}"
    return (
        f'while :; do pid=$(cat {file} 2>/dev/null); [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null '
        f"|| {{ {start}; }}; sleep 1; done"
    )


def _cache(entry: Entry, entries: Sequence[Entry]) -> Translated:
    """cache = ITEMS, with what cache-blocksize and cache-store say beside it."""
    if not entry.value.isdigit() or not int(entry.value):
        return Translated(
            [], "" if entry.value in ("", "0") else "the cache: its number of items is no number"
        )
    given = {each.key: each.value for each in entries if each.holds}
    text = f"name=default,items={entry.value}"
    for key, name in (("cache-blocksize", "blocksize"), ("cache-store", "store")):
        if given.get(key):
            text += f",{name}={given[key]}"
    return Translated([("cache2", text)])


def _cache2(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    pairs = entry.value.split(",")
    kept = [each for each in pairs if each.partition("=")[0].strip() not in REMOTE]
    missing = "copies of the cache on other machines: each has its own" if kept != pairs else ""
    return Translated([("cache2", ",".join(kept))], missing)


def _metric(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    pairs = [each.strip().partition("=")[::2] for each in entry.value.split(",")]
    if any(key in COLLECTED or pair == ("type", "alias") for pair in pairs for key in pair[:1]):
        return Translated([], "this metric: nobody fills one in here but the application")
    return Translated([("metric", entry.value)])


def _cache_item(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    try:
        readers.read(OPTIONS[entry.key], entry.value)
    except ConfigError as error:
        return Translated([], f"it is not stored, as in uWSGI: {error}")
    return Translated([(entry.key, entry.value)])


#: Loggers of uWSGI's whose lines are here anyway: stderr, or what the service manager makes of it.
_LOGGERS = ("stdio", "fd", "systemd", "syslog", "rsyslog")


def _log(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    """logto, daemonize: all that the processes print, in a file. All but logto2 open it before chdir."""
    file = entry.value.strip()
    if not file or file.startswith("/dev/std"):
        return Translated([])
    if ":" in file:
        return Translated([], f"the lines to the UDP server {file}: let the service manager send them")
    return Translated([("log-file", file if entry.key == "logto2" else os.path.abspath(file))])


def _logger(entry: Entry, _entries: Sequence[Entry]) -> Translated:
    """logger = [NAME ]KIND:ARGUMENT"""
    kind, _, file = entry.value.strip().rpartition(" ")[2].partition(":")
    if kind == "file" and file:
        return Translated([("log-file", os.path.abspath(file))])
    return Translated([], "" if kind in _LOGGERS else f"what logger {kind!r} does, with the log's lines")


def _nothing(_entry: Entry, _entries: Sequence[Entry]) -> Translated:
    return Translated([])


#: The kinds of options that are hooks.
_HOOKS = ("start hooks", "hooks", "touch hook")


_SPECIAL: dict[str, Callable[[Entry, Sequence[Entry]], Translated]] = {
    "env": _variable,
    "mule": _mule,
    **dict.fromkeys(("pythonpath", "python-path", "pp"), _path),
    **dict.fromkeys(("module", "wsgi"), _application),
    "cron": _cron,
    "unique-cron": _cron,
    "cron2": _cron2,
    "alarm": _alarm,
    **dict.fromkeys(("logto", "logto2", "daemonize", "daemonize2"), _log),
    "logger": _logger,
    "cache": _cache,
    "metric": _metric,
    **dict.fromkeys(("add-cache-item", "load-file-in-cache", "load-file-in-cache-gzip"), _cache_item),
    "cache2": _cache2,
    **dict.fromkeys(("cache-blocksize", "cache-store"), _nothing),
    **dict.fromkeys(("legion", "legion-mcast"), _legion_itself),
    "attach-daemon2": _daemon2,
    "smart-attach-daemon": _smart_daemon(True),
    "smart-attach-daemon2": _smart_daemon(False),
    **dict.fromkeys(("legion-cron", "cron-legion"), _legion("cron")),
    **dict.fromkeys(("unique-legion-cron", "unique-cron-legion"), _legion("unique-cron")),
    "legion-attach-daemon": _legion("attach-daemon"),
    "legion-smart-attach-daemon": _legion("smart-attach-daemon"),
    "legion-smart-attach-daemon2": _legion("smart-attach-daemon2"),
    **{name: _hook for name, option in OPTIONS.items() if option.kind.name in _HOOKS},
}

#: What is done here by way of another option.
BY_OTHERS = frozenset(_SPECIAL) - frozenset(OPTIONS)
