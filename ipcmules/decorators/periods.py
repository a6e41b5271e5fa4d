"""What @spool(every=...) and @spool(cron=...) say: the times at which a function's tasks come."""

from __future__ import annotations

from datetime import tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ipcmules.errors import EventError
from ipcmules.kernel.exhaustion import importing

if TYPE_CHECKING:
    from ipcmules.events.cron import CronSchedule
    from ipcmules.spooler.manner import Schedule

#: The shortest and the longest time between two tasks, seconds.
_SHORTEST, _LONGEST = 0.1, 3.2e9


class Every:
    """So many seconds apart, from the first start on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @property
    def text(self) -> str:
        """What it is, in words."""
        return f"every {self._seconds:g} s"

    def first(self, now: float) -> float:
        """The first time after now."""
        return now + self._seconds

    def following(self, last: float, now: float) -> float:
        """The first time after now that is so many times the seconds after `last`."""
        return last + (max(0.0, now - last) // self._seconds + 1) * self._seconds


class Cron:
    """The times of a cron expression in a zone."""

    def __init__(self, expression: str, tz: str | tzinfo | None) -> None:
        with importing:
            from ipcmules.events import specs

        self._spec = specs.cron(expression, tz=tz)
        if self._times.next(0.0) is None:
            raise EventError(f"cron={expression!r} has no time: no such day comes")

    @cached_property
    def _times(self) -> CronSchedule:
        return self._spec.schedule()

    @property
    def text(self) -> str:
        """What it is, in words."""
        return f"cron {self._spec.describe()} {self._spec.zone}"

    def first(self, now: float) -> float:
        """The first time after now."""
        return self._times.next(now) or _LONGEST

    def following(self, last: float, now: float) -> float:
        """The first time after now."""
        return self.first(max(last, now))


def schedule_of(every: Any, cron: Any, tz: Any) -> Schedule | None:
    """The schedule that the arguments of @spool say, None for none.

    Raises ValueError, TypeError; EventError (a ValueError) for what is no cron, or no zone.
    """
    if every and cron:
        raise ValueError(f"every={every!r}, cron={cron!r}: give one of them")
    if tz is not None and not cron:
        raise ValueError(f"tz={tz!r} is the zone of a cron: give cron, too")
    if cron:
        if not isinstance(cron, str):
            raise TypeError(f"cron={cron!r}: give an expression, as '0 3 * * *'")
        return Cron(cron, tz)
    if isinstance(every, bool) or not isinstance(every, (int, float)):
        raise TypeError(f"every={every!r}: give seconds")
    if not every:
        return None
    if not _SHORTEST <= every <= _LONGEST:
        raise ValueError(f"every={every!r}: give seconds, {_SHORTEST:g} to {_LONGEST:g}")
    return Every(float(every))
