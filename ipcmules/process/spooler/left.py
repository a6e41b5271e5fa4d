"""Tasks that a spooler has not run, or not done, and how their files were then.

To close a file makes an event that brings its name back by the queue, and only a change is news. Knows files,
takes no task.
"""

from __future__ import annotations

import os

from ipcmules.spooler import claim

#: As many are remembered.
_MOST = 10_000
#: In place of the time of a change: somebody had the lock. To give it up changes no time.
_LOCKED = -1


class Left:
    """Of one directory. Names are relative to it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._seen: dict[str, int] = {}

    def note(self, name: str) -> None:
        """It is there still, and left alone as it is now."""
        self._make_room()
        self._seen[name] = self._changed(name)

    def note_locked(self, name: str) -> None:
        """Somebody has its lock."""
        self._make_room()
        self._seen[name] = _LOCKED

    def forget(self, name: str) -> None:
        """It is gone."""
        if self._seen:
            self._seen.pop(name, None)

    def is_news(self, name: str) -> bool:
        """True if it was not left alone, or may be another matter now."""
        before = self._seen.get(name)
        if before is None:
            return True
        return not self.is_locked(name) if before == _LOCKED else self._changed(name) != before

    def is_locked(self, name: str) -> bool:
        """True if somebody has its lock."""
        try:
            return claim.running(f"{self._directory}/{name}") != 0
        except OSError:
            return False  # it is gone, and trying to run it tells so

    def _make_room(self) -> None:
        if len(self._seen) >= _MOST:
            self._seen.clear()

    def _changed(self, name: str) -> int:
        """A number that is another one when the inode has changed."""
        try:
            status = os.lstat(f"{self._directory}/{name}")
        except OSError:
            return 0
        # All: ctime ticks in 4 ms before Linux 6.13, who wakes a task that was put off sets the other, and
        # what was empty may be whole within the tick.
        return status.st_ctime_ns + status.st_mtime_ns + status.st_size
