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

from ipcmules.bus import table
from ipcmules.bus.table import R_CHANGED, R_MESSAGES, R_STATE, Table
from ipcmules.kernel import lines
from ipcmules.kernel.notify import tell_master
from ipcmules.messages.receive.behind import NOTHING, Behind
from ipcmules.messages.receive.boxes import Boxes
from ipcmules.messages.receive.hand import Hand
from ipcmules.messages.receive.handout import Handout
from ipcmules.messages.receive.sources import FARMS, NO_QUEUES, POOL, POOL_AND_FARMS, Sources, Want

#: How often a mule that never rests tells how many messages it has received, seconds.
TELLS = 0.02

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

    def give_back(self) -> None:
        """Leave what was taken and not handled to whoever comes next."""


class Waiting:
    """What the threads of one mule wait for."""

    def __init__(
        self,
        boxes: Boxes,
        taker: Taker,
        handout: Handout,
        shared: Table,
        record: int,
        notify: str,
        behind: Behind,
    ) -> None:
        self._behind = behind
        self._boxes = boxes
        self._taker = taker
        self._handout = handout
        self._lock = handout.lock
        self._cells = shared.cells
        self._record = record
        self._notify = notify
        self._sources: dict[Want, Sources] = {}
        self._rested = False
        #: When to tell next what was received.
        self.tell_at = 0.0
        #: Whether the last wait was shorter than SPIN.
        self._soon = False
        #: Whether the last wait ended without a sleep.
        self.spun = False
        self._crowded = CROWDED
        self._crowded_until = 0.0
        #: Whether somebody else waits for the descriptor of a set of sources (Inbox.fileno).
        self.is_polled = False
        #: Whether pool and farm queues are read.
        self.reads_shared = True
        #: Readable from a stop on, for ever.
        self.stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def sources(self, want: Want) -> Sources:
        """The sources of one kind of receive."""
        found = self._sources.get(want)
        return found if found is not None and found.armed else self._make(want)

    def _make(self, want: Want) -> Sources:
        with self._lock:
            found = self._sources.get(want)
            if found is None:
                return self._sources.setdefault(want, self._new(want))
            if not found.armed:  # an interrupted rearm()
                found.rearm()
            return found

    def _new(self, want: Want) -> Sources:
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
        own_queues = (boxes.own,) if want.own else ()
        return Sources([*shared, *queues], own, signals, queues, own_queues)

    def wait(self, sources: Sources, hand: Hand, began: float, deadline: float | None) -> int:
        """The first ready descriptor, waiting for it; NONE: the deadline is over; PENDING: see all signals.

        hand: the thread's. began: when this receive began to wait.
        """
        now = monotonic()
        if deadline is not None and now >= deadline:
            # Who only ever looks sees it too: a signal whose wake-up was read by a call that was interrupted.
            if sources.signals and self._taker.pending():
                return PENDING
            self._rest()
            self._behind.tidy(sources.queues)
            # Who waits for the descriptor elsewhere sleeps as well.
            return self._behind.sleep(sources.queues, []) if self.is_polled else NONE
        if self._soon and now >= self._crowded_until:
            until = began + SPIN if deadline is None else min(began + SPIN, deadline)
            poll = sources.poll
            while now < until:
                _yield()
                events = poll(0, 1)
                before, now = now, monotonic()
                if now - before > LONG:
                    self.crowded(now)
                behind = events[0][0] if events else self._behind.ready(sources.queues)
                if behind != NOTHING:
                    self.spun = True
                    return behind
        self.spun = False
        return self._sleep(sources, hand, deadline)

    def crowded(self, now: float) -> None:
        """A yield took long: with others on the core, whoever sleeps gets it sooner than whoever yields."""
        soon = now - self._crowded_until < self._crowded
        self._crowded = min(2 * self._crowded, CROWDED_MOST) if soon else CROWDED
        self._crowded_until = now + self._crowded

    def arrived(self, waited: float) -> None:
        """Something came after a wait of so many seconds."""
        self._soon = waited < SPIN

    def tell(self, now: float) -> None:
        """Have others see how many messages were received."""
        self.tell_at = now + TELLS
        self._tell()
        lines.look()

    def _tell(self) -> None:
        self._cells[self._record + R_MESSAGES] = self._handout.received
        self._behind.tell()

    def _rest(self) -> None:
        """Nothing to do for now: what other processes read in the table is brought up to date."""
        cells, record = self._cells, self._record
        self._tell()
        cells[record + R_STATE] = table.WAITING
        cells[record + R_CHANGED] = monotonic_ns()
        if not self._rested:
            self._rested = True
            tell_master(self._notify)

    def _sleep(self, sources: Sources, hand: Hand, deadline: float | None) -> int:
        if sources.signals and self._taker.pending():
            return PENDING
        self._behind.tidy(sources.queues)
        hand.asleep = True
        said: list[int] = []
        try:
            self._rest()
            self._handout.sleeps()
            behind = self._behind.sleep(sources.queues, said)
            if behind != NOTHING:
                return behind
            if self._behind.used and sources.queues:
                # Wake-ups that went to others may have left frames in a queue, and a full one takes no more.
                ready = sources.ready_queues()
                if ready:
                    return ready[0]
            left = -1 if deadline is None else max(deadline - monotonic(), 0.0)
            events = sources.poll(left, 1)
        finally:
            self._behind.wake(said)
            hand.asleep = False
            self._cells[self._record + R_STATE] = table.BUSY
            self._cells[self._record + R_CHANGED] = monotonic_ns()
        lines.look()  # what comes may print something, as the first thing since the log was moved away
        return events[0][0] if events else NONE

    def rearm(self) -> None:
        """A wake-up may have been lost with a killed mule: look at every shared source again."""
        with self._lock:
            for each in list(self._sources.values()):
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

    def after_fork(self) -> None:
        """In a forked child: what is waited for is the parent's; a wait that goes on ends with OSError."""
        for each in list(self._sources.values()):
            each.close()

    def close(self) -> None:
        """Close the sets of sources and the descriptor of the stop."""
        for each in list(self._sources.values()):
            each.close()
        os.close(self.stop)
