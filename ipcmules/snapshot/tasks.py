"""Spool directories, and what spoolers did: names are counted, no task is opened or locked."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator

from ipcmules.bus import table
from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.options.values import SpoolDir
from ipcmules.snapshot.processes import paused
from ipcmules.snapshot.values import Directory, Tasks
from ipcmules.spooler import dead_tasks, figures, names
from ipcmules.spooler.figures import Figures

#: Of so many tasks of a directory the time is looked at; of more a share of them.
_SAMPLE = 2000
#: Numbered directories are looked into, so deep (ipcmules/spooler/scan.py).
_DEEPEST = 8


def all_of(where: Places, found: Description, shared: Table | None) -> Tasks:
    """The tasks of a bus: by directory, and what its spoolers have done since its start, by function."""
    running = _running(found, shared)
    done = _figures(where, found, shared)
    directories = tuple(
        _directory(each, running.get(each.directory, 0), done.get(each.directory, []))
        for each in found.config.spoolers
    )
    return Tasks(directories, _functions(itertools.chain.from_iterable(done.values())))


def _running(found: Description, shared: Table | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    if shared is None:
        return counts
    for number, directory in enumerate(found.config.spooler_directories, 1):
        record = shared.spooler(number)
        busy = shared.cells[record + table.S_TASK] and shared.cells[record + table.R_PID]
        counts[directory] = counts.get(directory, 0) + bool(busy)
    return counts


def _figures(where: Places, found: Description, shared: Table | None) -> dict[str, list[Figures]]:
    """What the spoolers of each directory have done."""
    done: dict[str, list[Figures]] = {}
    for number, directory in enumerate(found.config.spooler_directories, 1):
        runs = shared is not None and shared.lives(shared.spooler(number))
        done.setdefault(directory, []).extend(figures.read(where.figures(number), runs))
    return done


def _functions(done: Iterable[Figures]) -> tuple[Figures, ...]:
    counted: dict[str, Figures] = {}
    for each in done:
        before = counted.get(each.function)
        counted[each.function] = each if before is None else before + each
    return tuple(sorted(counted.values(), key=lambda each: (-each.begun, each.function)))


def _directory(spec: SpoolDir, running: int, done: list[Figures]) -> Directory:
    listed = list(_tasks(spec.directory))
    step = max(1, len(listed) // _SAMPLE)
    now = time.time()
    sample = listed[::step]
    later = sum(_is_later(f"{spec.directory}/{each}", now) for each in sample)
    scheduled = later if step == 1 else round(len(listed) * later / len(sample))
    due = [each for each in sample if not later or not _is_later(f"{spec.directory}/{each}", now)]
    keys = [key for each in due if (key := names.fifo_key(each)) is not None]
    return Directory(
        path=spec.directory,
        name=spec.name,
        external=spec.external,
        waiting=max(len(listed) - scheduled - running, 0),
        scheduled=scheduled,
        running=running,
        failing=_count(spec.directory, names.ATTEMPTS),
        dead=len(dead_tasks.listing(spec.directory)),
        oldest=round(max(now - min(keys) / 1e6, 0.0), 3) if keys else None,
        paused=paused(spec.directory),
        sampled=step > 1,
        begun=sum(each.begun for each in done),
        ended=sum(each.done + each.dead for each in done),
    )


def _is_later(path: str, now: float) -> bool:
    """True for a task whose time has not come: that is when its file was changed last."""
    try:
        return os.lstat(path).st_mtime > now
    except OSError:
        return False


def _tasks(directory: str, below: str = "", depth: int = 0) -> Iterator[str]:
    """The names of the tasks in a directory, relative to it, in no order."""
    prefix = f"{below}/" if below else ""
    priorities = []
    try:
        with os.scandir(f"{directory}/{below}") as entries:
            for entry in entries:
                if entry.name.startswith(names.TASK):
                    yield prefix + entry.name
                elif names.is_priority(entry.name):
                    priorities.append(prefix + entry.name)
    except OSError:
        return
    if depth < _DEEPEST:
        yield from itertools.chain.from_iterable(_tasks(directory, each, depth + 1) for each in priorities)


def _count(directory: str, prefix: str) -> int:
    try:
        with os.scandir(directory) as entries:
            return sum(each.name.startswith(prefix) for each in entries)
    except OSError:
        return 0
