"""When a cron comes next: cronsim steps through the wall clock, here its times become moments.

cronsim is run on a clock without a zone, and given the values that fields.py has read: its own reading of
expressions and its daylight-saving rules have corners (a-a/k, 0-23, zones that change at midnight or by half
an hour, the second hour of a clock set back). The rules here are Vixie cron's (cron.c, "the clock went
forward"): a job at a fixed time in the hour that is skipped comes right after the jump, one in the hour that
is repeated comes the first time; a job at any minute or any hour follows the clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo

from ipcmules.events.fields import Fields
from ipcmules.kernel.exhaustion import importing

_EPOCH = datetime(1970, 1, 1)
_DAY = 86400
#: A change of the clock by this and more is a correction, not summer time: cron.c, (3*MINUTE_COUNT). Seconds.
_CORRECTION = 3 * 3600
#: Who asks for later than this after the last answer gets a new search: cheaper than walking there. Seconds.
_FAR = 3600


class CronSchedule:
    """The times of one cron. Light: it holds one iterator, and moves only when it is asked."""

    __slots__ = ("_answer", "_asked", "_moments", "fields", "zone")

    def __init__(self, fields: Fields, zone: tzinfo) -> None:
        self.fields = fields
        self.zone = zone
        self._moments: Iterator[int] = iter(())
        self._asked: float | None = None
        self._answer: int | None = None

    def next(self, after: float | datetime) -> float | None:
        """The first time later than after, in seconds since the epoch; None if there is none in 50 years.

        after: seconds since the epoch, or an aware datetime. May go back (a clock that was set) or far ahead.
        """
        moment = after.timestamp() if isinstance(after, datetime) else after
        if self._asked is None or moment < self._asked or moment > (self._answer or moment) + _FAR:
            self._moments = self._from(moment)
            self._answer = next(self._moments, None)
        self._asked = moment
        while self._answer is not None and self._answer <= moment:
            self._answer = next(self._moments, None)
        return None if self._answer is None else float(self._answer)

    def describe(self) -> str:
        """The fields as an expression."""
        return self.fields.text

    def _from(self, moment: float) -> Iterator[int]:
        second = int(moment // 1)
        offsets = [_offset(self.zone, second + days * _DAY) for days in (-1, 0, 1)]
        # Near a change of the clock begin early enough for the times that come a second time.
        margin = max(offsets) - min(offsets)
        return self._search(_EPOCH + timedelta(seconds=second + offsets[1] - margin))

    def _search(self, start: datetime) -> Iterator[int]:
        """All moments of wall clock times later than start, ascending."""
        again: deque[int] = deque()  # the second time of times in an hour that is repeated
        last: int | None = None
        for wall in _walls(self.fields, start):
            for first, second in self._moments_of(wall):
                while again and again[0] < first:
                    last = again.popleft()
                    yield last
                if last is None or first > last:  # several in a skipped hour are one
                    last = first
                    yield first
                if second is not None:
                    again.append(second)
        yield from again

    def _moments_of(self, wall: datetime) -> Iterator[tuple[int, int | None]]:
        """When the wall clock shows this: once, twice or never. What fold means: PEP 495."""
        aware = wall.replace(tzinfo=self.zone)
        before, after = _seconds(aware), _seconds(aware.replace(fold=1))
        seconds = (wall - _EPOCH) // timedelta(seconds=1)
        if before == after:
            yield seconds - before, None
            return
        follows = self.fields.wildcard or abs(before - after) >= _CORRECTION
        if before > after:
            yield seconds - before, seconds - after if follows else None
        elif not follows:
            yield _jump(self.zone, seconds - after, seconds - before), None


def _walls(fields: Fields, start: datetime) -> Iterator[datetime]:
    with importing:
        from cronsim import CronSim

    walls = CronSim("* * * * *", start)
    walls.minutes = set(fields.minutes)
    walls.hours = set(fields.hours)
    walls.days = set(fields.days)
    walls.months = set(fields.months)
    walls.weekdays = set(fields.weekdays)
    walls.day_and = fields.day_and
    return walls


def _jump(zone: tzinfo, before: int, after: int) -> int:
    """The first second of the new offset: the one before is at the old one, the one after at the new one."""
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, moment: int) -> int:
    return _seconds((_EPOCH + timedelta(seconds=moment)).replace(tzinfo=timezone.utc).astimezone(zone))


def _seconds(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
