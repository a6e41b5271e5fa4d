"""A line in the log for each task that is done, or for many of them: a busy spooler does thousands a second.

Knows the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ipcmules.bus import log
from ipcmules.kernel.printable import for_people

#: So many tasks a second have a line of their own.
_LINES = 10


class Journal:
    """One spooler's. quiet: says nothing (--spooler-quiet)."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._since = 0.0
        self._lines = 0
        self._more = 0

    def done(self, name: str, tell: Callable[[], Mapping[str, Any]]) -> None:
        """A task is done. tell() gives task, function, attempt, duration (seconds) for its line."""
        if self._quiet:
            return
        if self._lines < _LINES:
            self._lines += 1
            self._since = self._since or time.monotonic()
            details = tell()
            log.event("info", f"task {for_people(name)} is done, in {details['duration']:.3f} s", details)
        else:
            self._more += 1

    def is_full(self) -> bool:
        """True if no further task has a line of its own this second."""
        return self._quiet or self._lines >= _LINES

    def done_too(self, count: int) -> None:
        """So many more tasks are done; without lines of their own."""
        if not self._quiet:
            self._more += count

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
