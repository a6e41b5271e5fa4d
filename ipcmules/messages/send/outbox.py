"""Sending to one queue: straight to the kernel while that has room, else into this process's lane behind it.

Knows the queue, its lanes, and the post's view of the bus. What is accepted is out of this process's hands.
The rules (docs/formats-messages.md, "Lanes"):

- A message goes to the kernel only while this process's lane is empty: so its messages keep their order. And
  only while no lane of that queue has anything, as far as a hint says: so no sender starves.
- The common path, once this process's lane has something, is the short form of Publisher._publish(), with the
  same stretches without calls and loops.
"""

from __future__ import annotations

import time

import posix_ipc

from ipcmules.bus.table import H_STATE, STOPPED
from ipcmules.errors import LimitError
from ipcmules.messages import frames, large
from ipcmules.messages.lanes import owning
from ipcmules.messages.lanes.chain import S_START, S_WORD, SHARED
from ipcmules.messages.lanes.writer import Lane
from ipcmules.messages.send.outlet import check_priority
from ipcmules.messages.send.publishing import NoLane, Publisher

_Busy = posix_ipc.BusyError
_SINGLE, _WAKE = frames.SINGLE, frames.WAKE
_STRIDE = SHARED.stride
#: How long a sender waits between two looks at a lane that has no room, seconds: at first, and at most.
_PAUSE, _LONGEST_PAUSE = 0.0005, 0.005


