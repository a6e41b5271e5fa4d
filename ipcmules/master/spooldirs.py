"""The master's part in the spool directories: they exist, and what others drop into them is announced.

A task that is enqueued through the bus comes with its name in the directory's queue; for whatever else puts a
file there (uWSGI, mv, cp and rename) the master watches the directory (inotify(7)) and sends the name itself:
so one spooler wakes for a file, not all. Knows the loop, names of files and the queues; it opens no task.
"""

from __future__ import annotations

import os
import time

from inotify_simple import INotify, flags

from ipcmules import log
from ipcmules.config import BusConfig
from ipcmules.master import inotify
from ipcmules.master.loop import Loop, Timer
from ipcmules.master.objects import Objects
from ipcmules.messages.spooled import Spools
from ipcmules.spooler import directory
from ipcmules.spooler.names import TASK, is_priority

#: How often it is seen whether a directory is still the same, seconds.
_SLOWLY = 1.0
#: Our own way to write a file (O_TMPFILE and linkat) makes none of these events, nor does a claim that ends
#: with the file removed: EXCL_UNLINK. uWSGI's makes CLOSE_WRITE, rename MOVED_TO, spooled.touch() ATTRIB.
_MASK = int(
    flags.CLOSE_WRITE
    | flags.MOVED_TO
    | flags.ATTRIB
    | flags.EXCL_UNLINK
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)


def prepare(config: BusConfig) -> None:
    """Make the directories that are missing. Raises as spooler.directory.prepare()."""
    for each in config.spoolers:
        if not each.external or not os.path.isdir(each.directory):
            directory.prepare(each.directory)


def number_of(config: BusConfig, spooler: int) -> int:
    """The number of a spooler's directory, from 1."""
    return 1 + (spooler - 1) // config.spooler_processes


class SpoolDirs:
    """The watches over the directories of one bus. Everything happens in the loop's callbacks."""

    def __init__(self, loop: Loop, objects: Objects) -> None:
        config = objects.description.config
        self._loop = loop
        self._directories = [each.directory for each in config.spooled]
        self._frequency = config.spooler_frequency
        self._processes = config.spooler_processes
        self._table = objects.table
        self.queues = Spools(objects.where, objects.description, objects.table)
        self._inotify: INotify | None = None
        #: By watch: the number of the directory and what stands before names in it ('5/').
        self._watches: dict[int, tuple[int, str]] = {}
        #: By number: the directory that is watched (device and inode), None if there was none.
        self._identities: dict[int, tuple[int, int] | None] = {}
        self._complete_at = 0.0
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Watch from now on; before the first spooler looks, so that nothing comes between."""
        if not self._directories:
            return
        try:
            self._inotify = inotify.open_inotify()
        except OSError as error:
            log.event(
                "warning",
                f"no inotify ({inotify.reason(error)}): files that others put into spool directories start "
                f"within {self._frequency:g} s",
            )
            return
        self._loop.watch(self._inotify.fileno(), self._readable)
        self._check()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._inotify is not None:
            self._loop.forget(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None
        self.queues.close()

    def look(self, number: int) -> None:
        """Have a spooler of a directory look at it."""
        self.queues.look(number)

    def _check(self) -> None:
        """Watch each directory that is another one than before: they are removed, moved and made again.

        The kernel tells of a removed one only when nobody holds a file of it: so it is looked at, slowly.
        """
        complete = time.monotonic() >= self._complete_at
        for number, path in enumerate(self._directories, 1):
            found = _identity(path)
            known, first = self._identities.get(number), number not in self._identities
            if found != known:
                self._drop(number)
                if found is not None and not first:  # at the start spoolers look by themselves
                    self.look(number)
            self._identities[number] = found
            if found is not None and (found != known or complete):
                self._watch_tree(number, path, "")
        if complete:
            self._complete_at = time.monotonic() + self._frequency
        self._timer = self._loop.later(_SLOWLY, self._check)

    def _drop(self, number: int) -> None:
        assert self._inotify is not None
        for watch in [watch for watch, (whose, _before) in self._watches.items() if whose == number]:
            del self._watches[watch]
            try:
                self._inotify.rm_watch(watch)
            except OSError:
                pass  # it went with the directory

    def _watch_tree(self, number: int, path: str, before: str) -> None:
        """Watch a directory and its numbered ones, which hold tasks with a priority."""
        assert self._inotify is not None
        try:
            self._watches[self._inotify.add_watch(path, _MASK)] = (number, before)
            numbered = [each for each in os.scandir(path) if is_priority(each.name) and each.is_dir()]
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                log.event("warning", f"{path} cannot be watched: {inotify.reason(error)}")
            return
        for each in numbered:
            self._watch_tree(number, each.path, f"{before}{each.name}/")

    def _readable(self) -> None:
        assert self._inotify is not None
        lost = False
        told: set[tuple[int, str]] = set()  # one write of a file may be several events
        for watch, mask, _cookie, name in self._inotify.read(timeout=0):
            if mask & flags.Q_OVERFLOW:
                for number in range(1, len(self._directories) + 1):
                    self.look(number)
            elif mask & (flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED):
                number, before = self._watches.get(watch, (0, "?"))
                if not before:
                    lost = True
                    self._identities[number] = None  # what is there now is another, whatever its inode
                if mask & flags.IGNORED:
                    self._watches.pop(watch, None)
            elif watch in self._watches and name.startswith(TASK) and (watch, name) not in told:
                told.add((watch, name))
                number, before = self._watches[watch]
                if not self._in_hand(number, before + name):
                    self.queues.announce(number, before + name)
        if lost and self._timer is not None:
            self._timer.cancel()
            self._check()

    def _in_hand(self, number: int, name: str) -> bool:
        """True if a spooler of ours runs it, or did when it died: that death is seen next."""
        first = 1 + (number - 1) * self._processes
        return any(self._table.task(each) == name for each in range(first, first + self._processes))


def _identity(path: str) -> tuple[int, int] | None:
    """Which directory is at path; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
