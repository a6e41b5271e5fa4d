"""A line in the log for each task that is done, or for many of them: a busy spooler does thousands a second.

Knows the log.
"""

from __future__ import annotations

import time

from ipcmules import log

#: So many tasks a second have a line of their own.
_LINES = 10


class Journal:
    """One spooler's. quiet: says nothing (--spooler-quiet)."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._since = 0.0
        self._lines = 0
        self._more = 0

    def done(self, name: str, began: float) -> None:
        """A task is done that was begun at that monotonic time."""
        if self._quiet:
            return
        if self._lines < _LINES:
            self._lines += 1
            self._since = self._since or time.monotonic()
            log.event("info", f"task {name} is done, in {time.monotonic() - began:.3f} s")
        else:
            self._more += 1

    def flush(self) -> None:
        """Say what has gathered for a second."""
        if self._since and time.monotonic() - self._since >= 1.0:
            self.close()

    def close(self) -> None:
        """Say what has gathered."""
        if self._more:
            log.event("info", f"{self._more} more tasks are done")
        self._since = 0.0
        self._lines = self._more = 0
