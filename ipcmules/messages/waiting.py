"""How the threads of a mule wait: which sets of sources there are, when to spin, when to sleep.

Knows the sources, the table's record of the mule and whether messages are loaded; not what a source holds.

A thread that waits for less than SPIN at a time yields and looks instead of sleeping: a wake-up costs more
than that. Whether it will is guessed from its last wait, so an idle mule sleeps at once and a slow trickle
costs one spin in vain. Without the yield a spin would keep a single core from whoever is to send. Where
other processes keep the cores busy a yield may last for a time slice, and the scheduler favours sleepers:
then nobody yields for a while.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Protocol

from ipcmules import table
from ipcmules.messages.boxes import Boxes
from ipcmules.messages.handout import Handout
from ipcmules.messages.sources import FARMS, NO_QUEUES, POOL, POOL_AND_FARMS, Sources, Want
from ipcmules.notify import tell_master
from ipcmules.table import R_CHANGED, R_MESSAGES, R_STATE, Table

#: How long a wait yields and looks before it sleeps, in seconds, if the last one was shorter than that.
SPIN = 0.00013

#: A yield that takes longer than that lost the core to somebody with much to do, in seconds.
LONG = 0.001
#: After one nobody yields for so many seconds; twice as long, up to a limit, if the next follows soon.
CROWDED, CROWDED_MOST = 0.01, 0.1

#: In place of a ready descriptor: the time is over; a signal is there whose wake-up was lost.
NONE, PENDING = -1, -2

_yield = os.sched_yield


class Taker(Protocol):
    """Where signals come from (ipcmules.signals.taker)."""

    @property
    def sources(self) -> Sequence[tuple[int, bool]]:
        """Descriptors, and whether other processes wait for them too."""

    def take(self, descriptor: int) -> object:
        """At most one signal: its number, None, or anything else to say: look at every source."""

    def pending(self) -> bool:
        """True if a signal may be there whose wake-up was lost."""


class Waiting:
    """What the threads of one mule wait for."""

    def __init__(
        self, boxes: Boxes, taker: Taker, handout: Handout, shared: Table, record: int, notify: str
    ) -> None:
        self._boxes = boxes
        self._taker = taker
        self._handout = handout
        self._lock = handout.lock
        self._cells = shared.cells
        self._record = record
        self._notify = notify
        self._sources: dict[Want, Sources] = {}
        self._rested = False
        #: Whether the last wait was shorter than SPIN.
        self._soon = False
        #: Whether the last wait ended without a sleep.
        self.spun = False
        self._crowded = CROWDED
        self._crowded_until = 0.0
        #: Whether pool and farm queues are read.
        self.reads_shared = True
        #: Readable from a stop on, for ever.
        self.stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def sources(self, want: Want) -> Sources:
        """The sources of one kind of receive."""
        found = self._sources.get(want)
        return found if found is not None else self._make(want)

    def _make(self, want: Want) -> Sources:
        boxes = self._boxes
        shared: list[int] = []
        own: list[int] = []
        if want.signals:
            for descriptor, others in self._taker.sources:
                (shared if others else own).append(descriptor)
        signals = [*shared, *own]
        own.append(self.stop)
        if want.own:
            own += (boxes.own, self._handout.wake)
        if want.shared == NO_QUEUES or (want.own and not self.reads_shared):
            queues: Sequence[int] = ()
        elif want.shared == POOL:
            queues = boxes.shared[:1]
        elif want.shared == FARMS:
            queues = boxes.shared[1:]
        elif want.shared == POOL_AND_FARMS:
            queues = boxes.shared
        else:
            queues = (boxes.by_name[want.shared],)
        made = self._sources[want] = Sources([*shared, *queues], own, signals, queues)
        return made

    def wait(self, sources: Sources, began: float, deadline: float | None) -> int:
        """The first ready descriptor, waiting for it; NONE: the deadline is over; PENDING: see all signals.

        began: when this receive began to wait.
        """
        now = monotonic()
        if deadline is not None and now >= deadline:
            self._rest()
            return NONE
        if self._soon and now >= self._crowded_until:
            until = began + SPIN if deadline is None else min(began + SPIN, deadline)
            poll = sources.poll
            while now < until:
                _yield()
                events = poll(0, 1)
                before, now = now, monotonic()
                if now - before > LONG:
                    self.crowded(now)
                if events:
                    self.spun = True
                    return events[0][0]
        self.spun = False
        return self._sleep(sources, deadline)

    def crowded(self, now: float) -> None:
        """A yield took long: with others on the core, whoever sleeps gets it sooner than whoever yields."""
        soon = now - self._crowded_until < self._crowded
        self._crowded = min(2 * self._crowded, CROWDED_MOST) if soon else CROWDED
        self._crowded_until = now + self._crowded

    def arrived(self, waited: float) -> None:
        """Something came after a wait of so many seconds."""
        self._soon = waited < SPIN

    def _rest(self) -> None:
        """Nothing to do for now: what other processes read in the table is brought up to date."""
        cells, record = self._cells, self._record
        cells[record + R_MESSAGES] = self._handout.received
        cells[record + R_STATE] = table.WAITING
        cells[record + R_CHANGED] = monotonic_ns()
        if not self._rested:
            self._rested = True
            tell_master(self._notify)

    def _sleep(self, sources: Sources, deadline: float | None) -> int:
        if sources.signals and self._taker.pending():
            return PENDING
        self._rest()
        self._handout.sleeping(+1)
        try:
            left = -1 if deadline is None else max(deadline - monotonic(), 0.0)
            events = sources.poll(left, 1)
        finally:
            self._handout.sleeping(-1)
            self._cells[self._record + R_STATE] = table.BUSY
            self._cells[self._record + R_CHANGED] = monotonic_ns()
        return events[0][0] if events else NONE

    def rearm(self) -> None:
        """A wake-up may have been lost with a killed mule: look at every shared source again."""
        with self._lock:
            for each in self._sources.values():
                each.rearm()

    def set_shared(self, reads: bool) -> None:
        """Whether pool and farm queues are read from now on."""
        with self._lock:
            if reads == self.reads_shared:
                return
            self.reads_shared = reads
            # Not closed: another thread may be waiting at them.
            self._sources = {}
            os.eventfd_write(self._handout.wake, 1)

    def close(self) -> None:
        """Close the sets of sources and the descriptor of the stop."""
        for each in self._sources.values():
            each.close()
        os.close(self.stop)
