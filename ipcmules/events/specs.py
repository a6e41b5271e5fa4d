"""What is asked for: a timer, a cron or a file monitor, checked, as values that travel as JSON.

Made by the functions here (timer, ms_timer, rb_timer, cron, monitor), which check; from_json checks as well,
because what it reads came through a socket. NamedTuples: `import ipcmules` needs this module.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ipcmules.errors import EventError, EventTypeError
from ipcmules.kernel.exhaustion import importing

if TYPE_CHECKING:
    from datetime import tzinfo

    from ipcmules.events.cron import CronSchedule

#: Kinds of events, as users see them.
TIMER, MSTIMER, RBTIMER, CRON, FILE = "timer", "mstimer", "rbtimer", "cron", "file"
ALARM = "alarm"

_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
#: Anything shorter would keep the master busy, anything longer is no time. Nanoseconds.
_SHORTEST, _LONGEST = _MILLISECOND, 1_000_000_000 * _SECOND
_PATH_MAX = 4096


class TimerSpec(NamedTuple):
    """A timer. kind is 'timer', 'mstimer' or 'rbtimer': which call asked for it."""

    kind: str
    interval: int  #: nanoseconds; 0 only with iterations, which then come at once
    iterations: int = 0  #: ticks in all, 0 for ever
    overlap: bool = True  #: False: a tick is skipped while the former run is going on

    def describe(self) -> str:
        """The schedule in words."""
        times = f", {self.iterations} time{'s' if self.iterations > 1 else ''}" if self.iterations else ""
        return f"every {_duration(self.interval)}{times}" if self.interval else f"at once{times}"


class CronSpec(NamedTuple):
    """A cron: fields (uWSGI's numbers), where they are empty an expression; in the zone of a token."""

    fields: tuple[int, ...]
    expression: str
    zone: str
    overlap: bool = True

    @property
    def kind(self) -> str:
        """'cron'."""
        return CRON

    def schedule(self) -> CronSchedule:
        """The times of this cron. Raises EventError if this machine does not know its zone."""
        with importing:
            from ipcmules.events import cron, fields, zones

        numbers = self.fields
        parsed = fields.from_numbers(*numbers) if numbers else fields.from_expression(self.expression)
        return cron.CronSchedule(parsed, zones.zone(self.zone))

    def describe(self) -> str:
        """The schedule as an expression."""
        with importing:
            from ipcmules.events import fields

        numbers = self.fields
        return (fields.from_numbers(*numbers) if numbers else fields.from_expression(self.expression)).text


class MonitorSpec(NamedTuple):
    """A monitor of a file or directory."""

    path: str  #: absolute; need not exist
    recursive: bool = False  #: of a directory: all that is below it, too
    overlap: bool = True
    present: bool = False  #: only changes after which the path exists count (--touch-signal)

    @property
    def kind(self) -> str:
        """'file'."""
        return FILE

    def describe(self) -> str:
        """What it watches, in words."""
        return f"changes below {self.path}" if self.recursive else f"changes of {self.path}"


class AlarmSpec(NamedTuple):
    """What is raised when something goes wrong. name: one of ipcmules.bus.alarms.KINDS."""

    name: str
    overlap: bool = True

    @property
    def kind(self) -> str:
        """'alarm'."""
        return ALARM

    def describe(self) -> str:
        """When it is raised, in words."""
        return f"on {self.name}"


Spec = TimerSpec | CronSpec | MonitorSpec | AlarmSpec


def timer(seconds: float, *, overlap: bool = True) -> TimerSpec:
    """A timer that ticks every so many seconds.

    Raises EventError below a millisecond (0 and negative numbers too), EventTypeError for what is no number.
    """
    return TimerSpec(TIMER, _interval(seconds, _SECOND, "seconds"), 0, _flag(overlap, "overlap"))


def ms_timer(milliseconds: float, *, overlap: bool = True) -> TimerSpec:
    """A timer that ticks every so many milliseconds. Raises as timer()."""
    return TimerSpec(
        MSTIMER, _interval(milliseconds, _MILLISECOND, "milliseconds"), 0, _flag(overlap, "overlap")
    )


def rb_timer(seconds: float, iterations: int = 0, *, overlap: bool = True) -> TimerSpec:
    """A timer that ticks iterations times, 0 for ever.

    0 seconds with iterations are all of them at once, as in uWSGI.
    Raises as timer(), and EventError for a negative number of iterations.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        raise EventTypeError(f"iterations={iterations!r} is no whole number: give one, 0 for no end")
    if not 0 <= iterations < 1 << 31:
        raise EventError(f"iterations={iterations!r}: give 0 (no end) or more, below 2147483648")
    at_once = iterations and _is_number(seconds) and seconds == 0
    interval = 0 if at_once else _interval(seconds, _SECOND, "seconds")
    return TimerSpec(RBTIMER, interval, iterations, _flag(overlap, "overlap"))


def cron(*when: int | str, tz: str | tzinfo | None = None, overlap: bool = True) -> CronSpec:
    """A cron: cron(minute, hour, day, month, weekday) or cron("*/5 * * * *").

    tz: as zones.token_of(); None is the zone that is in force in this process now.
    Raises EventError for fields that can never match and for unknown zones, EventTypeError for wrong types.
    """
    with importing:
        from ipcmules.events import fields, zones

    token = zones.token_of(tz)
    flag = _flag(overlap, "overlap")
    if len(when) == 1:
        fields.from_expression(when[0])  # type: ignore[arg-type] # it raises for what is no str
        return CronSpec((), str(when[0]), token, flag)
    if len(when) != 5:
        raise EventTypeError(
            f"a cron takes minute, hour, day, month and weekday, or one expression: not {len(when)} arguments"
        )
    fields.from_numbers(*when)  # type: ignore[arg-type] # it raises for what is no int
    return CronSpec(tuple(int(each) for each in when), "", token, flag)


def monitor(
    path: str | bytes | os.PathLike[str],
    recursive: bool = False,
    *,
    overlap: bool = True,
    present: bool = False,
) -> MonitorSpec:
    """A monitor of a path, which is made absolute here and need not exist.

    Raises EventError for a path that no file can have, EventTypeError for what is no path.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise EventTypeError(f"path={path!r} is no path: give a str")
    text = os.fsdecode(path)
    if not text or "\0" in text or len(os.fsencode(text)) >= _PATH_MAX:
        raise EventError(
            f"path {text!r} cannot be a file's: give one of 1 to {_PATH_MAX - 1} bytes without NUL"
        )
    return MonitorSpec(
        os.path.abspath(text),
        _flag(recursive, "recursive"),
        _flag(overlap, "overlap"),
        _flag(present, "present"),
    )


def alarm(name: str) -> AlarmSpec:
    """An alarm. Raises EventError for a kind that there is not."""
    with importing:
        from ipcmules.bus.alarms import KINDS

    if name not in KINDS:
        raise EventError(f"{name!r} is no kind of alarm: give one of {', '.join(KINDS)}")
    return AlarmSpec(name)


def to_json(spec: Spec) -> dict[str, Any]:
    """As plain values for json.dumps: the fields by name, and kind."""
    return {**spec._asdict(), "kind": spec.kind}


def from_json(data: object) -> Spec:
    """The inverse of to_json. Raises EventError or EventTypeError for anything that is not a valid one."""
    if not isinstance(data, dict):
        raise EventTypeError(f"{data!r} describes no event")
    values = dict(data)
    kind = values.pop("kind", None)
    try:
        if kind == CRON:
            when = values["fields"] or [values["expression"]]
            return cron(*when, tz=values["zone"], overlap=values["overlap"])
        if kind == FILE:
            return monitor(
                values["path"], values["recursive"], overlap=values["overlap"], present=values["present"]
            )
        if kind == ALARM:
            return alarm(values["name"])
        if kind in (TIMER, MSTIMER, RBTIMER):
            return _checked(TimerSpec(kind, values["interval"], values["iterations"], values["overlap"]))
    except (KeyError, TypeError) as error:
        if isinstance(error, EventTypeError):
            raise
        raise EventTypeError(f"{data!r} describes no event: {error!r}") from error
    raise EventError(f"{kind!r} is no kind of event")


def _checked(spec: TimerSpec) -> TimerSpec:
    for value in (spec.interval, spec.iterations):
        if isinstance(value, bool) or not isinstance(value, int):
            raise EventTypeError(f"{value!r} is no whole number")
    _flag(spec.overlap, "overlap")
    at_once = spec.kind == RBTIMER and spec.interval == 0 and spec.iterations > 0
    if not (_SHORTEST <= spec.interval <= _LONGEST or at_once) or not 0 <= spec.iterations < 1 << 31:
        raise EventError(f"{spec!r} is no timer")
    return spec


def _interval(value: float, unit: int, what: str) -> int:
    if not _is_number(value):
        raise EventTypeError(f"{what}={value!r} is no number: give one")
    if not 0 < value < _LONGEST or not _SHORTEST <= round(value * unit) <= _LONGEST:
        raise EventError(
            f"{what}={value!r}: give an interval of a millisecond or more ({_SHORTEST / unit:g} {what}), "
            f"up to {_LONGEST // unit} {what}"
        )
    return round(value * unit)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flag(value: bool, what: str) -> bool:
    if not isinstance(value, bool):
        raise EventTypeError(f"{what}={value!r}: give True or False")
    return value


def _duration(nanoseconds: int) -> str:
    if nanoseconds < _SECOND:
        return f"{nanoseconds / _MILLISECOND:g} ms"
    return f"{nanoseconds / _SECOND:.15g} s"
