"""Reading a spool directory: what is due, in order, and what is due later.

Streaming, with memory for a part of the tasks only: a backlog of a million is read again when the first
part is done. Takes no lock and opens no task.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container, Iterator
from typing import NamedTuple

from ipcmules.spooler import claim, names
from ipcmules.spooler.window import Window

#: How many tasks a scan brings at most, some 250 bytes each.
LIMIT = 250_000
#: How many files of ours (attempts, hands, half-written tasks) a scan notes.
_MOST_OURS = 10_000
#: Numbered directories within numbered directories, as uWSGI goes through them; there is no end otherwise.
_DEEPEST = 8


class Scan(NamedTuple):
    """What a scan found. Names are relative to the spool directory."""

    due: list[str]  #: to be run now, the first one first
    later: list[tuple[float, str]]  #: (when in seconds since 1970, name), in no order
    more: bool  #: there is more than was looked at: scan again when this is done
    ours: list[str]  #: files of ours, for sweep.py


class Entries(NamedTuple):
    """What stands in one directory."""

    window: Window[int] | Window[bytes]
    priorities: list[str]
    ours: list[str]


def scan(directory: str, ordered: bool, skip: Container[str] = (), limit: int = LIMIT) -> Scan:
    """Read a spool directory and its numbered subdirectories.

    ordered: versionsort of the names, numbered subdirectories first (--spooler-ordered); else by the time of
        enqueueing over all of them.
    skip: names that are known to be due later: they take no room. limit: how many names to bring.
    Raises OSError if the directory itself cannot be read; subdirectories that cannot are left out.
    """
    found = _read(directory, ordered, skip, limit, False)
    if found.more and len(found.due) < limit // 2:
        # Most of what comes first is not due: look at the times of everything.
        found = _read(directory, ordered, skip, limit, True)
    return found


def _read(directory: str, ordered: bool, skip: Container[str], limit: int, only_due: bool) -> Scan:
    reader = _Reader(directory, skip, limit, only_due)
    chosen = reader.by_version() if ordered else reader.by_time()
    if only_due:
        return Scan(chosen, reader.later, reader.more, reader.ours)
    due = []
    for name in chosen:
        when = _when(f"{directory}/{name}", reader.now)
        if when == 0:
            due.append(name)
        elif when is not None:
            reader.later.append((when, name))
    return Scan(due, reader.later, reader.more, reader.ours)


def _when(path: str, now: float) -> float | None:
    """When the task at path is due, 0.0 for now; None if it is gone or no file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return claim.due(path, status, now) if status.st_mtime > now else 0.0


class _Reader:
    def __init__(self, directory: str, skip: Container[str], limit: int, only_due: bool) -> None:
        self.directory = directory
        self.now = time.time()
        self.ours: list[str] = []
        self.later: list[tuple[float, str]] = []
        self.more = False
        self._skip = skip
        self._limit = limit
        self._only_due = only_due

    def by_time(self) -> list[str]:
        window: Window[int] = Window(self._limit)
        add, key_of = window.add, names.fifo_key
        for name in self._walk(""):
            key = key_of(name)
            add(self._written(name) if key is None else key, name)
        self.more |= window.dropped
        return window.take()

    def by_version(self) -> list[str]:
        chosen: list[str] = []
        for below in self._directories(""):
            window: Window[bytes] = Window(max(1, self._limit - len(chosen)))
            for name in self._tasks(below, []):
                window.add(names.version_key(name), name)
            self.more |= window.dropped
            chosen += window.take()
            if len(chosen) >= self._limit:
                self.more = True
                break
        return chosen

    def _written(self, name: str) -> int:
        try:
            return os.lstat(f"{self.directory}/{name}").st_mtime_ns // 1000
        except OSError:
            return 0

    def _walk(self, below: str, depth: int = 0) -> Iterator[str]:
        priorities: list[str] = []
        yield from self._tasks(below, priorities)
        if depth < _DEEPEST:
            for each in priorities:
                yield from self._walk(each, depth + 1)

    def _directories(self, below: str, depth: int = 0) -> Iterator[str]:
        """The directories with tasks in versionsort's order: numbers sort before the tasks beside them."""
        priorities: list[str] = []
        for _name in self._tasks(below, priorities, subdirectories_only=True):
            pass
        if depth < _DEEPEST:
            for each in sorted(priorities, key=names.version_key):
                yield from self._directories(each, depth + 1)
        yield below

    def _tasks(self, below: str, priorities: list[str], subdirectories_only: bool = False) -> Iterator[str]:
        """The tasks of one directory, in no order; appends its numbered subdirectories to priorities."""
        prefix = f"{below}/" if below else ""
        length, task, skip, only_due = len(names.TASK), names.TASK, self._skip, self._only_due
        try:
            entries = os.scandir(f"{self.directory}/{below}")
        except OSError:
            if below:
                return
            raise
        with entries:
            for entry in entries:
                name = entry.name
                if name[:length] == task:
                    if subdirectories_only:
                        continue
                    name = prefix + name
                    if name not in skip and (not only_due or self._is_due(name)):
                        yield name
                elif names.is_priority(name):
                    if entry.is_dir(follow_symlinks=False):
                        priorities.append(prefix + name)
                elif not subdirectories_only and name.startswith(names.OURS) and len(self.ours) < _MOST_OURS:
                    self.ours.append(prefix + name)

    def _is_due(self, name: str) -> bool:
        when = _when(f"{self.directory}/{name}", self.now)
        if when:
            if len(self.later) < self._limit:
                self.later.append((when, name))
            else:
                self.more = True
        return when == 0
