"""The master's part in the spool directories: they exist, and what others drop into them is announced.

A task that is enqueued through the bus comes with its name in the directory's queue; for whatever else puts a
file there (uWSGI, mv, cp and rename) the master watches the directory (inotify(7)) and sends the name itself:
so one spooler wakes for a file, not all. Knows the loop, names of files and the queues; it opens no task.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterator

from inotify_simple import INotify, flags, parse_events

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.bus.table import D_LOOK, D_PAUSES
from ipcmules.kernel import inotify
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.options.values import SpoolDir
from ipcmules.spooler import directory, pauses
from ipcmules.spooler.names import TASK, fifo_key, is_priority, mark_of
from ipcmules.spooler.wake import Spools

#: How often it is seen whether a directory is still the same, seconds.
_SLOWLY = 1.0
#: So many entries of a directory are looked at in one turn of the loop.
ENTRIES = 2000
#: Bytes of events that are read in one turn: some hundreds.
_EVENTS = 16384
#: Where many of them come for a directory with a backlog, it is not watched for so many seconds, at least
#: and at most until that is seen again.
_MANY, _MOMENT, _LONG = 4096, 0.02, 0.1
#: So long after its call a task counts as just written, seconds.
_JUST = 1.0
#: What stands before the name in an event: the watch, the mask, a cookie, and how long the name is (padded).
_EVENT = struct.Struct("iIII")
#: A file that was written without a name and linked makes none of these events, nor does a claim that ends
#: with the file removed: EXCL_UNLINK. What was written under its name (spooler/at_once.py, uWSGI) makes
#: CLOSE_WRITE, rename MOVED_TO.
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
    for clustered in config.cluster_spoolers:
        _prepare_clustered(clustered)
    for each in config.spoolers:
        if not each.external or not os.path.isdir(each.directory):
            directory.prepare(each.directory)


def _prepare_clustered(spool: SpoolDir) -> None:
    from ipcmules.cluster import tasks
    from ipcmules.spooler.clustered import set_aside

    tasks.make(spool)
    set_aside(spool.directory)


def number_of(config: BusConfig, spooler: int) -> int:
    """The number of a spooler's directory, from 1."""
    return config.spooler_homes[spooler - 1]