class Outbox(Publisher):
    """Sends to one queue.

    Build it with Post.outbox(). Safe for any number of threads, and in signal handlers.
    """

    # Sending

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """Send data, waiting up to timeout seconds (None: for ever) while as much waits as may.

        Returns True once it is accepted: it is out of this process's hands (or kept, if no mule reads this
        queue); False when the time is over. Raises BusStopped when the bus is over, LimitError when there is
        no room for a large message, ValueError for a priority outside 0 to 32767.
        """
        raise NotImplementedError

    def send_with(self, data: bytes, context: bytes, timeout: float | None, priority: int) -> bool:
        """As send(), with the context of who sends: the message lies by itself then, whatever its size.

        Where there is no room for that it goes without.
        """
        post = self._post
        if priority:
            check_priority(priority)
        if post.ended or (self._shared and not post.has_reader(self.endpoint)):
            return self.send(data, timeout, priority)
        return self._send_aside(data, context, timeout, priority)

    def _send(self, data: bytes, timeout: float | None, priority: int) -> bool:
        post = self._post
        if post.ended:
            raise post.stopped()
        if priority:
            check_priority(priority)
        if self._shared and not post.has_reader(self.endpoint):
            post.keep([data], self.endpoint, "no mule of it reads messages")
            return True
        if len(data) > self._longest:
            return self._send_aside(data, b"", timeout, priority)
        lane = self._lanes.get(priority)
        if (lane is None or lane.is_empty()) and (priority or not self._lane_cells[self._hint]):
            try:
                self._kernel(_SINGLE + data, None, priority)
            except _Busy:
                pass
            except posix_ipc.ExistentialError:
                self._reopen()
            else:
                if lane is not None:
                    lane.rest()
                if priority or self._table[H_STATE] == STOPPED:
                    self._sent(priority)
                return True
        return self._send_slowly(data, 0, timeout, priority, [])

    def _send_aside(self, data: bytes, context: bytes, timeout: float | None, priority: int) -> bool:
        """Send a message that lies by itself."""
        sent: list[None] = []
        size = len(data) or 1
        try:
            # From its return on to the next `try` no call: what lies there is sent or removed.
            reference = self._set_aside(data, context)
        except LimitError:
            if context:
                return self.send(data, timeout, priority)
            raise
        try:
            return self._send_slowly(reference, size, timeout, priority, sent)
        finally:
            if not sent:
                large.discard(reference)

    def _send_slowly(
        self, body: bytes, size: int, timeout: float | None, priority: int, sent: list[None]
    ) -> bool:
        """Send a message, or with a size not 0 the reference to one of that size.

        `sent` is not empty any more once it is out of our hands.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._try(body, size, priority, sent, last_resort=timeout == 0):
            return True
        if timeout == 0:
            return False
        pause = _PAUSE
        with self._post.waits(self.endpoint, timeout) as standstill:
            while self._wait_for_room(deadline, pause):
                standstill.look()
                if self._try(body, size, priority, sent, last_resort=True):
                    return True
                pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def _try(self, body: bytes, size: int, priority: int, sent: list[None], last_resort: bool) -> bool:
        """Send it now if there is room anywhere.

        last_resort: into the queue, although lanes of others have something. They would starve of one who
        has no lane and always does that at once: what they have is taken when the queue is empty.
        """
        lane = self._lanes.get(priority)
        empty = lane is None or lane.is_empty()
        use_queue = empty and (priority or not self._lane_cells[self._hint])
        if use_queue and self._try_kernel(body, size, priority, sent):
            if lane is not None:
                lane.rest()
            return True
        with self._lock:
            lane = self._lanes.get(priority) or self._open_lane(priority)
            position = 0 if lane is None else self._publish(lane, body, size, sent)
        if lane is not None and position:
            if priority:
                self._post.urgent(self.endpoint)
            if self._post.over():
                return self._post.end_in_lane(self, lane, position)
            return True
        # Where there is no memory for lanes, or no lane to be had, the queue alone decides.
        lane = self._lanes.get(priority)
        if not (last_resort or priority) and self._lane_cells[self._hint]:
            return False
        return (lane is None or lane.is_empty()) and self._try_kernel(body, size, priority, sent)

    def _try_kernel(self, body: bytes, size: int, priority: int, sent: list[None]) -> bool:
        frame = frames.large(body) if size else _SINGLE + body
        queue = self._queue or self._open()
        if size:
            large.publish(body)
        try:
            sent.extend(map(queue.send, (frame,), (None,), (priority,)))
        except _Busy:
            if size:
                large.withdraw(body)
            return False
        except posix_ipc.ExistentialError:
            self._reopen()
            return self._try_kernel(body, size, priority, sent)
        self._sent(priority)
        return True

    def _wait_for_room(self, deadline: float | None, pause: float) -> bool:
        """Wait a little while nothing can be sent. False if the deadline (monotonic) is over."""
        if all(each.is_empty() for each in list(self._lanes.values())) and not self._lane_cells[self._hint]:
            return self._wait(deadline)
        if deadline is not None:
            pause = min(pause, deadline - time.monotonic())
            if pause <= 0:
                return False
        time.sleep(pause)
        self._post.check_alive()
        return True

    def leave(self) -> None:
        """Give the lanes up:

        this process ends, or leaves the bus. What is in them is received all the same.
        """
        with self._lock:
            self._lane = NoLane()
            while self._lanes:
                _priority, lane = self._lanes.popitem()
                lane.rest()
                owning.leave(self._directory, lane)

    def close(self) -> None:
        """Give up the lanes and close the descriptor."""
        self.leave()
        super().close()

    def _is_over(self, lane: Lane, at: int) -> bool:
        """The bus is over, and a message was published in the common path since: see what becomes of it."""
        return self._post.end_in_lane(self, lane, lane.segment.number << 32 | at)


class PrivateOutbox(Outbox):
    """Sends to one mule."""

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """As Outbox.send()."""
        size = len(data)
        lane = self._lane
        # From here to the call that wakes the mule no call and no loop.
        at, start = lane.at, lane.end
        end = start + size
        if at < lane.stop and end <= lane.room and size <= self._longest and not priority:
            lane.memory[start:end] = data
            lane.cells[at] = size + 1
            lane.at = at + 1
            lane.end = end
            if self._lane_cells[self._bell] != self._rung_first:
                # The mule has slept or woken meanwhile. The next message goes the long way, where it goes to
                # the queue if the mule has taken what is in the lane by then.
                bell = self._lane_cells[self._bell]
                lane.stop = 0
                self._lane_cells[self._hint] = 1
                if bell & 1:
                    try:
                        self._kernel(_WAKE, None, 0)
                    except _Busy:
                        pass
                    except posix_ipc.ExistentialError:
                        self._ring_anew()
                self._rung_first = bell
                # Who ends the bus changes the bells, too.
                if self._table[H_STATE] == STOPPED:
                    return self._is_over(lane, at)  # type: ignore[arg-type]
            return True
        return self._send(data, timeout, priority)


class SharedOutbox(Outbox):
    """Sends to the pool or a farm."""

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """As Outbox.send()."""
        size = len(data)
        lane = self._lane
        # From here to the call that wakes somebody no call and no loop. Who sleeps cannot be told without
        # one: so where somebody has slept or woken since the last record this one goes the long way.
        at, start = lane.at, lane.end
        end = start + size
        if (
            at < lane.stop
            and end <= lane.room
            and size <= self._longest
            and not priority
            and self._bells[self._row] == self._rung
        ):
            lane.memory[start:end] = data
            slot = at * _STRIDE
            lane.cells[slot + S_START] = start
            lane.cells[slot + S_WORD] = size + 1
            lane.at = at + 1
            lane.end = end
            row = self._bells[self._row]
            if row != self._rung:
                self._lane_cells[self._hint] = 1
                try:
                    self._kernel(_WAKE, None, 0)
                except _Busy:
                    pass
                except posix_ipc.ExistentialError:
                    self._ring_anew()
                self._rung = row
                # The next record goes the long way, which rings once more if nobody has stirred.
                self._gap = 1
                lane.stop = lane.at
                # Who ends the bus changes the bells, too.
                if self._table[H_STATE] == STOPPED:
                    return self._is_over(lane, at)  # type: ignore[arg-type]
            return True
        return self._send(data, timeout, priority)
