"""Moves kept messages from shared memory to the state directory, once that takes something again.

They are there because it was full when they were kept (messages/spill.py). Knows the loop; looks when it is
asked to, and then every few seconds for as long as there are any.
"""

from __future__ import annotations

import time

from ipcmules.bus.places import Places
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.messages import kept, spill

#: How soon after it was asked to, and how often while it is in vain, seconds.
_SOON, _AGAIN = 0.5, 5.0


class Settling:
    """One a run of a bus."""

    def __init__(self, loop: Loop, where: Places) -> None:
        self._loop = loop
        self._where = where
        self._timer: Timer | None = None
        self._next = 0.0

    def look(self) -> None:
        """There may be something in shared memory: then move it soon.

        Called at every wake-up: what this process has not put there itself is looked for now and then only.
        """
        now = time.monotonic()
        if self._timer is not None or not (kept.has_spilled() or now >= self._next):
            return
        self._next = now + _AGAIN
        if spill.listing(self._where):
            self._timer = self._loop.later(_SOON, self._settle)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _settle(self) -> None:
        self._timer = None
        if kept.settle(self._where, everything=False):
            self._timer = self._loop.later(_AGAIN, self._settle)
