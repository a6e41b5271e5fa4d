"""How the text of an option becomes a value, whatever it stood in: the kinds that do not read themselves.

Each reader takes a text and returns the tuple that it adds to what is there, or raises ConfigError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.alarms import KINDS
from ipcmules.bus.places import check_name
from ipcmules.errors import ConfigError
from ipcmules.events import texts
from ipcmules.kernel.commandline import split
from ipcmules.options import areas, caches, daemons, metrics
from ipcmules.options.events import ALARMS
from ipcmules.options.hooks import ACTIONS
from ipcmules.options.kinds import Number, nonblank
from ipcmules.options.mules import MAX_MULES
from ipcmules.options.option import Option
from ipcmules.options.values import (
    Program,
    TouchAction,
    cluster_farm,
    cluster_mules,
    cluster_servers,
    farm,
    program,
    spool_dir,
)
from ipcmules.wire.packets import is_path, split_address


def read(option: Option, text: str) -> Any:
    """The value of an option's text: of one that can be given again a tuple, to be added to what is there.

    Raises ConfigError.
    """
    reader = _READERS.get(option.kind.name)
    return option.kind.read(text) if reader is None else reader(text)


def _pair(text: str) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE as one pair."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{text!r} is not KEY=VALUE: write it so")
    return ((key.strip(), value),)


def _environment(text: str) -> tuple[tuple[str, str], ...]:
    ((key, value),) = _pair(text)
    if "\0" in text:
        raise ConfigError(f"{text!r} holds a NUL character, which no environment can: remove it")
    return ((key, value),)


def _mules(text: str) -> tuple[Program, ...]:
    return (Program(),) * Number(highest=MAX_MULES).read(text)


def _daemon(text: str) -> tuple[str, ...]:
    nonblank(text, "command")
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
    return (nonblank(text, "address"),)


def _network(text: str) -> tuple[str, ...]:
    import ipaddress

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no network ({error}): give one such as 10.0.0.0/8") from error
    return (text,)


def _hook(text: str) -> tuple[str, ...]:
    kind, colon, argument = text.strip().removeprefix("!").partition(":")
    if not colon or kind not in ACTIONS or not argument:
        raise ConfigError(
            f"{text!r} is no hook that runs here: write KIND:ARGUMENT with one of {', '.join(ACTIONS)}"
        )
    return (text.strip(),)


def _touched(text: str) -> tuple[str, str]:
    """FILE and what follows it."""
    path, _, rest = text.strip().partition(" ")
    if not path or not rest.strip():
        raise ConfigError(f"{text!r} names no file and what is done then: write FILE and that")
    return path, rest.strip()


def _touch_command(text: str) -> tuple[TouchAction, ...]:
    path, command = _touched(text)
    return (TouchAction(path, f"exec:{command}"),)


def _touch_hook(text: str) -> tuple[TouchAction, ...]:
    path, hook = _touched(text)
    return (TouchAction(path, _hook(hook)[0]),)


def _alarm(text: str) -> tuple[str, ...]:
    _name, space, what = text.strip().partition(" ")
    kind, colon, _ = what.strip().partition(":")
    if not space or not colon or kind not in ALARMS:
        raise ConfigError(
            f"{text!r} is no alarm: write NAME KIND:ARGUMENT with one of {', '.join(ALARMS)}, "
            "such as 'ops cmd:mail -s alarm root'"
        )
    return (text,)


def _alarm_command(text: str) -> tuple[str, ...]:
    kind, _equals, command = text.partition("=")
    if kind not in KINDS or not command.strip():
        raise ConfigError(f"{text!r}: write KIND=COMMAND with one of {', '.join(KINDS)}")
    return (text,)


def _application(text: str) -> tuple[str, ...]:
    # uWSGI's 'module' may name the callable too: app:application. Loading the module is enough, but for
    # app:create(), which is called.
    module, _, name = text.partition(":")
    return (f"{nonblank(module, 'module')}:{name}" if name.endswith("()") else nonblank(module, "module"),)


def _application_file(text: str) -> tuple[str, ...]:
    # A name with a slash is a file wherever it goes; a bare name would be taken for a module.
    name = nonblank(text, "file")
    return (name if "/" in name else f"./{name}",)


def _mounted(text: str) -> tuple[str, ...]:
    # uWSGI's mount is /path=app.py or /path=package.module:callable; the path is the web server's.
    name = text.partition("=")[2].strip()
    return _application_file(name) if name.endswith(".py") else _application(name)


def _level(text: str) -> tuple[str, ...]:
    level = text.rpartition("=")[2]
    if level not in log.LEVELS:
        raise ConfigError(f"{text!r} is no level: give one of {', '.join(log.LEVELS)}, or ROLE=LEVEL")
    return (text,)


#: By the name of the kind.
_READERS: dict[str, Callable[[str], Any]] = {
    "bus name": check_name,
    "mule": lambda text: (program(text),),
    "mules": _mules,
    "farms": lambda text: (farm(text),),
    "cluster servers": cluster_servers,
    "cluster name": lambda text: check_name(text, "cluster or host"),
    "cluster farms": lambda text: (cluster_farm(text),),
    "cluster mules": cluster_mules,
    "pairs": _pair,
    "environment": _environment,
    "arguments": lambda text: tuple(text.split()),
    "application": _application,
    "application file": _application_file,
    "mount": _mounted,
    "cron": lambda text: (texts.cron(text),),
    "cron2": lambda text: (texts.cron2(text),),
    "unique cron": lambda text: (texts.cron(text, unique=True),),
    "signal timer": lambda text: (texts.signal_timer(text),),
    "signal rbtimer": lambda text: (texts.signal_timer(text, "rbtimer"),),
    "touch signal": lambda text: (texts.signal_file(text, "touch"),),
    "touch command": _touch_command,
    "touch hook": _touch_hook,
    "file signal": lambda text: (texts.signal_file(text, "file"),),
    "daemons": _daemon,
    "described daemons": lambda text: (daemons.daemon(text),),
    "spooler": lambda text: (spool_dir(nonblank(text, "directory")),),
    "external spooler": lambda text: (spool_dir(nonblank(text, "directory"), True),),
    "addresses": _socket,
    "metrics addresses": _socket,
    "web addresses": _socket,
    "networks": _network,
    "hooks": _hook,
    "start hooks": _hook,
    "start commands": lambda text: (f"exec:{nonblank(text, 'command')}",),
    "variables": lambda text: (nonblank(text, "variable"),),
    "alarms": _alarm,
    "alarm commands": _alarm_command,
    "log levels": _level,
    "metric": lambda text: (metrics.metric(text),),
    "area": lambda text: (areas.sharedarea(text),),
    "python area": lambda text: (areas.py_sharedarea(text),),
    "cache item": lambda text: (caches.item(text),),
    "cached file": lambda text: (caches.file_item(text),),
    "cached gzip": lambda text: (caches.file_item(text, gzip=True),),
    "cache": lambda text: (caches.cache(text),),
    "cache2": lambda text: (caches.cache2(text),),
}
