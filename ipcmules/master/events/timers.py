"""Timers: ticks on the monotonic clock. One descriptor (timerfd_create(2)) for all, set to the nearest tick.

The arithmetic is events/ticks.py's. Knows the loop and what to call; not what a tick does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ipcmules.events.specs import TimerSpec
from ipcmules.events.ticks import Ticks
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.due import Due
from ipcmules.master.loop.selector import Loop
from ipcmules.master.loop.timerfd import TimerFd

#: add_rb_timer(n, 0, k) raises k times at once: so many before the loop sees to others again.
_AT_ONCE = 1000


class Timers:
    """The timers of a bus. fire(event, how often) is called when one is due."""

    def __init__(self, loop: Loop, fire: Callable[[Event, int], None], over: Callable[[Event], None]) -> None:
        """over(event) is called when a timer has had its last tick."""
        self._fire = fire
        self._over = over
        self._due: Due[int] = Due()
        #: Ticks that are due and not raised yet, where there are many at once.
        self._owed: dict[str, int] = {}
        self._clock = TimerFd(loop, time.CLOCK_MONOTONIC, self._look)
        self._set_for = 0  #: what it is set to, 0: nothing

    def start(self, event: Event) -> None:
        """As book.Source."""
        spec = event.spec
        assert isinstance(spec, TimerSpec)
        if event.schedule is None:
            event.schedule = Ticks(time.monotonic_ns(), spec.interval, spec.iterations)
        ticks: Ticks = event.schedule
        if ticks.next is not None:
            self._due.put(event, ticks.next)
            self._set()

    def stop(self, event: Event) -> None:
        """As book.Source."""
        self._due.drop(event)
        self._owed.pop(event.digest, None)

    def next(self, event: Event) -> float | None:
        """When it is due, in seconds since the epoch; None if it is over."""
        due = self._due.time_of(event)
        return None if due is None else due / 1e9 + _ahead()

    def close(self) -> None:
        """Nothing is due any more."""
        self._due = Due()
        self._clock.close()

    def _set(self) -> None:
        first = self._due.first() or 0
        if first == self._set_for:
            return
        self._set_for = first
        self._clock.set(first)

    def _look(self) -> None:
        self._set_for = 0
        now = time.monotonic_ns()
        for _time, event in self._due.pop(now):
            self._tick(event, now)
        self._set()

    def _tick(self, event: Event, now: int) -> None:
        ticks: Ticks = event.schedule
        owed = self._owed.pop(event.digest, 0)
        count, following = (owed, None) if owed else ticks.due(now)
        if count > _AT_ONCE:
            self._owed[event.digest] = count - _AT_ONCE
            count, following = _AT_ONCE, now
        if following is not None:
            self._due.put(event, following)
        if count:
            self._fire(event, count)
        if following is None:
            self._over(event)


def _ahead() -> float:
    """Seconds that the wall clock is ahead of the monotonic one.

    The most of three looks: one that is interrupted between the two clocks finds less.
    """
    return max(time.time() - time.monotonic() for _ in range(3))