class SpoolDirs:
    """The watches over the directories of one bus. Everything happens in the loop's callbacks."""

    def __init__(self, loop: Loop, objects: Objects) -> None:
        config = objects.description.config
        self._loop = loop
        self._directories = [each.directory for each in config.spooled]
        self._frequency = config.spooler_frequency
        self._spoolers = [config.spoolers_of(number) for number in range(1, len(self._directories) + 1)]
        self._table = objects.table
        #: In the names of what processes of this bus have written at once, and tell of themselves.
        self._mark = mark_of(objects.description.generation)
        self.queues = Spools(objects.where, objects.description, objects.table)
        self._inotify: INotify | None = None
        #: By watch: the number of the directory and what stands before names in it ('5/').
        self._watches: dict[int, tuple[int, str]] = {}
        #: By number: the directory that is watched (device and inode), None if there was none.
        self._identities: dict[int, tuple[int, int] | None] = {}
        #: Directories of which it was said that they cannot be watched.
        self._said: set[str] = set()
        self._complete_at = 0.0
        self._timer: Timer | None = None
        #: When events are read again, None where they are read as they come.
        self._deaf: Timer | None = None
        #: Looks for numbered directories that go on, by the number of the directory, and the next slice of
        #: them.
        self._walks: dict[int, Iterator[None]] = {}
        self._walking: Timer | None = None

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
        self._listen()
        self._check()

    def _listen(self) -> None:
        assert self._inotify is not None
        self._deaf = None
        self._loop.watch(self._inotify.fileno(), self._readable)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._walks.clear()
        if self._inotify is not None:
            if self._deaf is None:
                self._loop.forget(self._inotify.fileno())
            else:
                self._deaf.cancel()
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
            if found is not None and (found != known or (complete and number not in self._walks)):
                self._walk(number, path)
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

    def _walk(self, number: int, path: str) -> None:
        """Watch a directory now, and what is in it in slices: it may hold a great many tasks."""
        self._walks[number] = self._watch_tree(number, path, "")
        next(self._walks[number], None)
        if self._walking is None:
            self._walking = self._loop.later(0.0, self._go_on)

    def _go_on(self) -> None:
        """A slice of each walk."""
        self._walking = None
        for number, walk in list(self._walks.items()):
            if next(walk, self) is self:
                del self._walks[number]
        if self._walks:
            self._walking = self._loop.later(0.0, self._go_on)

    def _watch_tree(self, number: int, path: str, before: str) -> Iterator[None]:
        """Watch a directory and its numbered ones, for tasks with a priority; a turn ends at a yield."""
        assert self._inotify is not None
        numbered: list[os.DirEntry[str]] = []
        try:
            self._watches[self._inotify.add_watch(path, _MASK)] = (number, before)
            yield
            with os.scandir(path) as entries:
                while batch := list(itertools.islice(entries, ENTRIES)):
                    numbered += [each for each in batch if is_priority(each.name) and each.is_dir()]
                    yield
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and path not in self._said:
                self._said.add(path)
                log.event("warning", f"{path} cannot be watched: {inotify.reason(error)}")
            return
        self._said.discard(path)
        for each in numbered:
            yield from self._watch_tree(number, each.path, f"{before}{each.name}/")

    def _readable(self) -> None:
        assert self._inotify is not None
        try:
            data = os.read(self._inotify.fileno(), _EVENTS)
        except BlockingIOError:
            return
        watch = self._backlog(data)
        if not watch:
            self._heed(data)
        elif len(data) < _MANY:
            # Processes of the bus write as fast as they can now, and each event would wake this one.
            self._loop.forget(self._inotify.fileno())
            self._deaf = self._loop.later(_MOMENT, self._listen)
        else:
            self._unwatch(watch)

    def _backlog(self, data: bytes) -> int:
        """The watch of these events, if they are all of tasks whose spoolers look at their directory next
        anyway; else 0."""
        watch, _mask, _cookie, length = _EVENT.unpack_from(data)
        number, _before = self._watches.get(watch, (0, ""))
        if not number or not self._spoolers_look(number):
            return 0
        # No name has zeros, and this has: so it is the beginning of an event wherever it is found.
        same = data[: _EVENT.size] + TASK.encode()
        return int(watch) if data.count(same) * (_EVENT.size + length) == len(data) else 0

    def _spoolers_look(self, number: int) -> bool:
        return self._table.cells[self._table.spool(number) + D_LOOK] != 0

    def _unwatch(self, watch: int) -> None:
        """Watch a directory no more, until its spoolers have no look before them: events cost who writes."""
        assert self._inotify is not None
        number, before = self._watches.pop(watch)
        directory = self._directories[number - 1]
        identity, paused = self._identities[number], _version(f"{directory}/{pauses.FILE}")
        try:
            self._inotify.rm_watch(watch)
        except OSError:
            pass  # it went with the directory

        def rewatch() -> None:
            nonlocal paused
            if self._inotify is None or self._identities[number] != identity:
                return  # it is another directory, and watched as that
            still = self._spoolers_look(number)
            if not still:
                try:
                    made = self._inotify.add_watch(f"{directory}/{before}", _MASK)
                    self._watches[made] = (number, before)
                except OSError:
                    pass  # it was removed, or is watched again at the next complete walk
            now = _version(f"{directory}/{pauses.FILE}")
            if now != paused:
                paused = now
                self._tell_of_pauses(number)
            if still:
                self._loop.later(_LONG, rewatch)
            else:
                self.look(number)  # for what came meanwhile

        self._loop.later(_MOMENT, rewatch)

    def _heed(self, data: bytes) -> None:
        lost = False
        told: set[tuple[int, str]] = set()  # one write of a file may be several events
        for watch, mask, _cookie, name in parse_events(data):
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
            elif name == pauses.FILE and not self._watches.get(watch, (0, "?"))[1]:
                self._tell_of_pauses(self._watches[watch][0])
            elif watch in self._watches and name.startswith(TASK) and (watch, name) not in told:
                if mask & flags.CLOSE_WRITE and self._is_told(name):
                    continue
                told.add((watch, name))
                number, before = self._watches[watch]
                if not self._in_hand(number, before + name):
                    self.queues.announce(number, before + name)
        if lost and self._timer is not None:
            self._timer.cancel()
            self._check()

    def _is_told(self, name: str) -> bool:
        """True if a process of this bus has just written a task, and tells of it. What closes it later may be
        somebody who has not run it."""
        if self._mark not in name:
            return False
        return 0 <= time.time() - (fifo_key(name) or 0) / 1e6 < _JUST

    def _tell_of_pauses(self, number: int) -> None:
        """What is paused has changed: all spoolers of the directory read it."""
        self._table.cells[self._table.spool(number) + D_PAUSES] += 1
        for _each in self._spoolers[number - 1]:
            self.queues.nudge(number)

    def _in_hand(self, number: int, name: str) -> bool:
        """True if a spooler of ours runs it, or did when it died: that death is seen next."""
        return any(self._table.task(each) == name for each in self._spoolers[number - 1])


def _identity(path: str) -> tuple[int, int] | None:
    """Which directory is at path; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _version(path: str) -> tuple[int, int] | None:
    """Another value when a file was replaced; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
