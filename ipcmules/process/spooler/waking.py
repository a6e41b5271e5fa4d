"""What a spooler waits for: its directory's queue, signals, the stop, and a time.

The queue and the signal FIFOs are shared with the other spoolers: they are waited for exclusively, so that
one wakes for a task. Knows queues and signals, not tasks.
"""

from __future__ import annotations

import os
import select
import time
from typing import Final

import posix_ipc

from ipcmules.errors import AccessError
from ipcmules.kernel import unpatched_polls
from ipcmules.member.membership import Membership
from ipcmules.messages import queues
from ipcmules.signals.taker import Taker

#: The longest wait in one piece, seconds: whoever waits looks at the clock then, which may have been set.
_LONGEST: Final = 30.0
#: How long to look without sleeping, seconds.
_SPIN: Final = 50e-6


class Waking:
    """The sources of one spooler. number: that of its directory, from 1."""

    def __init__(self, member: Membership, number: int) -> None:
        layout = member.table.layout
        self.taker = Taker(
            member.where,
            member.table,
            [("spool0", layout.spool_endpoint(0)), (f"spool{number}", layout.spool_endpoint(number))],
        )
        spec = member.description.queue(f"spool.{number}")
        if spec is None:
            raise AccessError(f"bus {member.where.bus!r} has no queue for its spool directory {number}")
        self._queue = queues.open_queue(spec)
        self._receive = self._queue.receive
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = unpatched_polls.epoll()
        self._epoll.register(self._stop, select.EPOLLIN)
        for descriptor in (self._queue.mqd, *(each for each, _shared in self.taker.sources)):
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    @property
    def told(self) -> int:
        """A descriptor that is readable once stop() was called."""
        return self._stop

    def fileno(self) -> int:
        """A descriptor that is readable where wait() would return."""
        return self._epoll.fileno()

    def stop(self) -> None:
        """Make every wait return from now on; safe in a Python signal handler."""
        os.eventfd_write(self._stop, 1)

    def receive(self) -> bytes | None:
        """What the queue says next: a task's name, LOOK, or None where it is empty."""
        try:
            return self._receive()[0]
        except posix_ipc.BusyError:
            return None

    def drain(self) -> None:
        """Forget what the queue says: the directory is looked at next."""
        while self.receive() is not None:
            pass

    def signal(self) -> int | None:
        """A signal that is there, without waiting."""
        if not self.taker.pending():
            return None
        for descriptor, _shared in self.taker.sources:
            taken = self.taker.take(descriptor)
            if isinstance(taken, int):
                return taken
        return None

    def wait(self, seconds: float, soon: bool = False) -> int | None:
        """Wait until there is something to do, at most so long. Returns a signal, if one was what came.

        soon: look for a moment without sleeping first, letting others run: a wake-up takes longer.
        """
        events = self._spin() if soon else None
        if not events:
            events = self._epoll.poll(min(max(seconds, 0.0), _LONGEST), 1)
        if not events or events[0][0] in (self._stop, self._queue.mqd):
            return None
        taken = self.taker.take(events[0][0])
        return taken if isinstance(taken, int) else None

    def rest(self, seconds: float) -> None:
        """Wait for the stop alone, at most so long: nothing is to be done."""
        waiting = (
            unpatched_polls.poll()
        )  # a spooler may have more than the 1024 descriptors that select(2) knows
        waiting.register(self._stop, select.POLLIN)
        waiting.poll(1000 * seconds)

    def _spin(self) -> list[tuple[int, int]]:
        poll, until = self._epoll.poll, time.monotonic() + _SPIN
        while time.monotonic() < until:
            if events := poll(0, 1):
                return events
            os.sched_yield()
        return []
