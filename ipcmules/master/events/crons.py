"""Crons: minutes on the wall clock. One descriptor (timerfd_create(2)) for all of them, set to the nearest.

It wakes the master as well when the clock is set. What follows from a clock that was set is Vixie cron's rule
(cron(8)): by less than three hours, what was skipped comes at once, and what has been does not come again;
by more it is a correction, and the new time counts. A suspended machine is a clock set forward. The minutes
are events/cron.py's; knows the loop and what to call.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ipcmules.events.cron import CronSchedule
from ipcmules.events.specs import CronSpec
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.due import Due
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.loop.selector import Loop
from ipcmules.master.loop.timerfd import TimerFd

#: A clock that was set by more is a correction, seconds.
_CORRECTION = 3 * 3600.0


class Crons:
    """The crons of a bus. fire(event, 1, when it was due) is called when one is."""

    def __init__(self, loop: Loop, fire: Callable[[Event, int, float], None], fired: Fired) -> None:
        self._fire = fire
        self._fired = fired
        self._due: Due[float] = Due()
        self._running: dict[str, Event] = {}
        self._clock = TimerFd(loop, time.CLOCK_REALTIME, self._look)
        #: The wall clock at the last look.
        self._seen = time.time()

    def start(self, event: Event) -> None:
        """As book.Source."""
        spec = event.spec
        assert isinstance(spec, CronSpec)
        if event.schedule is None:
            event.schedule = spec.schedule()
        self._running[event.digest] = event
        self._plan(event, time.time())
        self._set()

    def stop(self, event: Event) -> None:
        """As book.Source."""
        self._due.drop(event)
        self._running.pop(event.digest, None)

    def next(self, event: Event) -> float | None:
        """When it is due, in seconds since the epoch; None if never again."""
        return self._due.time_of(event)

    def close(self) -> None:
        """Nothing is due any more."""
        self._due = Due()
        self._clock.close()

    def _plan(self, event: Event, now: float) -> None:
        schedule: CronSchedule = event.schedule
        last = self._fired.last(event.digest)
        # Where the clock was set back a little, what has been is not to come again.
        following = schedule.next(max(now, last) if last - now < _CORRECTION else now)
        if following is not None:
            self._due.put(event, following)

    def _set(self) -> None:
        self._clock.set(round((self._due.first() or 0.0) * 1e9), sets=True)

    def _look(self) -> None:
        now = time.time()
        if now < self._seen - _CORRECTION:
            for event in self._running.values():
                self._plan(event, now)
        self._seen = now
        for due, event in self._due.pop(now):
            if now - due < _CORRECTION:
                self._fired.note(event.digest, due, keep=not event.runtime)
                self._fire(event, 1, due)
            self._plan(event, now)
        self._fired.save()
        self._set()
