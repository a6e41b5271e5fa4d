"""The way to one queue, for all outboxes: opened with the first message, waited for, emptied.

Knows a queue and the post's view of the bus; keeps no messages. A program's signal handlers run between two
steps of any call here and may raise. What must not be cut in two is one call of C code that notes its
success itself, `sent.extend(map(queue.send, ...))`; what follows from the note is done then, or by whoever
comes next. CPython (3.10 and later) runs handlers after calls, at loops and, 3.10 only, at the beginning of
an except or finally block.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import posix_ipc

from ipcmules.bus.description import QueueSpec
from ipcmules.errors import LimitError
from ipcmules.kernel import unpatched, unpatched_polls
from ipcmules.messages import frames, large

if TYPE_CHECKING:
    from ipcmules.messages.send.office import Office

#: How often a waiting sender asks whether the bus is still alive, in seconds.
_ALIVE = 0.5
_Busy = posix_ipc.BusyError


class Outlet:
    """One queue's descriptor in this process, and what follows from a message that went into it."""

    def __init__(self, post: Office, spec: QueueSpec) -> None:
        self.endpoint = spec.endpoint
        self._post = post
        self._spec = spec
        self._shared = spec.shared
        #: The longest message that travels in the queue itself.
        self._longest = spec.size - frames.OVERHEAD
        self.reset()

    def reset(self) -> None:
        """Begin anew, with a descriptor of this process's own (also after a fork)."""
        self._opening = unpatched.RLock()
        self._queue: posix_ipc.MessageQueue | None = None
        #: The queue's send, as the common path calls it.
        self._kernel: Callable[[bytes, None, int], None] = self._open_and_send

    # The descriptor

    def descriptor(self) -> int:
        """The queue's descriptor, -1 if it is not open yet."""
        return -1 if self._queue is None else self._queue.mqd

    def _open(self) -> posix_ipc.MessageQueue:
        with self._opening:
            if self._queue is None:
                self._queue = self._post.open(self._spec)
            self._kernel = self._queue.send
            return self._queue

    def _open_and_send(self, frame: bytes, timeout: None, priority: int) -> None:
        """Stands where the queue's own send() will: opens the queue with the first message."""
        self._open().send(frame, timeout, priority)

    def _reopen(self) -> None:
        """The descriptor was closed behind our back, as daemons do: its number is not ours to close."""
        self._queue = None
        self._kernel = self._open_and_send

    def forget(self) -> None:
        """In a forked child: nothing here is this process's, nor the lock somebody may have held."""
        Outlet.close(self)
        self.reset()

    def close(self) -> None:
        """Close the descriptor."""
        queue, self._queue = self._queue, None
        self._kernel = self._open_and_send
        if queue is not None:
            queue.close()

    # Messages

    def _sent(self, priority: int) -> None:
        """A frame went into the kernel: its receiver is told if it is urgent, and the bus may be over."""
        if priority:
            self._post.urgent(self.endpoint)
        if self._post.over():
            self._post.end(self)

    def _set_aside(self, data: bytes, context: bytes = b"") -> bytes:
        """Store a message that the queue does not take, or one with a context; the reference to it.

        Raises LimitError.
        """
        reference = large.store(self._post.where, data, created=self._post.stores, context=context)
        try:
            if len(reference) <= self._longest:
                return reference
            raise LimitError(
                f"a message of {len(data)} bytes would be named by a reference of {len(reference)} bytes, "
                f"which the queue of {self.endpoint} ({self._spec.size} bytes) does not take: make room in "
                "/dev/shm, or use a shorter state directory"
            )
        except BaseException:
            large.discard(reference)
            raise

    def leftovers(self) -> Iterator[list[bytes]]:
        """Whatever lies in the queue, taken out of it, a frame's messages at a time."""
        while self._queue is not None:
            try:
                frame, _ = self._queue.receive()
            except (_Busy, posix_ipc.ExistentialError):
                return
            if frame == frames.WAKE:
                continue
            found = []
            for data in frames.unpack(frame):
                try:
                    found.append(large.load(data) if frames.is_large(frame) else data)
                except FileNotFoundError:
                    pass  # the master swept it, having kept what named it
            yield found

    # Waiting

    def _wait(self, deadline: float | None) -> bool:
        """Wait until the queue has room, at most half a second. False if the deadline (monotonic) is over.

        Raises BusStopped if nobody is left to make room.
        """
        left = _ALIVE if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        if not wait_for_room(self, min(left, _ALIVE)):
            self._post.check_alive()
        return True


def wait_for_room(outlet: Outlet, seconds: float) -> bool:
    """Wait until the outlet's queue takes a message. False if the time was over."""
    poller = unpatched_polls.poll()
    if outlet.descriptor() >= 0:
        poller.register(outlet.descriptor(), select.POLLOUT)
    return bool(poller.poll(seconds * 1000))


def check_priority(priority: int) -> None:
    """Raise ValueError unless priority is one."""
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 32767:
        raise ValueError(f"priority={priority!r}: give a number from 0 to 32767")
