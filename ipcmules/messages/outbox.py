"""A private target's sending side (one mule): straight to the kernel, or packed while messages come quickly.

Knows its queue, frames, and the post's flusher. The rules, which keep the order of each thread's messages
without a lock on the common path (docs/formats-messages.md, "Sending"):

- The pending list is the truth: append first, look at the flag `_buffering` afterwards. Whoever clears the
  flag looks at the list again afterwards. So one of the two always sees the message.
- A message leaves the list only after the frame that carries it is in the kernel, and only a thread that
  finds the list empty sends directly.
- Only who holds the lock takes from the list, and only once: a signal handler that sends in the middle of
  that appends, and leaves the rest to the flusher.
- Buffering lasts while it pays: while frames fill quickly. Otherwise each send goes straight to the kernel.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from bisect import insort
from typing import TYPE_CHECKING

import posix_ipc

from ipcmules.description import QueueSpec
from ipcmules.messages import frames
from ipcmules.messages.outlet import YIELDS, Outlet, check_priority, runs_below
from ipcmules.messages.packing import Large, Packer, single, total, weight, whole

if TYPE_CHECKING:
    from ipcmules.messages.post import Post

#: Bytes that wait in this process at most, before a send waits or is refused.
BUFFER = 64 * 1024
#: A frame of this many bytes must fill within _QUICK seconds, or packing does not pay.
_PAYING = 4096
_QUICK = 0.0003
#: Bytes between two looks at the clock.
_LOOK = 512
#: So many direct sends within so many seconds are quick too: packing begins before the queue is full.
_STREAK = 16
_STREAK_SECONDS = 0.00008

_Busy = posix_ipc.BusyError
_SINGLE = frames.SINGLE
_monotonic = time.monotonic


class Outbox(Outlet):
    """Sends to one private queue. Build it with Post.outbox(). Safe for any number of threads."""

    def __init__(self, post: Post, spec: QueueSpec) -> None:
        self._capacity = spec.size
        #: Room to wait for in a full buffer: some messages at once, not each by itself.
        self._spare = min(spec.depth * spec.size, BUFFER) // 4
        #: Bytes that the common path may append before it must look around.
        self._stride = min(_LOOK, spec.size - frames.OVERHEAD)
        super().__init__(post, spec)

    def reset(self) -> None:
        """Begin anew, with nothing pending and a descriptor of this process's own (also after a fork)."""
        super().reset()
        self._lock = threading.RLock()
        self._draining = False
        self._pending: list[bytes] = []
        #: Those of a priority above 0, as (-priority, number, body), sorted: they leave before the others.
        self._urgent: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()
        self._buffering = False
        #: The common path of send() is taken while _left is positive; it is only while buffering.
        self._left = self._allowed = 0
        self._bytes = self._larges = self._direct = self._looks = 0
        self._looked = 0.0
        self._frame: tuple[bytes, int] | None = None
        #: Not empty when `_frame`, or `_urgent_item`, is in the kernel and was not taken out yet (outlet.py).
        self._sent_frame: list[None] = []
        self._sent_urgent: list[None] = []
        self._urgent_item: tuple[int, int, bytes] = (0, 0, b"")
        self._packer = Packer(self._capacity)
        #: A full queue is tried again when so many bytes are pending.
        self._retry = 0
        self._blocked = self._quick = False
        self._seen = (0, 0)

    # Sending

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """Send data, waiting up to timeout seconds (None: for ever) while queue and buffer are full.

        Returns True once it is accepted, in the kernel or in the buffer; False when the time is over.
        Raises BusStopped when the bus is over, LimitError when there is no room for a large message,
        ValueError for a priority outside 0 to 32767.
        """
        left = self._left - len(data) - 2
        if left > 0 and not priority:
            self._pending.append(data)
            self._left = left
            if self._buffering:
                return True
            return self._settle()
        return self._send(data, timeout, priority)

    def _send(self, data: bytes, timeout: float | None, priority: int) -> bool:
        post = self._post
        if post.ended:
            raise post.stopped()
        if priority:
            check_priority(priority)
        if len(data) > self._longest:
            return self._send_large(data, timeout, priority)
        if not self._pending and not self._urgent and not self._buffering:
            try:
                self._kernel(_SINGLE + data, None, priority)
            except _Busy:
                pass
            except posix_ipc.ExistentialError:
                self._reopen()
                return self._send(data, timeout, priority)
            else:
                self._sent(priority)
                self._direct += 1
                if self._direct >= _STREAK:
                    self._see_streak()
                return True
        elif self._bytes >= BUFFER and not self._make_room(timeout):
            return False
        return self._look(self._add(data, priority))

    def _see_streak(self) -> None:
        """Some messages went out directly: if they came quickly, the next ones are packed."""
        self._direct = 0
        now = _monotonic()
        elapsed, self._looked = now - self._looked, now
        if elapsed < _STREAK_SECONDS and not self._post.exiting:
            self._quick = True
            with self._lock:
                self._start_buffering()

    def _send_large(self, data: bytes, timeout: float | None, priority: int) -> bool:
        if self._bytes >= BUFFER and not self._make_room(timeout):
            return False
        reference = Large(self._set_aside(data))
        reference.weight = len(data)
        return self._look(self._add(reference, priority))

    def _add(self, data: bytes, priority: int) -> int:
        """Append a message; what it weighs."""
        if priority:
            insort(self._urgent, (-priority, next(self._order), data))
        else:
            if type(data) is Large:
                self._larges += 1
            self._pending.append(data)
        weighs = weight(data)
        self._bytes += weighs
        return weighs

    def _look(self, came: int) -> bool:
        """Every so many bytes of buffering: send what fills frames, and see whether packing still pays.

        came: what was appended just now weighs so much.
        """
        if self._post.exiting:
            self._post.finish()
            return True
        now = _monotonic()
        elapsed, self._looked = now - self._looked, now
        self._looks += 1
        self._quick = elapsed * min(self._capacity, _PAYING) <= _QUICK * (self._allowed - self._left + came)
        if self._buffering:
            self._account()
            if self._quick and not self._urgent:
                return self._look_quickly()
        # A slow sender waits for the lock, although a thread that sends may hold it for long: else that one
        # would never see the end of the list, and every message would go its way.
        with self._lock:
            if self._buffering:
                if self._drain():
                    self._stop_buffering()
            elif not self._drain():
                self._start_buffering()
        self._looked = _monotonic()  # what sending took is not the time that the program takes
        return True

    def _look_quickly(self) -> bool:
        """Messages come quickly: nothing to do until there is a frame full of them."""
        if self._bytes >= max(self._capacity, self._retry):
            held: list[bool] = []
            try:
                # In one step with the note of it (see outlet.py); if it is taken, somebody else is sending.
                held.extend(map(self._lock.acquire, (False,)))
                if held[0]:
                    self._drain(whole=True)
            finally:
                if held and held[0]:
                    self._lock.release()
        return True if self._buffering else self._settle()

    def _account(self) -> None:
        """Count what the common path appended. Threads may race here: see _recount()."""
        self._bytes += self._allowed - self._left
        self._allow()

    def _recount(self) -> None:
        """With the lock held: count what is pending, whatever races of threads have made of the number."""
        self._bytes = total(self._pending, self._larges) + sum(weight(item[2]) for item in self._urgent)
        self._allow()

    def _allow(self) -> None:
        # A slow sender looks around with every message, and in a full buffer every send has to ask for room.
        self._allowed = self._left = self._stride if self._quick and self._bytes < BUFFER else 0

    def _settle(self) -> bool:
        """A message was appended while nobody was buffering any more: see that it leaves."""
        with self._lock:
            if not self._drain():
                self._start_buffering()
        return True

    # Buffering: all of it with the lock held

    def _start_buffering(self) -> None:
        if self._buffering:
            return
        # The flusher first: it waits for the lock, and looks at the list whatever a handler raises here.
        if not self._post.flush_later(self):
            return
        self._looked = _monotonic()
        self._buffering = True
        self._allow()

    def _stop_buffering(self) -> None:
        self._buffering = False
        self._allowed = self._left = 0
        self._drain()  # what was appended before the flag was cleared
        if self._pending or self._urgent:
            self._buffering = True

    def _drain(self, whole: bool = False, most: int | None = None) -> bool:
        """Send what is pending. True if nothing has to wait for room.

        whole: full frames only. most: no further frame once so many messages have left.
        """
        if self._in_a_drain():
            return False  # a signal handler of this thread sends, in the middle of this
        self._draining = True
        try:
            self._take_out_sent()
            return not self._post.ended and self._drain_urgent() and self._drain_pending(whole, most)
        finally:
            self._draining = False

    def _in_a_drain(self) -> bool:
        """With the lock held: True in a signal handler that interrupted _drain()."""
        return self._draining and runs_below(Outbox._drain, self)

    def _take_out_sent(self) -> None:
        """Take out what is noted as sent. Where a handler raises in here, the next drain does it again."""
        if self._sent_urgent:
            if self._urgent_item in self._urgent:
                self._urgent.remove(self._urgent_item)
                self._bytes -= weight(self._urgent_item[2])
            del self._sent_urgent[:]
        if self._sent_frame and self._frame is not None:
            pending, (frame, count) = self._pending, self._frame
            larges = 1 if self._larges and type(pending[0]) is Large else 0
            weighs = weight(pending[0]) if count == 1 else len(frame) - frames.OVERHEAD
            # From here on no call and no loop: it happens as a whole.
            del pending[:count]
            self._frame = None
            self._bytes -= weighs
            self._larges -= larges
            del self._sent_frame[:]

    def _drain_urgent(self) -> bool:
        while self._urgent:
            item = self._urgent_item = self._urgent[0]
            frame, queue = single(item[2]), self._queue or self._open()
            try:
                self._sent_urgent.extend(map(queue.send, (frame,), (None,), (-item[0],)))
            except _Busy:
                return self._is_blocked()
            except posix_ipc.ExistentialError:
                self._reopen()
                continue
            self._take_out_sent()
            self._sent(-item[0])
        return True

    def _drain_pending(self, whole: bool, most: int | None) -> bool:
        pending = self._pending
        left = len(pending) if most is None else most
        while pending:
            if whole and self._bytes < self._capacity and self._frame is None:
                return True
            if most is not None and left <= 0:
                return False
            count = self._send_frame()
            if not count:
                return False
            left -= count
            if self._post.ended:
                return True
        self._bytes = self._larges = self._retry = 0
        self._blocked = False
        return True

    def _send_frame(self) -> int:
        """Send the next frame of pending messages; how many it carried, 0 if the queue is full."""
        frame, count = self._frame = self._frame or self._packer.next(self._pending, self._larges)
        queue = self._queue or self._open()
        try:
            self._sent_frame.extend(map(queue.send, (frame,), (None,), (0,)))
        except _Busy:
            return int(self._is_blocked())
        except posix_ipc.ExistentialError:
            self._reopen()
            return self._send_frame()
        self._take_out_sent()
        self._retry = 0
        self._sent(0)
        return count

    def _is_blocked(self) -> bool:
        """The queue is full."""
        self._blocked = True
        self._retry = self._bytes + min(self._capacity, BUFFER // 8)
        return False

    # Waiting

    def _make_room(self, timeout: float | None) -> bool:
        """Wait until the buffer has room. False if timeout seconds were over first."""
        deadline = None if timeout is None else _monotonic() + timeout
        while True:
            for _ in range(YIELDS):
                with self._lock:
                    if self._in_a_drain():
                        return True  # in a signal handler that interrupted the only one who can make room
                    self._drain()
                if self._bytes < BUFFER - self._spare:
                    break
                os.sched_yield()
            if self._bytes < BUFFER:
                self._looked = _monotonic()
                return True
            if not self._wait(deadline):
                return False

    def flush(self, deadline: float | None) -> bool:
        """Wait until nothing is pending. False if the deadline (time.monotonic) was over first."""
        while True:
            with self._lock:
                if self._in_a_drain():
                    return False  # in a signal handler, as in _make_room
                if self._drain():
                    if self._buffering:
                        self._stop_buffering()
                    if not self._pending and not self._urgent:
                        return True
            if self._post.ended or not self._wait(deadline):
                return False

    def service(self) -> bool:
        """The flusher's round: send what is pending. False once there is nothing left to do for it."""
        (looks, left), self._seen = self._seen, (self._looks, self._left)
        quiet = (looks, left) == self._seen
        if self._quick and looks != self._looks and not self._urgent and self._bytes < self._capacity:
            return True  # in the middle of a stream, which fills this frame in a moment
        with self._lock:
            if self._buffering:
                self._recount()
            # No more than there is now: a sender that goes on need not be waited for.
            if self._drain(most=len(self._pending)) and quiet:
                self._stop_buffering()
            return bool(self._buffering or self._pending or self._urgent) and not self._post.ended

    @property
    def blocked(self) -> bool:
        """True if the queue was full when something was last sent, and nobody but the flusher is sending."""
        return self._blocked and (self._looks, self._left) == self._seen

    @property
    def pending(self) -> int:
        """How many messages wait in this process."""
        return len(self._pending) + len(self._urgent)

    def take_pending(self) -> list[tuple[bytes, int]]:
        """Take everything that is pending, with priorities, as whole messages (large ones loaded)."""
        with self._lock:
            self._take_out_sent()
            found = [(data, -priority) for priority, _, data in self._urgent]
            found += [(data, 0) for data in self._pending]
            self._urgent.clear()
            self._pending.clear()
            self._frame = None
            self._bytes = self._larges = 0
            self._buffering, self._left, self._allowed = False, 0, 0
        return whole(found, self.endpoint)
