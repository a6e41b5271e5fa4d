"""The thread that sends what outboxes have buffered when nobody else does.

Knows outboxes by what they offer: service(), blocked, descriptor(). One thread a post, started with the
first message that had to be buffered; it sleeps while no outbox buffers.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipcmules.messages.outbox import Outbox

#: Seconds between two rounds.
_ROUND = 0.001


class Flusher:
    """Sends for the outboxes that were added, until they have nothing left."""

    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = False

    def add(self, outbox: Outbox) -> bool:
        """Look after an outbox. False if no thread can be started (the interpreter shuts down)."""
        with self._lock:
            self._outboxes.add(outbox)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="ipcmules-flusher", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    self._outboxes.discard(outbox)
                    return False
                self._thread = thread
        self._wake.set()
        return True

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wake.set()

    def _run(self) -> None:
        from ipcmules.messages.outbox import wait_for_room

        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            while self._outboxes and not self._stopping:
                self._round()
                blocked = tuple(each for each in self._outboxes if each.blocked)
                if blocked:
                    wait_for_room(blocked, _ROUND * 20)
                elif self._outboxes:
                    time.sleep(_ROUND)

    def _round(self) -> None:
        from ipcmules.errors import BusStopped

        for each in tuple(self._outboxes):
            with self._lock:
                self._outboxes.discard(each)
            try:
                more = each.service()
            except BusStopped:
                more = False
            if more:
                with self._lock:
                    self._outboxes.add(each)
