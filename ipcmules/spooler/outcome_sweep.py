"""What is over in results/: ends whose time has passed, and the oldest where there are too many. And keys in
unique/ and limits/, and files in flows/, that nobody needs any more.

Only who has such a directory pays for it, and not more than a hundredth of its time.
"""

from __future__ import annotations

import os
import time

from ipcmules.kernel import files
from ipcmules.spooler import flow_files, limits, names, unique
from ipcmules.spooler.claim import YOUTH

#: As many files are kept in one spool directory, and as many bytes.
MOST = 100_000
MOST_BYTES = 1 << 30
#: What was written just now has two times that are not further apart, seconds.
_TICK = 1.0
#: Seconds between two looks, at least; and how many times as long as one look took.
_RARELY, _SHARE = 10.0, 100


class OutcomeSweeper:
    """Sweeps what is below one spool directory, now and then."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = f"{directory}/{names.RESULTS}"
        self._next = 0.0

    def sweep_if_due(self) -> None:
        """Sweep unless that was done a moment ago."""
        began = time.monotonic()
        if began >= self._next:
            sweep(self._path)
            unique.sweep(self._directory)
            limits.sweep(self._directory)
            flow_files.sweep(self._directory)
            now = time.monotonic()
            self._next = now + max(_RARELY, _SHARE * (now - began))


def sweep(path: str) -> int:
    """Remove what is over in a directory of results; returns how many. One that is not there is empty."""
    now, count = time.time(), 0
    kept: list[tuple[float, int, str]] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                when, size = _until(entry)
                if when <= now:
                    count += files.remove(entry.path)
                else:
                    kept.append((when, size, entry.path))
    except OSError:
        return count
    return count + _bound(kept)


def _until(entry: os.DirEntry[str]) -> tuple[float, int]:
    """Until when a file counts, and its size; what is not ours is left alone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return float("inf"), 0
    if entry.name.startswith((names.RESULT, names.PROGRESS, names.HISTORY)):
        when = status.st_mtime
        if when >= status.st_ctime - _TICK:  # it may be being written (outcomes.put_at_once)
            when = max(when, status.st_ctime + YOUTH)
        return when, status.st_size
    if entry.name.startswith(names.WRITING):
        return status.st_ctime + YOUTH, status.st_size
    return float("inf"), 0


def _bound(kept: list[tuple[float, int, str]]) -> int:
    total = sum(size for _when, size, _path in kept)
    if len(kept) <= MOST and total <= MOST_BYTES:
        return 0
    count, left = 0, len(kept)
    for when, size, path in sorted(kept):
        if (left <= MOST and total <= MOST_BYTES) or when == float("inf"):
            break
        count += files.remove(path)
        left, total = left - 1, total - size
    return count
