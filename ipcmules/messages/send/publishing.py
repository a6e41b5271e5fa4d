"""Publishing in this process's lanes behind one queue, and waking whoever sleeps there.

Knows the queue, its lanes and bells. From the look at where a lane goes on to the store that publishes there
is no call and no loop, so neither another thread nor a signal handler comes between (kernel/interruption.py,
and inlining rules of CPython, see outlet.py). From that store to the look at who sleeps, and to the call that
wakes him, neither.
"""

from __future__ import annotations

import posix_ipc

from ipcmules.bus import log
from ipcmules.bus.description import QueueSpec
from ipcmules.errors import BusStopped
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.messages import frames, large
from ipcmules.messages.lanes import owning
from ipcmules.messages.lanes.chain import LARGE, S_START, S_WORD, SHARED
from ipcmules.messages.lanes.directory import Q_WAITING, Directory, is_asleep
from ipcmules.messages.lanes.writer import Bounds, Lane
from ipcmules.messages.send.office import Office
from ipcmules.messages.send.outlet import Outlet

_Busy = posix_ipc.BusyError
_WAKE = frames.WAKE
_STRIDE = SHARED.stride
#: How long one waits for the lock of a queue's lanes that another holds, seconds.
_TURN = 0.25


class NoLane:
    """In place of a lane that is not in use."""

    at = end = stop = room = 0
    memory = bytearray(8)
    cells = memoryview(bytearray(8)).cast("Q")


class Publisher(Outlet):
    """This process's lanes behind one queue."""

    def __init__(
        self, post: Office, spec: QueueSpec, directory: Directory, queue: int, bounds: Bounds, generation: int
    ) -> None:
        self._directory = directory
        self._number = queue
        self._bounds = bounds
        self._generation = generation
        self._table = post.cells
        self._lane_cells = directory.cells
        #: The hint that some lane of the queue may have something.
        self._hint = directory.record(queue) + Q_WAITING
        #: Where its receivers' bells are; and the cell of the first, the only one of a mule's own queue.
        self._row = directory.bells(queue)
        self._bell = self._row.start // 8
        self._bells = directory.memory
        super().__init__(post, spec)

    def reset(self) -> None:
        """Begin anew, without a lane and with a descriptor of this process's own (also after a fork)."""
        super().reset()
        self._lock = unpatched.RLock()
        #: The lane of each priority, and that of priority 0 as the common path uses it.
        self._lanes: dict[int, Lane] = {}
        self._lane: Lane | NoLane = NoLane()
        self._complained = False
        #: The state of the bells in which this process has rung, or in which nobody slept: what it publishes
        #: while they are so wakes nobody a second time.
        self._rung = b""
        #: Behind a shared queue: after so many more records it rings once more in that state.
        self._gap = 1
        #: The first of them as a number, or an older one; behind a mule's own queue there is no other.
        self._rung_first = -1

    # Lanes; with the lock held

    def _open_lane(self, priority: int) -> Lane | None:
        """A lane of this process behind the queue; None if there can be none."""
        if not self._bounds.messages or not self._bounds.bytes:
            return None
        if self._queue is None:
            self._open()
        try:
            lane = owning.claim(self._directory, self._number, priority, self._bounds, _TURN)
        except OSError as error:
            self._complain(error)
            return None
        if lane is None:
            return None
        found = self._lanes.setdefault(priority, lane)
        if found is not lane:  # a signal handler's send was here meanwhile
            owning.leave(self._directory, lane)
        elif priority == 0:
            self._lane = lane
        return found

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            remedy = exhaustion.remedy(error, exhaustion.MORE_SHARED_MEMORY)
            log.event(
                "warning",
                f"nothing can wait behind the queue of {self.endpoint} ({error.strerror}): this process "
                f"waits for room in the queue itself; {remedy}",
            )

    def _publish(self, lane: Lane, body: bytes, size: int, sent: list[None]) -> int:
        """Publish a record in a lane. Returns the position it has there, 0 if as much waits as may."""
        length, flags, shared = len(body), LARGE if size else 0, lane.shape is SHARED
        done: tuple[None] = (None,)
        while True:
            if not self._room(lane, body, size):
                return 0
            kernel = (self._queue or self._open()).send
            at, start = lane.at, lane.end
            end, after = start + length, at + 1
            position = lane.position
            slot, word = at * _STRIDE, length + 1 | flags
            first = self._lane_cells[self._bell]
            before = self._bells[self._row]
            gap = self._gap if before == self._rung else 1
            # Of a mule's own queue the common path notes no more than the bell.
            rings = is_asleep(before) and (shared or first != self._rung_first)
            if shared:
                # From here to `sent` no call, no loop and, for CPython 3.10, no condition that jumps.
                if lane.at == at and lane.end == start and at < lane.stop and end <= lane.room:
                    lane.memory[start:end] = body
                    lane.cells[slot + S_START] = start
                    lane.cells[slot + S_WORD] = word
                    lane.at = after
                    lane.end = end
                    sent[:] = done
            elif lane.at == at and lane.end == start and at < lane.stop and end <= lane.room:
                lane.memory[start:end] = body
                lane.cells[at] = word
                lane.at = after
                lane.end = end
                sent[:] = done
            if sent:
                self._lane_cells[self._hint] = 1
                row = self._bells[self._row]
                rings |= row != before
                if rings:
                    try:
                        kernel(_WAKE, None, 0)
                    except _Busy:
                        pass
                    except posix_ipc.ExistentialError:
                        self._ring_anew()
                self._rung = row
                self._rung_first = first
                self._published(lane, size, gap if rings else 0)
                return position

    def _published(self, lane: Lane, size: int, gap: int) -> None:
        """What follows from a record. gap: not 0 if somebody was woken for it."""
        if gap and lane.shape is SHARED:
            # Who was woken may be stopped: if nobody has stirred until then, somebody is for a later one.
            lane.stop = min(lane.stop, lane.at + gap)
            self._gap = 2 * gap
        if not lane.registered:
            self._look_again(lane)
        if size:
            lane.weighs(size)

    def _room(self, lane: Lane, body: bytes, size: int) -> bool:
        """True if the lane has room for the record; a large message has its last name then."""
        try:
            if lane.has_room(len(body)):
                if size:
                    large.publish(body)
                return True
        except OSError as error:
            self._complain(error)
        if size:
            large.withdraw(body)
        return False

    def _look_again(self, lane: Lane) -> None:
        """Other processes' barriers do not reach this one: look at who sleeps after a fence of its own."""
        lane.rest()  # the common path has no fence
        lane.fence()
        if self._bells[self._row] != self._rung:
            try:
                self._kernel(_WAKE, None, 0)
            except _Busy:
                pass
            except posix_ipc.ExistentialError:
                self._ring_anew()

    def _ring_anew(self) -> None:
        """Ring by another descriptor: the one there was had been closed behind our back."""
        self._reopen()
        try:
            self._open().send(_WAKE, None, 0)
        except (_Busy, BusStopped, posix_ipc.ExistentialError):
            pass  # the queue is full, or the bus over: then whoever asks sees that
