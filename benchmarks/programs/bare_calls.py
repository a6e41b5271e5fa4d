"""What the machine gives two processes: a Python loop, and the bare system calls of tasks in one directory.

Prints the rate of one process and that of two, a line each. No ipcmules in it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

_ROUNDS = 1_000_000
_TASKS = 10_000


def spin() -> None:
    """A loop that needs nothing but its core."""
    total = 0
    for number in range(_ROUNDS):
        total += number


def run_bare(directory: int, names: list[str]) -> None:
    """What taking and removing a task is at least: open, lock, look, read, unlink, close."""
    for name in names:
        file = os.open(name, os.O_RDWR, dir_fd=directory)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.read(file, os.fstat(file).st_size)
        os.unlink(name, dir_fd=directory)
        os.close(file)


def timed(works: list[Callable[[], None]]) -> float:
    """Seconds from the start of all of them, each in a process of its own, to the end of the last."""
    ready, start = os.pipe()
    children = [_fork(work, ready, start) for work in works]
    os.close(ready)
    began = time.monotonic()
    os.close(start)
    for child in children:
        os.waitpid(child, 0)
    return time.monotonic() - began


def _fork(work: Callable[[], None], ready: int, start: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.close(start)
        os.read(ready, 1)
        work()
    finally:
        os._exit(0)


def _fill(path: str) -> list[str]:
    names = [f"uwsgi_spoolfile_on_host_1_{number}_1_1700000000_{number}" for number in range(_TASKS)]
    for name in names:
        with open(os.path.join(path, name), "wb") as file:
            file.write(bytes(40))
    return names


def main(path: str) -> None:
    timed([spin])  # the first one takes longer
    one, two = timed([spin]), timed([spin, spin])
    print(_ROUNDS / one, 2 * _ROUNDS / two)
    with tempfile.TemporaryDirectory(dir=path) as where:
        directory = os.open(where, os.O_PATH | os.O_DIRECTORY)
        one = timed([partial(run_bare, directory, _fill(where))])
        names = _fill(where)
        half = len(names) // 2
        two = timed([partial(run_bare, directory, part) for part in (names[:half], names[half:])])
        print(_TASKS / one, _TASKS / two)


if __name__ == "__main__":
    main(sys.argv[1])
