"""From a uWSGI configuration to what takes its place: each option explained, a TOML file, a command line.

Knows the options of ipcmules and those of uWSGI's HTTP side. Values are those that uWSGI would see:
placeholders and included files are filled in, conditions are decided as they are on this machine.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ipcmules.bus.places import STATE_VARIABLE
from ipcmules.cli import inifile, serving, translations
from ipcmules.cli.options import OPTIONS
from ipcmules.cli.serving import Site
from ipcmules.compat import catalogue, ini, references
from ipcmules.errors import ConfigError

#: What of uWSGI's names where the application is; both the bus and the web server load it.
_APPLICATION = ("module", "wsgi", "wsgi-file", "file", "mount")


@dataclass(frozen=True)
class Line:
    """What becomes of one option: kind is 'bus', 'server', 'left', 'missing', 'nothing' or 'look'.

    'server' stands in the server's command line, 'left' does not.
    """

    where: str
    key: str
    value: str
    kind: str
    text: str


@dataclass(frozen=True)
class Migration:
    """All that is known. command: the words that start bus and server. site: what the server serves.

    bus: its name.
    """

    lines: list[Line]
    toml: str
    command: list[str]
    site: Site
    bus: str


def read(path: str, server: str) -> Migration:
    """Look at a configuration, UWSGI_* variables included. server: one of catalogue.SERVERS.

    Raises ConfigError as ini.read().
    """
    entries = ini.read(path, blocks=True, environment=True)
    holding = [each for each in entries if each.holds]
    lines: list[Line] = []
    taken: list[tuple[str, str]] = []
    for entry in entries:
        kind, text, options = _explained(entry, holding, server)
        if not entry.holds:
            kind, text = (
                "look",
                f"stands in '{entry.block}', which does not hold here: left out; else: {text}",
            )
        else:
            taken += options
            if entry.block:
                text = f"stands in '{entry.block}', which holds here: {text}"
        lines.append(Line(_where(entry), entry.key, entry.value, kind, text))
    site = serving.site(holding)
    site.log = next((value for key, value in reversed(taken) if key == "log-file"), "")
    words = serving.command(site, server)
    lines = [
        replace(each, kind="left") if each.kind == "server" and each.key not in site.asked else each
        for each in lines
    ]
    if {"cache", "cache2"} & {key for key, _ in taken} and find_spec("lmdb") is None:
        site.notes.append("the cache needs a package that is not installed: pip install 'ipcmules[cache]'")
    program = serving._program(site, "ipcmules") if site.home else "ipcmules"
    name = path.rpartition("/")[2].rpartition(".")[0] or "bus"
    toml = _toml(path, [*_with_paths(taken, site), *_state(name, site)])
    bus = next((value for key, value in reversed(taken) if key == "bus"), "default")
    return Migration(lines, toml, [program, "run", "--config", f"{name}.toml", "--", *words], site, bus)


def _where(entry: ini.Entry) -> str:
    return f"{entry.file}:{entry.line}" if entry.line else entry.file


def _explained(
    entry: ini.Entry, entries: Sequence[ini.Entry], server: str
) -> tuple[str, str, list[tuple[str, str]]]:
    """Kind, text, and our options by name and text."""
    key = entry.key
    what = inifile.what_is(entry)
    if key in ini.READING:
        return "nothing", "read: what is in it stands here", []
    if what == "taken":
        return _taken(entry, entries, server)
    # The app may ask uwsgi.opt for it (libraries look for threads there); the names of stores go by that.
    kept = [("set", f"{key}={entry.value or 'true'}")]
    known = catalogue.look(key)
    if known is None:
        return "look", "not known here: kept as a value of the app (set), which finds it in uwsgi.opt", kept
    if known.kind == catalogue.MISSING:
        return "missing", f"not done here. Missing: {known.text}", kept
    if known.kind == catalogue.SERVER:
        return "server", f"{server}: {known.for_server(server)}", kept
    if known.kind == catalogue.NOTHING:
        return "nothing", f"needs nothing: {known.text}", kept
    return "nothing", "needs nothing: it is used up where it stands", []


def _taken(
    entry: ini.Entry, entries: Sequence[ini.Entry], server: str
) -> tuple[str, str, list[tuple[str, str]]]:
    options = [(entry.key, entry.value)]
    missing = ""
    if entry.section == "uwsgi":
        try:
            options, missing = translations.translate(entry, entries)
        except ConfigError as error:
            raise ConfigError(f"{entry.where}, {entry.key}: {error}") from error
    if missing:
        return "missing", f"not done here. Missing: {missing}", options
    if entry.key in references.DEFINING:
        text = "taken over: set, and the app finds it in uwsgi.opt and ipcmules.settings()"
    elif entry.key == "mule-harakiri" and entry.section == "uwsgi":
        text = "taken over; in uWSGI it guards signal handlers alone, here message hooks too"
    elif entry.key in _APPLICATION:
        text = f"taken over: the bus loads it for its mules, {server} for the requests"
    elif options and options != [(entry.key, entry.value)]:
        text = f"taken over as {'; '.join(f'{key} = {value}' for key, value in options)}"
    else:
        text = "taken over" if options else "needs nothing here"
    return "bus" if options else "nothing", text, options


# The TOML file


def _with_paths(taken: list[tuple[str, str]], site: Site) -> list[tuple[str, str]]:
    """The options with PYTHONPATH in the environment: so the server finds what the bus finds."""
    given = [each for each in taken if each[0] == "env" and each[1].startswith("PYTHONPATH=")]
    rest = [each.partition("=")[2] for _, each in given[-1:]]
    path = ":".join(dict.fromkeys([*site.paths, *rest]))
    return [*(each for each in taken if each not in given), ("env", f"PYTHONPATH={path}")]


def _state(name: str, site: Site) -> list[tuple[str, str]]:
    """Where a bus keeps what outlives it, if its user (www-data) cannot write to a directory of his own."""
    user = site.get("uid", "immediate-uid")
    try:
        account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return []
    try:
        if os.stat(account.pw_dir).st_uid == account.pw_uid:
            return []
    except OSError:
        pass
    site.state = f"/var/lib/ipcmules/{name}"
    site.notes.append(
        f"{user} has no home to write to: the bus keeps what outlives it in {site.state}; commands "
        f"like `ipcmules dead` need {STATE_VARIABLE}={site.state}"
    )
    group = site.get("gid", "immediate-gid") or str(account.pw_gid)
    make = shlex.join(("install", "-d", "-m", "700", "-o", user, "-g", group, site.state))
    return [("exec-as-root", make), ("env", f"{STATE_VARIABLE}={site.state}")]


def _toml(path: str, taken: Iterable[tuple[str, str]]) -> str:
    values: dict[str, list[Any]] = {"compat": [True]}
    for key, value in taken:
        name, found = _typed(key, value)
        many = OPTIONS[name].kind.many
        values[name] = [*(values.get(name, []) if many else []), *found]
    text = [f"# From {path}, by `ipcmules migrate`.", ""]
    for name, found in values.items():
        text.append(f"{name} = {_literal(found if len(found) != 1 else found[0])}")
    return "\n".join(text) + "\n"


def _typed(key: str, value: str) -> tuple[str, list[Any]]:
    """The option's name in TOML and its value in TOML's types."""
    key = {"set-ph": "set", "set-placeholder": "set"}.get(key, key)
    kind = OPTIONS[key].kind.toml
    if key == "mules":  # their order among the others gives them their numbers
        return "mule", [""] * (int(value) if value.isdigit() else 0)
    if kind == "flag":
        return key, [value.lower() not in ("false", "no", "off", "0")]
    if kind == "number" and value.isdigit():
        return key, [int(value)]
    if kind in ("seconds", "share"):
        try:
            number = float(value)
        except ValueError:
            return key, [value]
        return key, [int(number) if number.is_integer() else number]
    return key, [value]


def _literal(value: Any) -> str:
    # TOML's basic strings, numbers and lists of them are written as JSON's (but for DEL).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
