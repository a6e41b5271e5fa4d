"""The thread that sends what outboxes have buffered when nobody else does.

Knows outboxes by what they offer: service(), blocked, descriptor(). One thread a post, started with the
first message that had to be buffered; it sleeps while no outbox buffers.
"""

from __future__ import annotations

import _thread
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ipcmules.errors import BusStopped
from ipcmules.messages.outlet import wait_for_room

if TYPE_CHECKING:
    from ipcmules.messages.outbox import Outbox

#: Seconds between two rounds.
_ROUND = 0.001


class Flusher:
    """Sends for the outboxes that were added, until they have nothing left."""

    def __init__(self) -> None:
        # put() is one step for signal handlers, which may come here themselves in the middle of anything.
        self._added: SimpleQueue[Outbox | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._started: list[int] = []
        self._stopping = False

    def add(self, outbox: Outbox) -> bool:
        """Look after an outbox. False if no thread can be started (the interpreter shuts down)."""
        if not self._started and not self._start():
            return False
        self._added.put(outbox)
        return True

    def _start(self) -> bool:
        with self._lock:
            if self._started:
                return True
            try:
                # Not threading.Thread: a handler that raises in the middle of its start() leaves a thread
                # that dies at once. Like a daemon, this one is not waited for at the end.
                self._started.extend(map(_thread.start_new_thread, (self._run,), ((),)))
            except RuntimeError:
                return False
        return True

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._added.put(None)

    def _run(self) -> None:
        outboxes: set[Outbox] = set()
        while not self._stopping:
            while not outboxes or not self._added.empty():
                added = self._added.get()
                if added is None:
                    return
                outboxes.add(added)
            outboxes = {each for each in outboxes if _serve(each)}
            blocked = tuple(each for each in outboxes if each.blocked)
            if blocked:
                wait_for_room(blocked, _ROUND * 20)
            elif outboxes:
                time.sleep(_ROUND)


def _serve(outbox: Outbox) -> bool:
    """One outbox's part of a round. False if there is nothing left to do for it."""
    try:
        return outbox.service()
    except BusStopped:
        return False
