"""The texts of --attach-daemon2, and the daemon they describe (uWSGI 2.0.31, core/daemons.c)."""

from __future__ import annotations

import os
import pwd
import re
import signal
from dataclasses import dataclass

from ipcmules.errors import ConfigError
from ipcmules.kernel import ownership
from ipcmules.options.kinds import signal_name

_EXAMPLE = "cmd=celery -A shop worker,stopsignal=3,touch=deployed"
_COMMAND = ("command", "cmd", "exec")
_STOP = ("stopsignal", "stop_signal")
_KNOWN = (*_COMMAND, "control", *_STOP, "touch", "chdir", "uid", "gid")
#: uWSGI's beside those, for daemons with a pid file or for its own delays.
_WITHOUT_MEANING = frozenset({"freq", "max_throttle", "reloadsignal", "reload_signal", "notifypid"})


@dataclass(frozen=True)
class Daemon:
    """A program beside the mules. It travels as JSON.

    control: the bus stops when it ends. stop_signal: what asks it to end. directory: its own, '' for the
    bus's. touch: files; when one is touched it is ended, and so started again. uid, gid: who it runs as, 0
    for whoever the master is.
    """

    command: str
    control: bool = False
    stop_signal: int = signal.SIGTERM
    directory: str = ""
    touch: tuple[str, ...] = ()
    uid: int = 0
    gid: int = 0


def daemon(text: str) -> Daemon:
    """A Daemon from --attach-daemon2's value, KEY=VALUE with commas between, in them written as '\\,'.

    Raises ConfigError.
    """
    values = pairs(text)
    for key in values:
        if key not in _KNOWN and key not in _WITHOUT_MEANING:
            raise ConfigError(f"{key!r} in {text!r} is not known: a daemon has {', '.join(sorted(_KNOWN))}")
    command = _first(values, _COMMAND)
    if not command.strip():
        raise ConfigError(f"{text!r} has no command: write cmd=COMMAND, such as {_EXAMPLE}")
    return Daemon(
        command,
        control=bool(values.get("control")),
        stop_signal=_signal(_first(values, _STOP)),
        directory=os.path.abspath(values["chdir"]) if values.get("chdir") else "",
        touch=tuple(os.path.abspath(each) for each in values.get("touch", "").split(";") if each),
        uid=_user(values.get("uid", "")),
        gid=ownership.group_number(values["gid"]) if values.get("gid") else 0,
    )


def pairs(text: str) -> dict[str, str]:
    """KEY=VALUE,...; a comma after a backslash belongs to its value. Raises ConfigError."""
    found = {}
    for each in re.split(r"(?<!\\),", text):
        key, equals, value = each.replace("\\,", ",").partition("=")
        if not equals and each.strip():
            raise ConfigError(f"{each!r} in {text!r} is not KEY=VALUE: write it so, such as {_EXAMPLE}")
        if equals:
            found[key.strip()] = value
    return found


def joined(values: dict[str, str]) -> str:
    """The inverse of pairs()."""
    return ",".join(f"{key}={value}".replace(",", "\\,") for key, value in values.items())


def _first(values: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((values[each] for each in keys if values.get(each)), "")


def _signal(text: str) -> int:
    if not text:
        return signal.SIGTERM
    name = signal_name(text)
    if name:
        return signal.Signals[name]
    if text.isascii() and text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    raise ConfigError(f"{text!r} is no signal of this system: give a number or a name, such as 3 or QUIT")


def _user(text: str) -> int:
    try:
        return int(text) if text.isascii() and text.isdigit() else pwd.getpwnam(text).pw_uid if text else 0
    except KeyError:
        raise ConfigError(f"uid={text}: this system has no such user: give its name or number") from None
