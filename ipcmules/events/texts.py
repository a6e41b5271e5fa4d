"""Timers, crons and monitors as options write them: from a text to what a BusConfig holds. Checks everything.

The forms are uWSGI 2.0's (core/cron.c, core/master.c); crontab expressions are taken besides.
"""

from __future__ import annotations

import difflib

from ipcmules.bus.config import CronCommand, SignalEvent
from ipcmules.errors import ConfigError, EventError
from ipcmules.events import fields, specs

_CRON2_KEYS = ("minute", "hour", "day", "month", "week", "unique", "harakiri", "legion")


def cron(text: str, unique: bool = False) -> CronCommand:
    """--cron and --unique-cron: 'MIN HOUR DAY MONTH WDAY COMMAND', or '@daily COMMAND'.

    The fields are uWSGI's numbers or a crontab expression. Raises ConfigError.
    """
    words = text.split(None, 1 if text.lstrip().startswith("@") else 5)
    if len(words) not in (2, 6):
        raise ConfigError(
            f"{text!r} is no cron: write MINUTE HOUR DAY MONTH WEEKDAY COMMAND (-1 or * for any)"
        )
    return _command(" ".join(words[:-1]), words[-1], unique, None)


def cron2(text: str) -> CronCommand:
    """--cron2: 'minute=0,hour=3,week=1,unique=1,harakiri=60 COMMAND', all keys optional.

    Raises ConfigError.
    """
    first, _, rest = text.strip().partition(" ")
    if "=" not in first:
        return _command("* * * * *", text, False, None)
    values = dict(_pair(each, text) for each in first.split(","))
    if values.pop("legion", None) is not None:
        raise ConfigError(f"{text!r}: there are no legions here: remove legion=")
    when = " ".join(values.get(key, "-1") for key in _CRON2_KEYS[:5])
    harakiri = _number(values["harakiri"], "harakiri", 10**9) if "harakiri" in values else None
    return _command(when, rest, _number(values.get("unique", "0"), "unique", 1) == 1, harakiri)


def checked_cron(cron: CronCommand) -> CronCommand:
    """One that a program has made, checked as those of options are. Raises ConfigError."""
    if not isinstance(cron, CronCommand):
        raise ConfigError(f"{cron!r} is no cron: give a str such as '0 3 * * * backup', or a CronCommand")
    if cron.harakiri is not None and not 0 <= cron.harakiri <= 1e9:
        raise ConfigError(f"harakiri={cron.harakiri!r}: give seconds, 0 (for ever) or more")
    return _command(cron.when, cron.command, cron.unique, cron.harakiri)


def signal_timer(text: str, kind: str = specs.TIMER) -> SignalEvent:
    """--signal-timer: 'N SECONDS'; --signal-rbtimer: the same, and perhaps ITERATIONS. Raises ConfigError."""
    words = text.split()
    most = 3 if kind == specs.RBTIMER else 2
    if not 2 <= len(words) <= most:
        more = " [ITERATIONS]" if most == 3 else ""
        raise ConfigError(f"{text!r} is no timer of a signal: write SIGNAL SECONDS{more}, such as 17 30")
    iterations = _number(words[2], "iterations", 2**31 - 1) if len(words) == 3 else 0
    try:
        seconds = float(words[1])
    except ValueError:
        raise ConfigError(f"{text!r}: {words[1]!r} is no time: give seconds, such as 30") from None
    found = SignalEvent(kind, _number(words[0], "signal", 255), seconds, iterations)
    _checked(found, text)
    return found


def signal_file(text: str, kind: str) -> SignalEvent:
    """--touch-signal (kind 'touch') and --fs-signal (kind 'file'): 'FILE N'. Raises ConfigError."""
    words = text.rsplit(None, 1)
    if len(words) != 2 or not words[0].strip():
        raise ConfigError(f"{text!r} names no file and signal: write FILE SIGNAL, such as /tmp/touch 17")
    found = SignalEvent(kind, _number(words[1], "signal", 255), path=words[0].strip())
    _checked(found, text)
    return found


def spec_of(event: SignalEvent) -> specs.Spec:
    """What the master is to do for an option. Raises EventError, EventTypeError."""
    if event.kind == specs.TIMER:
        return specs.timer(event.seconds)
    if event.kind == specs.RBTIMER:
        return specs.rb_timer(event.seconds, event.iterations)
    return specs.monitor(event.path, present=event.kind == "touch")


def _checked(event: SignalEvent, text: str) -> None:
    try:
        spec_of(event)
    except EventError as error:
        raise ConfigError(f"{text!r}: {error}") from error


def _command(when: str, command: str, unique: bool, harakiri: float | None) -> CronCommand:
    if not command.strip() or "\0" in command:
        raise ConfigError(f"{command!r} is no command: one stands after the time")
    try:
        fields.from_expression(when)
    except EventError as error:
        raise ConfigError(str(error)) from error
    return CronCommand(when, command.strip(), unique, harakiri)


def _pair(text: str, whole: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in _CRON2_KEYS:
        close = difflib.get_close_matches(key, _CRON2_KEYS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"keys are {', '.join(_CRON2_KEYS[:-1])}"
        raise ConfigError(f"{whole!r}: {text!r} is no KEY=VALUE of a cron: {hint}")
    return key, value


def _number(text: str, what: str, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most:
        return int(text)
    raise ConfigError(f"{text!r} is no {what}: give a number from 0 to {most}")
