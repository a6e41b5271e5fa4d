"""--touch-mules-reload, --touch-reload, --touch-exec and the like: files whose change asks for something.

Looked at once a second, and only where the option is used: a file may be on a file system that tells of
no changes, and may not exist yet.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from itertools import islice

from ipcmules.master.loop.selector import Loop, Timer

_EVERY = 1.0

_Sight = tuple[int, ...] | None
#: Of a directory so many entries are looked at.
_MOST = 1000


class Touch:
    """Calls touched(path) when a file has another modification time or inode than before, or appears.

    each: of several at once for each of them, not for one alone.
    """

    def __init__(self, loop: Loop, touched: Callable[[str], None], each: bool = False) -> None:
        self._loop = loop
        self._touched = touched
        self._each = each
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
        for path in touched if self._each else touched[:1]:  # several at once are one reload
            self._touched(path)


def _look(path: str) -> _Sight:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return found.st_mtime_ns, found.st_ino
    newest = 0
    try:
        with os.scandir(path) as entries:
            for entry in islice(entries, _MOST):
                newest = max(newest, entry.stat().st_mtime_ns)
    except OSError:
        pass  # an entry that is just being removed changes the directory itself
    return found.st_mtime_ns, found.st_ino, newest
