"""--touch-mules-reload: files whose change asks for a reload.

Looked at once a second, and only where the option is used: a file may be on a file system that tells of
no changes, and may not exist yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ipcmules.master.loop import Loop, Timer

_EVERY = 1.0

_Sight = tuple[int, int] | None


class Touch:
    """Calls touched(path) when a file has another modification time or inode than before, or appears."""

    def __init__(self, loop: Loop, touched: Callable[[str], None]) -> None:
        self._loop = loop
        self._touched = touched
        self._seen: dict[str, _Sight] = {}
        self._timer: Timer | None = None

    def watch(self, paths: tuple[str, ...]) -> None:
        """Look at these files from now on, and at no others."""
        self._seen = {path: self._seen[path] if path in self._seen else _look(path) for path in paths}
        if self._seen and self._timer is None:
            self._timer = self._loop.later(_EVERY, self._look)

    def _look(self) -> None:
        self._timer = None
        touched = []
        for path, before in self._seen.items():
            now = _look(path)
            self._seen[path] = now
            if now is not None and now != before:
                touched.append(path)
        self.watch(tuple(self._seen))
        for path in touched[:1]:  # several at once are one reload
            self._touched(path)


def _look(path: str) -> _Sight:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
