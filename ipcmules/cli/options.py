"""The options that describe a bus, and how their values are read, whatever they stand in.

The command line, an ini file and a TOML file all give names and texts; here a name and a text become
part of a bus. Knows nothing of files and of click. `Given` collects, `assembly.build` makes the
BusConfig.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from ipcmules.config import (
    ALARMS,
    MULE_HOOKS,
    ON_HOOK_ERROR,
    ON_MULE_DEATH,
    Program,
    SpoolDir,
    farm,
    program,
)
from ipcmules.errors import ConfigError
from ipcmules.events import texts
from ipcmules.log import FORMATS
from ipcmules.master.commandline import split
from ipcmules.places import check_name
from ipcmules.wire import is_path, split_address

Value = TypeVar("Value")

#: The most mules, workers or locks: more than any limit of Linux lets a bus have.
LARGEST = 4096


@dataclass(frozen=True)
class Option:
    """One option: where its value goes, and how its text is read.

    kind is 'text', 'number' (whole), 'seconds' or 'share' (floats), 'pair' (KEY=VALUE) or 'flag'; TOML's
    types are checked by it. A repeatable option's read returns the tuple to add to what is there, any
    other's last value counts.
    """

    field: str
    kind: str
    read: Callable[[str], Any]
    repeatable: bool = False


def number(text: str, lowest: int = 0, largest: int = LARGEST) -> int:
    """A whole number in a range, or ConfigError."""
    # int() alone would take '1_000', ' 3 ' and the digits of other scripts.
    if text.isascii() and text.isdigit() and len(text) <= 9 and lowest <= int(text) <= largest:
        return int(text)
    raise ConfigError(f"{text!r} is not a whole number from {lowest} to {largest}: give one")


def seconds(text: str) -> float:
    """Seconds, 0 or more, or ConfigError."""
    value = _float(text)
    if value is None or value < 0:
        raise ConfigError(f"{text!r} is not a time: give seconds, 0 or more, such as 60 or 0.5")
    return value


def _harakiri(text: str) -> float:
    value = seconds(text)
    if value > 1e9:
        raise ConfigError(f"{text!r} is too long a time: give seconds, 0 for none")
    return value


def _one_or_more(text: str) -> int:
    return number(text, 1)


def _some_seconds(text: str) -> float:
    value = seconds(text)
    if not 0 < value <= 1e9:
        raise ConfigError(f"{text!r} is not a time between looks: give seconds, more than 0, such as 30")
    return value


def _nice(text: str) -> int:
    value = text[1:] if text.startswith("-") else text
    if not (value.isascii() and value.isdigit() and len(value) <= 2 and -20 <= int(text) <= 19):
        raise ConfigError(f"{text!r} is no niceness: give a whole number from -20 to 19")
    return int(text)


def _count(text: str) -> int:
    return number(text, 0, 999_999_999)


def share(text: str) -> float:
    """A share above 0 and up to 1, or ConfigError."""
    value = _float(text)
    if value is None or not 0 < value <= 1:
        raise ConfigError(f"{text!r} is not a share: give a number above 0, up to 1, such as 0.5")
    return value


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def flag(text: str) -> bool:
    """True or False; a flag without a value is True, as in uWSGI."""
    word = text.lower()
    if word in ("", "true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ConfigError(f"{text!r} is neither true nor false: write one of them, or the option alone")


def one_of(*allowed: str) -> Callable[[str], str]:
    """A reader that takes one of some words, or raises ConfigError."""

    def read(text: str) -> str:
        if text in allowed:
            return text
        raise ConfigError(f"{text!r} is not known: give one of {', '.join(allowed)}")

    return read


def pair(text: str) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE as one pair."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{text!r} is not KEY=VALUE: write it so")
    return ((key.strip(), value),)


def _environment(text: str) -> tuple[tuple[str, str], ...]:
    ((key, value),) = pair(text)
    if "\0" in text:
        raise ConfigError(f"{text!r} holds a NUL character, which no environment can: remove it")
    return ((key, value),)


def _program(text: str) -> tuple[Program, ...]:
    return (program(text),)


def _mules(text: str) -> tuple[Program, ...]:
    return (Program(),) * number(text)


def _nonblank(what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.strip() or "\0" in text:
            raise ConfigError(f"{text!r} is no {what}: give one")
        return text

    return read


def _daemon(text: str) -> tuple[str, ...]:
    _nonblank("command")(text)
    try:
        words = split(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no command ({error}): close the quote, or escape it") from error
    if not words or not words[0]:
        raise ConfigError(f"{text!r} is no command: give one")
    return (text,)


def _socket(text: str) -> tuple[str, ...]:
    if not is_path(text):
        split_address(text)
    return (_nonblank("address")(text),)


def _network(text: str) -> tuple[str, ...]:
    import ipaddress

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no network ({error}): give one such as 10.0.0.0/8") from error
    return (text,)


def _mule_hook(text: str) -> tuple[str, ...]:
    kind, colon, argument = text.strip().partition(":")
    if not colon or kind not in MULE_HOOKS or not argument:
        raise ConfigError(
            f"{text!r} is no hook that runs here: write KIND:ARGUMENT with one of {', '.join(MULE_HOOKS)}"
        )
    return (text.strip(),)


def _alarm(text: str) -> tuple[str, ...]:
    _name, space, what = text.strip().partition(" ")
    kind, colon, _ = what.strip().partition(":")
    if not space or not colon or kind not in ALARMS:
        raise ConfigError(
            f"{text!r} is no alarm: write NAME KIND:ARGUMENT with one of {', '.join(ALARMS)}, "
            "such as 'ops cmd:mail -s alarm root'"
        )
    return (text,)


def _each(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    return lambda text: (read(text),)


def _spool(external: bool) -> Callable[[str], tuple[SpoolDir, ...]]:
    return lambda text: (SpoolDir(_nonblank("directory")(text), external),)


def _application(text: str) -> tuple[str, ...]:
    # uWSGI's 'module' may name the callable too: app:application. Loading the module is enough.
    return (_nonblank("module")(text.partition(":")[0]),)


def _application_file(text: str) -> tuple[str, ...]:
    # A name with a slash is a file wherever it goes; a bare name would be taken for a module.
    name = _nonblank("file")(text)
    return (name if "/" in name else f"./{name}",)


def _signal_file(kind: str) -> Option:
    return Option("signal_events", "text", lambda text: (texts.signal_file(text, kind),), repeatable=True)


def _mounted(text: str) -> tuple[str, ...]:
    # uWSGI's mount is /path=app.py or /path=package.module:callable; the path is the web server's.
    name = text.partition("=")[2].strip()
    return _application_file(name) if name.endswith(".py") else _application(name)


_processes = Option("processes", "number", number)
_import = Option("imports", "text", _each(_nonblank("module or file")), repeatable=True)
_shared_import = Option("shared_imports", "text", _each(_nonblank("module or file")), repeatable=True)
_module = Option("applications", "text", _application, repeatable=True)
_file = Option("applications", "text", _application_file, repeatable=True)
_path = Option("paths", "text", _each(_nonblank("directory")), repeatable=True)
_home = Option("home", "text", _nonblank("directory"))
_other_mercy = Option("other_mercy", "seconds", seconds)
_touch = Option("touch_reload", "text", _each(_nonblank("file")), repeatable=True)
_lazy = Option("lazy_apps", "flag", flag)
_timer = Option("signal_events", "text", lambda text: (texts.signal_timer(text),), repeatable=True)
_rb_timer = Option(
    "signal_events", "text", lambda text: (texts.signal_timer(text, "rbtimer"),), repeatable=True
)
_spooler = Option("spoolers", "text", _spool(False), repeatable=True)
_spooler_import = Option("spooler_imports", "text", _each(_nonblank("module or file")), repeatable=True)
_frequency = Option("spooler_frequency", "seconds", _some_seconds)

#: By name: the same on the command line (those that `run` declares), in ini sections and in TOML.
OPTIONS: dict[str, Option] = {
    "mule": Option("mules", "text", _program, repeatable=True),
    "mules": Option("mules", "number", _mules, repeatable=True),
    "farm": Option("farms", "text", lambda text: (farm(text),), repeatable=True),
    "processes": _processes,
    "workers": _processes,
    "p": _processes,
    "import": _import,
    "pyimport": _import,
    "py-import": _import,
    "python-import": _import,
    "shared-import": _shared_import,
    "shared-pyimport": _shared_import,
    "shared-py-import": _shared_import,
    "shared-python-import": _shared_import,
    "module": _module,
    "wsgi": _module,
    "wsgi-file": _file,
    "file": _file,
    "mount": Option("applications", "text", _mounted, repeatable=True),
    "lazy-apps": _lazy,
    "lazy": _lazy,
    "locks": Option("locks", "number", number),
    "bus": Option("bus", "text", check_name),
    "set": Option("settings", "pair", pair, repeatable=True),
    "env": Option("environment", "pair", _environment, repeatable=True),
    "pyargv": Option("pyargv", "text", lambda text: tuple(text.split())),
    "mule-reload-mercy": Option("mercy", "seconds", seconds),
    "mule-harakiri": Option("harakiri", "seconds", _harakiri),
    "uwsgi mule-harakiri": Option("handler_harakiri", "seconds", _harakiri),
    "mule-max-msgs": Option("max_messages", "number", _count),
    "touch-mules-reload": _touch,
    "cron": Option("crons", "text", lambda text: (texts.cron(text),), repeatable=True),
    "cron2": Option("crons", "text", lambda text: (texts.cron2(text),), repeatable=True),
    "unique-cron": Option("crons", "text", lambda text: (texts.cron(text, unique=True),), repeatable=True),
    "cron-harakiri": Option("cron_harakiri", "seconds", _harakiri),
    "signal-timer": _timer,
    "timer": _timer,
    "signal-rbtimer": _rb_timer,
    "rbtimer": _rb_timer,
    "touch-signal": _signal_file("touch"),
    "fs-signal": _signal_file("file"),
    "attach-daemon": Option("daemons", "text", _daemon, repeatable=True),
    "spooler": _spooler,
    "Q": _spooler,
    "spooler-external": Option("spoolers", "text", _spool(True), repeatable=True),
    "spooler-processes": Option("spooler_processes", "number", _one_or_more),
    "spooler-frequency": _frequency,
    "spooler-freq": _frequency,
    "spooler-ordered": Option("spooler_ordered", "flag", flag),
    "spooler-chdir": Option("spooler_chdir", "text", _nonblank("directory")),
    "spooler-import": _spooler_import,
    "spooler-pyimport": _spooler_import,
    "spooler-py-import": _spooler_import,
    "spooler-python-import": _spooler_import,
    "spooler-quiet": Option("spooler_quiet", "flag", flag),
    "spooler-max-tasks": Option("spooler_max_tasks", "number", _count),
    "spooler-signal-as-task": Option("spooler_signal_as_task", "flag", flag),
    "spooler-harakiri": Option("spooler_harakiri", "seconds", _harakiri),
    "spooler-cheap": Option("spooler_cheap", "flag", flag),
    "spooler-nice": Option("spooler_nice", "number", _nice),
    "spooler-fsync": Option("spooler_fsync", "flag", flag),
    "spooler-max-attempts": Option("spooler_max_attempts", "number", _count),
    "touch-spoolers-reload": Option(
        "touch_spoolers_reload", "text", _each(_nonblank("file")), repeatable=True
    ),
    "chdir": Option("chdir", "text", _nonblank("directory")),
    "pythonpath": _path,
    "python-path": _path,
    "pp": _path,
    "home": _home,
    "virtualenv": _home,
    "venv": _home,
    "pyhome": _home,
    "uid": Option("uid", "text", _nonblank("user")),
    "gid": Option("gid", "text", _nonblank("group")),
    "queue-share": Option("queue_share", "share", share),
    "on-mule-death": Option("on_mule_death", "text", one_of(*ON_MULE_DEATH)),
    "max-requeues": Option("max_requeues", "number", number),
    "on-hook-error": Option("on_hook_error", "text", one_of(*ON_HOOK_ERROR)),
    "compat": Option("compat", "flag", flag),
    "socket": Option("sockets", "text", _socket, repeatable=True),
    "socket-allow": Option("socket_allow", "text", _network, repeatable=True),
    "socket-key-file": Option("socket_key_file", "text", _nonblank("file")),
    "hook-as-mule": Option("mule_hooks", "text", _mule_hook, repeatable=True),
    "reload-mercy": _other_mercy,
    "worker-reload-mercy": _other_mercy,
    "alarm": Option("alarms", "text", _alarm, repeatable=True),
    "log-format": Option("log_format", "text", one_of(*FORMATS)),
}


def named(origin: str, read: Callable[[str], Value], text: str) -> Value:
    """read(text), its error beginning with where the text stood: '--locks', 'app.ini, line 3, locks'."""
    try:
        return read(text)
    except ValueError as error:  # ConfigError, and int()'s on absurdly long numbers
        raise ConfigError(f"{origin}: {error}") from error


class Given:
    """Options as they were given, one source after the other: lists add up, else the last one counts."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        #: Words about options that are not used here, for one line on stderr.
        self.unused: list[str] = []
        #: Everything as it was written, for uwsgi.opt; None for an option without a value.
        self.raw: list[tuple[str, str | None]] = []

    def add(self, name: str, text: str, origin: str, raw: bool = True) -> None:
        """Take one option. Raises ConfigError that begins with origin. raw: note it for uwsgi.opt too."""
        option = OPTIONS[name]
        if raw:
            bare = not text and name == "mule"
            self.raw.append((name, None if bare or option.kind == "flag" else text))
        value = named(origin, option.read, text)
        if option.repeatable:
            self.extend(option.field, value)
        else:
            self._values[option.field] = value

    def extend(self, field: str, values: Iterable[Any]) -> None:
        """Add to a repeatable option's field."""
        self._values[field] = (*self._values.get(field, ()), *values)

    def replace(self, field: str, value: Any) -> None:
        """Set a field."""
        self._values[field] = value

    def get(self, field: str, default: Any) -> Any:
        """What was given for a field, else default."""
        return self._values.get(field, default)
