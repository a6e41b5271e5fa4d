"""--autoreload: Python files below the bus's directory (and --pythonpath) whose change asks for a reload.

For development, where a project is small: every so many seconds all files are looked at. The master knows no
modules, and the web server has loaded others than the mules; so what is looked at is what lies there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ipcmules.master.loop.selector import Loop, Timer

#: Directories of others.
_LEFT_OUT = ("__pycache__", "node_modules", "site-packages", "dist-packages")
#: More files are no project in development.
_MOST = 20_000


class AutoReload:
    """Calls changed(path) when a Python file is changed, made or removed."""

    def __init__(self, loop: Loop, changed: Callable[[str], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._roots: tuple[str, ...] = ()
        self._every = 0.0
        self._seen: dict[str, int] = {}
        self._timer: Timer | None = None

    def watch(self, seconds: float, roots: tuple[str, ...]) -> None:
        """Look so often below these directories; 0: not at all."""
        if (seconds, roots) == (self._every, self._roots):
            return
        self._every, self._roots = seconds, roots
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds:
            self._seen = self._sight()
            self._timer = self._loop.later(seconds, self._look)

    def _look(self) -> None:
        before, self._seen = self._seen, self._sight()
        self._timer = self._loop.later(self._every, self._look)
        changed = sorted(path for path, _time in before.items() ^ self._seen.items())
        if changed:
            self._changed(changed[0])

    def _sight(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for root in self._roots:
            for entry in _python_files(root):
                if len(found) < _MOST:
                    try:
                        found[entry.path] = entry.stat().st_mtime_ns
                    except OSError:
                        pass  # just removed
        return found


def _python_files(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as opened:
            entries = list(opened)
    except OSError:
        return
    if any(each.name == "pyvenv.cfg" for each in entries):
        return  # a virtual environment
    for entry in entries:
        if entry.name.endswith(".py"):
            yield entry
        elif entry.name[0] != "." and entry.name not in _LEFT_OUT and entry.is_dir(follow_symlinks=False):
            yield from _python_files(entry.path)
