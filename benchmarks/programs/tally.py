"""How many tasks a process has run, and when the first and the last: in a mapped file the driver looks at.

A count costs the handler 0.4 us, on every side the same; a file a process, so that none waits for another.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_CELLS = struct.Struct("<qqq")
_PREFIX = "tally."


class Tally:
    """The counting end, made at the first task: a process that was forked meanwhile has its own."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pid = 0

    def add(self) -> None:
        now = time.monotonic_ns()
        if self._pid != os.getpid():
            self._open(now)
        self._count += 1
        _CELLS.pack_into(self._map, 0, self._count, self._first, now)

    def _open(self, now: int) -> None:
        self._pid, self._count, self._first = os.getpid(), 0, now
        descriptor = os.open(
            os.path.join(self._directory, f"{_PREFIX}{self._pid}"), os.O_RDWR | os.O_CREAT, 0o600
        )
        os.ftruncate(descriptor, mmap.PAGESIZE)
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        os.close(descriptor)


@dataclass(frozen=True)
class Sum:
    """What all processes have run. Times are time.monotonic()'s seconds."""

    count: int
    first: float
    last: float
    pids: tuple[int, ...]


def read(directory: str) -> Sum:
    """The sum of the tallies in a directory."""
    count, first, last, pids = 0, float("inf"), 0.0, []
    for path in Path(directory).glob(f"{_PREFIX}*"):
        data = path.read_bytes()
        if len(data) < _CELLS.size:
            continue
        done, began, ended = _CELLS.unpack_from(data)
        if done:
            count += done
            first, last = min(first, began / 1e9), max(last, ended / 1e9)
            pids.append(int(path.name.removeprefix(_PREFIX)))
    return Sum(count, first, last, tuple(sorted(pids)))
