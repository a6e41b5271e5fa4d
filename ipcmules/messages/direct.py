"""A shared target's sending side (the pool, a farm): nothing waits in this process.

Each message is a frame of its own there, so packing cannot help, and a sender that is killed right after a
send (as multiprocessing.Pool kills its children) must not take accepted messages with it. So True means that
the message is in the kernel, and a full queue makes the sender wait. Each thread's messages are in order by
nature.
"""

from __future__ import annotations

import os
import time

import posix_ipc

from ipcmules.messages import frames, large
from ipcmules.messages.outlet import YIELDS, Outlet, check_priority

_Busy = posix_ipc.BusyError
_SINGLE = frames.SINGLE


class DirectOutbox(Outlet):
    """Sends to one shared queue. Build it with Post.outbox(). Safe for any number of threads."""

    #: How many messages wait in this process: none, ever.
    pending = 0

    def send(self, data: bytes, timeout: float | None = None, priority: int = 0) -> bool:
        """Send data, waiting up to timeout seconds (None: for ever) while the queue is full.

        Returns True once it is in the kernel (or kept, if no mule reads this queue); False when the time is
        over. Raises BusStopped when the bus is over, LimitError when there is no room for a large message,
        ValueError for a priority outside 0 to 32767.
        """
        post = self._post
        if post.ended:
            raise post.stopped()
        if priority:
            check_priority(priority)
        if not post.has_reader(self.endpoint):
            post.keep([data], self.endpoint, "no mule of it reads messages")
            return True
        if len(data) > self._longest:
            return self._send_large(data, timeout, priority)
        try:
            self._kernel(_SINGLE + data, None, priority)
        except _Busy:
            return self._send_slowly(_SINGLE + data, timeout, priority, [])
        except posix_ipc.ExistentialError:
            self._reopen()
            return self.send(data, timeout, priority)
        if post.over():
            post.end(self)
        return True

    def _send_large(self, data: bytes, timeout: float | None, priority: int) -> bool:
        reference = self._set_aside(data)
        sent: list[None] = []
        try:
            return self._send_slowly(frames.large(reference), timeout, priority, sent)
        finally:
            if not sent:
                large.discard(reference)

    def _send_slowly(self, frame: bytes, timeout: float | None, priority: int, sent: list[None]) -> bool:
        """Send a frame, waiting for room. `sent` is not empty any more once it is in the kernel."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._try(frame, priority, sent):
            if not self._wait(deadline):
                return False
        self._sent(0)
        return True

    def _try(self, frame: bytes, priority: int, sent: list[None]) -> bool:
        for _ in range(YIELDS):
            queue = self._queue or self._open()
            try:
                sent.extend(map(queue.send, (frame,), (None,), (priority,)))
                return True
            except _Busy:
                os.sched_yield()
            except posix_ipc.ExistentialError:
                self._reopen()
        return False

    # The rest of what the post asks of any outbox

    def flush(self, deadline: float | None) -> bool:
        """Wait until nothing is pending: at once."""
        return True

    def take_pending(self) -> list[tuple[bytes, int]]:
        """What is pending: nothing."""
        return []
