"""What lies in the lanes behind this mule's queues, and its bells: the word to senders that it sleeps.

Knows the lanes' readers, and descriptors of queues as names for them. Why no wake-up is lost stands in
docs/formats-messages.md, "Lanes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic

import posix_ipc

from ipcmules.bus.places import Places
from ipcmules.kernel import atomics, exhaustion, linux
from ipcmules.messages import frames
from ipcmules.messages.lanes import owning
from ipcmules.messages.lanes.directory import H_USED, Q_WAITING, Directory, is_asleep
from ipcmules.messages.lanes.private import PrivateLanes
from ipcmules.messages.lanes.shared import SharedLanes
from ipcmules.messages.lanes.tally import Tally

#: How often a mule with nothing to do looks for lanes of dead senders at most, seconds.
_OFTEN = 0.5

#: In place of a descriptor: there is nothing behind any queue.
NOTHING = -1


class Behind:
    """The lanes behind one mule's queues."""

    def __init__(
        self,
        where: Places,
        mule: int,
        own: int,
        sources: dict[int, int],
        senders: dict[int, Callable[[bytes, None, int], None]],
        tallies: Mapping[int, Tally],
    ) -> None:
        """By descriptor, sources: the numbers that the slots have for the queues; senders: each one's send().

        own: the descriptor of its own queue. tallies: what this process has taken, by such a number.
        """
        self._directory = directory = Directory(where)
        self.cells = directory.cells
        self._memory = directory.memory
        self.own = PrivateLanes(directory, mule)
        self._own = own
        self._send = senders
        mules = directory.layout.mules
        queues = {
            descriptor: mule if descriptor == own else (0 if source == 1 else mules + source - 1)
            for descriptor, source in sources.items()
        }
        #: By descriptor.
        self.shared = {
            descriptor: SharedLanes(directory, queue, sources[descriptor], tallies[sources[descriptor]])
            for descriptor, queue in queues.items()
            if descriptor != own
        }
        self._hints = {
            descriptor: directory.record(queue) + Q_WAITING for descriptor, queue in queues.items()
        }
        #: Index of this mule's bell at each queue, by descriptor.
        self.bells = {descriptor: directory.bell(queue, mule) for descriptor, queue in queues.items()}
        self._rows = {descriptor: directory.bells(queue) for descriptor, queue in queues.items()}
        #: The state of a queue's bells in which this process has rung, or in which nobody slept.
        self._rung = dict.fromkeys(queues, b"")
        #: And how often there was something to pass on since then.
        self._passed = dict.fromkeys(queues, 0)
        self._asleep = dict.fromkeys(queues, 0)
        self._turn = 0
        self._queues = queues
        self._tidied = 0.0
        #: Of each queue: the cell that tells what was taken of it, what those before this process took, and
        #: what this one did.
        self._told = [
            (cell := directory.tally(queue, mule), self.cells[cell], tallies[sources[descriptor]])
            for descriptor, queue in queues.items()
        ]
        #: Whether the barrier of a sender that begins a lane reaches this process: then none is needed here
        #: before there are lanes.
        self._reached = linux.register_for_barriers()
        for bell in self.bells.values():
            self.cells[bell] = (self.cells[bell] | 1) + 1  # a predecessor may have been killed in its sleep

    @property
    def used(self) -> bool:
        """True once some queue of this bus had a lane."""
        return bool(self.cells[H_USED])

    def ready(self, descriptors: Iterable[int]) -> int:
        """One of these queues behind which something lies, each in turn; NOTHING if there is none."""
        if not self.cells[H_USED]:
            return NOTHING
        found = [each for each in descriptors if self._has_something(each)]
        if not found:
            return NOTHING
        self._turn += 1
        return found[self._turn % len(found)]

    def _has_something(self, descriptor: int) -> bool:
        lanes = self.own if descriptor == self._own else self.shared[descriptor]
        return lanes.used and lanes.look()

    def tell(self) -> None:
        """Bring what the directory tells of messages that were taken up to date."""
        for cell, before, tally in self._told:
            self.cells[cell] = before + tally.taken

    # Sleeping

    def sleep(self, descriptors: Iterable[int], said: list[int]) -> int:
        """Say that a thread is about to sleep, then look once more: as ready(). `said`: for wake()."""
        cells, asleep, bells = self.cells, self._asleep, self.bells
        for each in descriptors:
            # Counted before it is noted: where a signal handler raises between them it is said once too
            # often. From the look at a bell to the store of it there is no call.
            bell = bells[each]
            asleep[each] += 1
            cells[bell] = cells[bell] + 2 | 1
            said.append(each)
        if self._reached and not cells[H_USED]:
            return NOTHING
        if not linux.barrier():
            atomics.fence()
        found = self.ready(said)
        if found == NOTHING and cells[H_USED]:
            for each in said:
                # A hint to senders: which way a message goes, not whether. Who publishes now sets it again,
                # as the bell has changed.
                cells[self._hints[each]] = 0
        return found

    def wake(self, said: list[int]) -> None:
        """The thread sleeps no more. What a sender published before it can know that is seen from here on."""
        cells, asleep, bells, others = self.cells, self._asleep, self.bells, False
        while said:
            each = said.pop()
            bell, others = bells[each], others or (each != self._own and self.shared[each].used)
            # As above, from the look at the count on: another thread may be about to sleep. Odd while one
            # does, and higher in any case.
            left = asleep[each] - 1
            asleep[each] = left
            cells[bell] = (cells[bell] + 2 | 1) - (not left)
            # Where there is nobody else, whoever misses a record now sees it before he sleeps again.
            others = others or left > 0
        if others:
            self.stirred()

    @staticmethod
    def stirred() -> None:
        """This thread has changed a bell.

        What a sender published before it can know that is seen from here on.
        """
        if not linux.barrier():
            atomics.fence()

    def pass_on(self, descriptor: int) -> None:
        """There is more in the lanes of a shared queue than this thread takes: wake somebody who sleeps."""
        row = self._memory[self._rows[descriptor]]
        self._passed[descriptor] = passed = (
            self._passed[descriptor] + 1 if row == self._rung[descriptor] else 1
        )
        if passed & (passed - 1):
            return  # in one state at the 1st time, the 2nd, the 4th ...: who was woken may be stopped
        if is_asleep(row):
            try:
                self._send[descriptor](frames.WAKE, None, 0)
            except (posix_ipc.BusyError, posix_ipc.ExistentialError):
                pass
        self._rung[descriptor] = row

    def tidy(self, descriptors: Iterable[int]) -> None:
        """Every so often, with nothing to do: give back the memory of senders that have ended."""
        now = monotonic()
        if now < self._tidied + _OFTEN or not self.cells[H_USED]:
            return
        self._tidied = now
        try:
            for each in descriptors:
                owning.free_of_the_dead(self._directory, self._queues[each])
            owning.sweep(self._directory)
        except OSError as error:
            if not exhaustion.refused(error):
                raise
            # There is no descriptor to look by. What is left is given back later, or by another mule.

    def after_fork(self) -> None:
        """In a forked child: the parent may sleep on, so its bells and lanes are left alone."""
        self.cells = memoryview(bytearray(len(self.cells) * 8)).cast("Q")
        for each in self.shared.values():
            each.after_fork()
