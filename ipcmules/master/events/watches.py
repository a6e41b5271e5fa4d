"""What the kernel says about directories: one inotify descriptor for all monitors, in the master's loop.

Knows wd numbers, names and keys; what a path means is routes.py's. Directories alone are watched: a watch on
a file dies when the file is replaced by rename(2), which is how editors write (inotify(7)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import inotify_simple
from inotify_simple import flags

from ipcmules.bus import log
from ipcmules.kernel import inotify
from ipcmules.master.events.routes import Interest
from ipcmules.master.loop.selector import Loop

#: Something else is there now, so what to watch may be another thing.
_STRUCTURE = (
    flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE_SELF | flags.MOVE_SELF
)
#: What counts as a change, as in uWSGI (event.c): writing, touch and chmod; not opening, reading and closing.
_MASK = flags.ONLYDIR | flags.MODIFY | flags.ATTRIB | _STRUCTURE
_GONE = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED

#: heard(key, changed, structure): what the key is for has changed; it may have to be armed again.
Heard = Callable[[str, bool, bool], None]


class Watches:
    """The watched directories, each for the keys that have an interest in names in it."""

    def __init__(self, loop: Loop, heard: Heard) -> None:
        self._loop = loop
        self._heard = heard
        self._inotify: inotify_simple.INotify | None = None
        self._by_key: dict[str, set[Interest]] = {}
        #: By wd, by name ('' for all of them): the keys, and whether it is their change.
        self._by_watch: dict[int, dict[str, dict[str, bool]]] = {}
        #: Watches that nobody may need.
        self._unused: set[int] = set()
        self._complained: set[int] = set()

    def watch(self, directory: str) -> int:
        """Watch a directory, if that is possible: its wd, or -1. Nobody is told of it before set()."""
        try:
            if self._inotify is None:
                self._open()
            assert self._inotify is not None
            found = self._inotify.add_watch(directory, _MASK)
        except OSError as error:
            self._complain(directory, error)
            return -1
        if not self._by_watch.setdefault(found, {}):
            self._unused.add(found)
        return found

    def set(self, key: str, interests: set[Interest]) -> None:
        """The key's interests are these now, and no others. Watches that nobody needs are removed."""
        for wd, name, _changed in self._by_key.pop(key, ()):
            names = self._by_watch.get(wd, {})
            if names.get(name, {}).pop(key, None) is not None and not names[name]:
                del names[name]
                self._unused.add(wd)
        for wd, name, changed in interests:
            keys = self._by_watch[wd].setdefault(name, {})
            keys[key] = keys.get(key, False) or changed
        if interests:
            self._by_key[key] = interests
        for wd in self._unused:
            if not self._by_watch.get(wd, True):
                self._forget(wd)
        self._unused.clear()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._inotify is not None:
            self._loop.forget(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None
        self._by_key.clear()
        self._by_watch.clear()

    def _open(self) -> None:
        self._inotify = inotify.open_inotify()
        self._loop.watch(self._inotify.fileno(), self._read)

    def _forget(self, wd: int) -> None:
        del self._by_watch[wd]
        if self._inotify is not None:
            try:
                self._inotify.rm_watch(wd)
            except OSError:
                pass  # EINVAL: the directory is gone, and the watch with it

    def _complain(self, directory: str, error: OSError) -> None:
        """Say once an errno why there is no watch; monitors look for themselves then."""
        code = error.errno or 0
        if code in (errno.ENOENT, errno.ENOTDIR) or code in self._complained:
            return
        self._complained.add(code)
        text = f"{directory} cannot be watched ({inotify.reason(error)}): looking at it once a second instead"
        log.event("warning", text)

    def _read(self) -> None:
        assert self._inotify is not None
        try:
            data = os.read(self._inotify.fileno(), 65536)
        except BlockingIOError:
            return
        for event in inotify_simple.parse_events(data):
            if event.mask & flags.Q_OVERFLOW:
                for key in list(self._by_key):
                    self._heard(key, False, True)
            else:
                self._take(event)

    def _take(self, event: inotify_simple.Event) -> None:
        names = self._by_watch.get(event.wd)
        if names is None:
            return  # of a watch that was removed meanwhile
        structure = bool(event.mask & (_STRUCTURE | _GONE))
        for name in {event.name, ""}:
            for key, changed in names.get(name, {}).items():
                self._heard(key, changed, structure)
        if event.mask & _GONE:
            for keys in names.values():
                for key in keys:
                    self._heard(key, False, True)
        if event.mask & flags.IGNORED:
            self._by_watch.pop(event.wd)
            for key, interests in self._by_key.items():
                self._by_key[key] = {each for each in interests if each[0] != event.wd}
