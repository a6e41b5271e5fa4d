"""One target's sending side in this process: straight to the kernel, or packed while the queue is full.

Knows its queue, frames, and the post's flusher and view of the bus. The rules, which keep the order of
each thread's messages without a lock on the common path (docs/formats-messages.md, "Sending"):

- The pending list is the truth: append first, look at the flag `_buffering` afterwards. Whoever clears the
  flag looks at the list again afterwards. So one of the two always sees the message.
- A message leaves the list only after the frame that carries it is in the kernel, and only a thread that finds
  the list empty sends directly.
- Only who holds the lock takes from the list.
- Buffering lasts while it pays: while frames fill quickly. Otherwise each send goes straight to the kernel.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import posix_ipc

from ipcmules import log
from ipcmules.description import QueueSpec
from ipcmules.errors import LimitError
from ipcmules.messages import frames, large

if TYPE_CHECKING:
    from ipcmules.messages.post import Post

#: Bytes that wait in this process at most, before a send waits or is refused.
BUFFER = 256 * 1024
#: A frame of this many bytes must fill within _QUICK seconds, or packing does not pay.
_PAYING = 4096
_QUICK = 0.0003
#: Bytes between two looks at the clock.
_LOOK = 512
#: A full buffer is tried again so often, giving way to the receivers, before the sender sleeps.
_YIELDS = 4
#: How often a waiting sender asks whether the bus is still alive, in seconds.
_ALIVE = 0.5

_Busy = posix_ipc.BusyError
_SINGLE = frames.SINGLE
_monotonic = time.monotonic


class Large(bytes):
    """A pending reference to a message that is stored elsewhere; weighs what the message weighs."""

    weight: int = 0


class Outbox:
    """Sends to one queue. Build it with Post.outbox(). Safe for any number of threads."""

    def __init__(self, post: Post, spec: QueueSpec) -> None:
        self.endpoint = spec.endpoint
        self._post = post
        self._spec = spec
        self._capacity = spec.size
        #: Room to wait for in a full buffer: some messages at once, not each by itself.
        self._spare = spec.depth * spec.size // 4
        self._longest = spec.size - frames.OVERHEAD
        self._packs = not spec.shared
        #: Bytes that the common path may append before it must look around.
        self._stride = min(_LOOK, self._longest)
        #: The common path of send() is taken while this is positive; it is only while buffering.
        self._left = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew, with nothing pending and a descriptor of this process's own (also after a fork)."""
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._pending: list[bytes] = []
        #: Messages of a priority above 0, as (-priority, number, body): they leave before the pending ones.
        self._urgent: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()
        self._buffering = False
        self._left = self._allowed = 0
        self._bytes = 0
        self._larges = 0
        self._looked = 0.0
        self._frame: tuple[bytes, int] | None = None
        self._guess = 1
        self._blocked = False
        self._active = False
        self._seen = 0
        self._queue: posix_ipc.MessageQueue | None = None
        self._kernel: Callable[[bytes, None, int], None] = self._open_and_send

    # Sending

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """Send data, waiting up to timeout seconds (None: for ever) while queue and buffer are full.

        Returns True once it is accepted, in the kernel or in the buffer; False when the time is over.
        Raises BusStopped when the bus is over, LimitError when there is no room for a large message, ValueError for
        a priority outside 0 to 32767.
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
            _check(priority)
        if not self._packs and not post.has_reader(self.endpoint):
            post.keep([data], self.endpoint, "no mule of it reads messages")
            return True
        if len(data) > self._longest:
            return self._send_large(data, timeout, priority)
        if not self._pending and not self._urgent:
            try:
                self._kernel(_SINGLE + data, None, priority)
            except _Busy:
                pass
            except posix_ipc.ExistentialError:
                self._reopen()
                return self._send(data, timeout, priority)
            else:
                if priority:
                    post.urgent(self.endpoint)
                if post.over():
                    post.end(self)
                return True
        elif self._bytes >= BUFFER and not self._make_room(timeout):
            return False
        self._add(data, len(data), priority)
        return self._look()

    def _send_large(self, data: bytes, timeout: float | None, priority: int) -> bool:
        if self._bytes >= BUFFER and not self._make_room(timeout):
            return False
        reference = Large(large.store(self._post.where, data))
        reference.weight = len(data)
        if len(reference) > self._longest:
            large.discard(reference)
            raise LimitError(
                f"a message of {len(data)} bytes would be named by a reference of {len(reference)} bytes, which the "
                f"queue of {self.endpoint} ({self._capacity} bytes) does not take: make room in /dev/shm, or use a "
                "shorter state directory"
            )
        self._add(reference, reference.weight, priority)
        return self._look()

    def _add(self, data: bytes, weight: int, priority: int) -> None:
        if priority:
            with self._lock:
                heapq.heappush(self._urgent, (-priority, next(self._order), data))
                self._bytes += weight
            return
        if type(data) is Large:
            self._larges += 1
        self._pending.append(data)
        self._bytes += weight

    def _look(self) -> bool:
        """Every so many bytes of buffering: send what fills frames, and see whether packing still pays."""
        if self._post.exiting:
            self._post.finish()
            return True
        now = _monotonic()
        elapsed, self._looked = now - self._looked, now
        if self._buffering:
            self._account()
            if not self._lock.acquire(blocking=False):
                return self._settle() if not self._buffering else True  # somebody else is sending just now
        else:
            self._lock.acquire()
        try:
            if self._buffering:
                quick = self._packs and elapsed * min(self._capacity, _PAYING) <= _QUICK * _LOOK
                self._drain(whole=quick)
                if not quick and not self._pending and not self._urgent:
                    self._stop_buffering()
                    return True
            elif self._drain():
                return True
            else:
                self._start_buffering()
        finally:
            self._lock.release()
        return True

    def _account(self) -> None:
        """Count what the common path appended. Threads may race here; the count is right again at an empty list."""
        self._bytes += self._allowed - self._left
        # In a full buffer every send has to ask for room.
        self._allowed = self._left = self._stride if self._bytes < BUFFER else 0

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
        self._looked = _monotonic()
        self._buffering = True
        self._allowed = self._left = self._stride
        if not self._post.flush_later(self):
            self._buffering = False
            self._allowed = self._left = 0

    def _stop_buffering(self) -> None:
        self._buffering = False
        self._allowed = self._left = 0
        self._drain()  # what was appended before the flag was cleared
        if self._pending or self._urgent:
            self._buffering = True

    def _drain(self, whole: bool = False) -> bool:
        """Send what is pending; with whole, only full frames. True if nothing has to wait for room."""
        post = self._post
        if post.ended:
            return False
        while self._urgent:
            priority, _, data = self._urgent[0]
            frame = frames.large(data) if type(data) is Large else _SINGLE + data
            if not self._try(frame, -priority):
                return False
            heapq.heappop(self._urgent)
            self._bytes -= data.weight if type(data) is Large else len(data)
        pending = self._pending
        while pending:
            if whole and self._bytes < self._capacity and not self._frame:
                return True
            frame, count = self._frame or self._pack()
            if not self._try(frame, 0):
                self._frame = (frame, count)
                return False
            self._frame = None
            if self._larges and type(pending[0]) is Large:
                self._bytes -= pending[0].weight
                self._larges -= 1
            else:
                self._bytes -= len(frame)
            del pending[:count]
            if self._over():
                return True
        self._bytes = self._larges = 0
        self._blocked = False
        return True

    def _over(self) -> bool:
        return self._post.ended

    def _try(self, frame: bytes, priority: int) -> bool:
        try:
            self._kernel(frame, None, priority)
        except _Busy:
            self._blocked = True
            return False
        except posix_ipc.ExistentialError:
            self._reopen()
            return self._try(frame, priority)
        if priority:
            self._post.urgent(self.endpoint)
        if self._post.over():
            self._post.end(self)
        return True

    def _pack(self) -> tuple[bytes, int]:
        """The next frame of the pending messages, and how many it carries."""
        pending = self._pending
        first = pending[0]
        if type(first) is Large:
            return frames.large(first), 1
        if not self._packs:
            return _SINGLE + first, 1
        if self._larges:
            chunk = list(itertools.takewhile(_is_plain, pending[: frames.MOST]))
        else:
            # Most messages of a program are of one size: as many as last time fill the frame again.
            count = self._guess
            chunk = pending[:count]
            if count < len(pending) and frames.fills(chunk, pending[count], self._capacity):
                return frames.pack(chunk), count
            chunk = pending[: frames.MOST]
        count = self._guess = frames.fitting(chunk, self._capacity)
        return frames.pack(chunk[:count]), count

    # Waiting

    def _make_room(self, timeout: float | None) -> bool:
        """Wait until the buffer has room. False if timeout seconds were over first."""
        deadline = None if timeout is None else _monotonic() + timeout
        while True:
            for _ in range(_YIELDS):
                with self._lock:
                    self._drain()
                if self._bytes < BUFFER - self._spare:
                    break
                os.sched_yield()
            if self._bytes < BUFFER:
                self._looked = _monotonic()
                return True
            if not self._wait(deadline):
                return False

    def _wait(self, deadline: float | None) -> bool:
        """Wait until the queue has room, at most half a second. False if the deadline is over."""
        left = _ALIVE if deadline is None else deadline - _monotonic()
        if left <= 0:
            return False
        if not wait_for_room((self,), min(left, _ALIVE)):
            self._post.check_alive()
        return True

    def flush(self, deadline: float | None) -> bool:
        """Wait until nothing is pending. False if the deadline (time.monotonic) was over first."""
        while True:
            with self._lock:
                if self._drain():
                    if self._buffering:
                        self._stop_buffering()
                    if not self._pending and not self._urgent:
                        return True
            if self._post.ended or not self._wait(deadline):
                return False

    def service(self) -> bool:
        """The flusher's round: send what is pending. False once there is nothing left to do for it."""
        with self._lock:
            idle = self._left == self._allowed and len(self._pending) == self._seen
            if self._buffering:
                self._account()
            if self._drain() and idle:
                self._stop_buffering()
            self._active, self._seen = not idle, len(self._pending)
            return self._buffering and not self._post.ended

    @property
    def blocked(self) -> bool:
        """True if the queue was full when something was last sent, and nobody but the flusher is sending."""
        return self._blocked and not self._active

    @property
    def pending(self) -> int:
        """How many messages wait in this process."""
        return len(self._pending) + len(self._urgent)

    def descriptor(self) -> int:
        """The queue's descriptor, -1 if it is not open yet."""
        return -1 if self._queue is None else self._queue.mqd

    # Ends

    def take_pending(self) -> list[tuple[bytes, int]]:
        """Take everything that is pending, with priorities, as whole messages (large ones loaded)."""
        with self._lock:
            return self._take_pending()

    def _take_pending(self) -> list[tuple[bytes, int]]:
        urgent = sorted(self._urgent)
        found = [(data, -priority) for priority, _, data in urgent] + [(data, 0) for data in self._pending]
        self._urgent.clear()
        self._pending.clear()
        self._frame = None
        self._bytes = self._larges = 0
        self._buffering, self._left, self._allowed = False, 0, 0
        whole: list[tuple[bytes, int]] = []
        for data, priority in found:
            try:
                whole.append((large.load(data) if type(data) is Large else data, priority))
            except (OSError, ValueError) as error:  # the others must not be lost with it
                log.event("error", f"a buffered large message to {self.endpoint} is lost: {error}")
        return whole

    def leftovers(self) -> list[tuple[bytes, int]]:
        """Whatever lies in the queue, taken out of it, with priorities."""
        found: list[tuple[bytes, int]] = []
        if self._queue is None:
            return found
        while True:
            try:
                frame, priority = self._queue.receive()
            except (_Busy, posix_ipc.ExistentialError):
                return found
            for data in frames.unpack(frame):
                try:
                    found.append((large.load(data) if frames.is_large(frame) else data, priority))
                except FileNotFoundError:
                    pass  # the master swept it, having kept what named it

    def forget(self) -> None:
        """In a forked child: what is pending is the parent's, and so is the lock somebody may have held."""
        self.close()
        self.reset()

    def close(self) -> None:
        """Close the descriptor."""
        queue, self._queue = self._queue, None
        self._kernel = self._open_and_send
        if queue is not None:
            queue.close()

    def _reopen(self) -> None:
        """The descriptor was closed behind our back, as programs do that become daemons: it is not ours to close."""
        self._queue = None
        self._kernel = self._open_and_send

    def _open_and_send(self, frame: bytes, timeout: None, priority: int) -> None:
        """Stands where the queue's own send() will: opens the queue with the first message."""
        with self._opening:
            if self._queue is None:
                self._queue = self._post.open(self._spec)
            self._kernel = self._queue.send
        self._kernel(frame, timeout, priority)


def wait_for_room(outboxes: tuple[Outbox, ...], seconds: float) -> bool:
    """Wait until one of the outboxes' queues takes a message. False if the time was over."""
    poller = select.poll()
    for each in outboxes:
        if each.descriptor() >= 0:
            poller.register(each.descriptor(), select.POLLOUT)
    return bool(poller.poll(seconds * 1000))


def _is_plain(message: bytes) -> bool:
    return type(message) is bytes


def _check(priority: int) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 32767:
        raise ValueError(f"priority={priority!r}: give a number from 0 to 32767")
