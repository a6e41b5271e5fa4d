"""Reading a spool directory: what is due, in order, and what is due later.

Streaming, with memory for a part of the tasks only: a backlog of a million is read again when the first
part is done. Takes no lock and opens no task.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ipcmules.spooler import claim, names
from ipcmules.spooler.directory import problem_below
from ipcmules.spooler.window import Window

#: How many tasks a scan brings at most, some 250 bytes each.
LIMIT = 300_000
#: How many files of ours (attempts, hands, half-written tasks) a scan notes.
_MOST_OURS = 10_000
#: How many entries of a directory are read at once.
_BATCH = 4096
#: How many tasks are looked at to see whether many are due later.
_SAMPLE = 500


class Scan(NamedTuple):
    """What a scan found. Names are relative to the spool directory."""

    due: list[str]  #: to be run now, the first one first; a few may be due later after all
    later: list[tuple[float, str]]  #: (when in seconds since 1970, name), in no order
    more: bool  #: there is more than was looked at: scan again when this is done
    ours: list[str]  #: files of ours, for sweep.py
    refused: tuple[str, ...] = ()  #: why directories of priorities were left out
    unread: str = ""  #: a numbered directory that could not be read, and why: scan again soon
    numbered: bool = False  #: there are tasks with a priority


def scan(directory: str, ordered: bool, skip: Collection[str] = (), limit: int = LIMIT) -> Scan:
    """Read a spool directory and its numbered subdirectories.

    ordered: numbered subdirectories first, lowest first, and by the time of enqueueing in each
        (--spooler-ordered). So they are, too, where there are tasks with a priority; else by that time.
    skip: names that are known to be due later: they take no room. limit: how many names to bring.
    Raises OSError if the directory itself cannot be read; a subdirectory that cannot is named in `unread`.
    """
    reader = _Reader(directory, skip, limit, False)
    chosen = reader.read(ordered)
    if reader.numbered and not ordered:
        ordered = True
        if reader.more:  # among those that were left out may be urgent ones
            reader = _Reader(directory, skip, limit, False)
            chosen = reader.read(ordered)
        else:
            chosen.sort(key=names.order_key)
    scheduled = _share_of_later(directory, chosen, reader.now)
    if not scheduled:
        return reader.found(chosen)
    if reader.more and scheduled > 0.5:
        # Most of what comes first is not due: look at the times of everything.
        reader = _Reader(directory, skip, limit, True)
        chosen = reader.read(ordered)
        return reader.found(chosen)
    return reader.found([name for name in chosen if reader.is_due(name)])


def _share_of_later(directory: str, chosen: list[str], now: float) -> float:
    """The share of the tasks that is not due, by a sample: who takes a task looks at its time anyway."""
    sample = chosen[:: max(1, len(chosen) // _SAMPLE)]
    times = [_when(f"{directory}/{name}", now) for name in sample]
    return sum(1 for when in times if when) / max(1, len(times))


def _when(path: str, now: float) -> float | None:
    """When the task at path is due, 0.0 for now; None if it is gone or no file."""
    status = claim.status_of(path)
    if status is None:
        return None
    return claim.due(path, status, now) if status.st_mtime > now else 0.0


def _keyed(batch: list[str]) -> Iterable[tuple[int | None, str]]:
    return zip(map(names.fifo_key, batch), batch, strict=True)


class _Reader:
    def __init__(self, directory: str, skip: Collection[str], limit: int, only_due: bool) -> None:
        self.directory = directory
        self.now = time.time()
        self.ours: list[str] = []
        #: By path: a directory is read twice where most tasks are due later.
        self.refused: dict[str, None] = {}
        self.later: list[tuple[float, str]] = []
        self.more = False
        self.unread = ""
        self.numbered = False
        self._skip = skip
        self._limit = limit
        self._only_due = only_due

    def found(self, due: list[str]) -> Scan:
        """What was read, and which of it is due."""
        refused = tuple(self.refused)
        return Scan(due, self.later, self.more, self.ours, refused, self.unread, self.numbered)

    def read(self, ordered: bool) -> list[str]:
        """The first tasks, in order."""
        return self._by_priority() if ordered else self._by_time()

    def is_due(self, name: str) -> bool:
        """True if a task is due; what is due later is noted."""
        when = _when(f"{self.directory}/{name}", self.now)
        if when:
            if len(self.later) < self._limit:
                self.later.append((when, name))
            else:
                self.more = True
        return when == 0

    def _by_time(self) -> list[str]:
        window: Window[int] = Window(self._limit)
        for batch in self._walk(""):
            window.offer([(self._written(name) if key is None else key, name) for key, name in _keyed(batch)])
        chosen = window.take()
        self.more |= window.dropped
        return chosen

    def _by_priority(self) -> list[str]:
        chosen: list[str] = []
        for below in self._directories(""):
            window: Window[bytes] = Window(max(1, self._limit - len(chosen)))
            for batch in self._tasks(below, []):
                window.offer([(names.order_key(name), name) for name in batch])
            chosen += window.take()
            self.more |= window.dropped
            if len(chosen) >= self._limit:
                self.more = True
                break
        return chosen

    def _written(self, name: str) -> int:
        try:
            return os.lstat(f"{self.directory}/{name}").st_mtime_ns // 1000
        except OSError:
            return 0

    def _walk(self, below: str, depth: int = 0) -> Iterator[list[str]]:
        priorities: list[str] = []
        yield from self._tasks(below, priorities)
        if depth < names.DEEPEST:
            for each in priorities:
                yield from self._walk(each, depth + 1)

    def _directories(self, below: str, depth: int = 0) -> Iterator[str]:
        """The directories with tasks in versionsort's order: numbers sort before the tasks beside them."""
        priorities: list[str] = []
        for _batch in self._entries(below, priorities):
            pass
        if depth < names.DEEPEST:
            for each in sorted(priorities, key=names.version_key):
                yield from self._directories(each, depth + 1)
        yield below

    def _tasks(self, below: str, priorities: list[str]) -> Iterator[list[str]]:
        """The tasks of one directory, in no order, without those to be skipped; see _entries()."""
        prefix = f"{below}/" if below else ""
        skip = self._skip
        for found in self._entries(below, priorities):
            batch = [prefix + name for name in found] if prefix else found
            if skip:
                batch = [name for name in batch if name not in skip]
            if self._only_due:
                batch = [name for name in batch if self.is_due(name)]
            self.numbered |= bool(below and batch)
            yield batch

    def _entries(self, below: str, priorities: list[str]) -> Iterator[list[str]]:
        """The names of one directory's tasks; appends its numbered subdirectories to priorities."""
        prefix = f"{below}/" if below else ""
        length, task = len(names.TASK), names.TASK
        try:
            entries = os.scandir(f"{self.directory}/{below}")
        except FileNotFoundError:
            if below:
                return  # removed meanwhile
            raise
        except OSError as error:
            if not below:
                raise
            self.unread = f"{self.directory}/{below}: {error.strerror}"
            return
        with entries:
            while batch := list(itertools.islice(entries, _BATCH)):
                yield [entry.name for entry in batch if entry.name[:length] == task]
                for entry in [entry for entry in batch if entry.name[:length] != task]:
                    name = entry.name
                    if names.is_priority(name):
                        if entry.is_dir(follow_symlinks=False) and self._is_safe(prefix + name):
                            priorities.append(prefix + name)
                    elif name.startswith(names.OURS) and len(self.ours) < _MOST_OURS:
                        self.ours.append(prefix + name)

    def _is_safe(self, name: str) -> bool:
        problem = problem_below(self.directory, name)
        if problem:
            self.refused[problem] = None
        return not problem
