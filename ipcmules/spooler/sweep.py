"""Files of ours that have lost their meaning: half-written ones of dead writers, attempts without a task.

Only what is old and whose writer is dead goes. Hands of dead spoolers are store.py's.
"""

from __future__ import annotations

import fcntl
import os
import time

from ipcmules.kernel import files
from ipcmules.spooler import names
from ipcmules.spooler.claim import YOUTH


def sweep(directory: str, found: list[str]) -> int:
    """Remove what is left over among files of ours (names relative to the directory); returns how many."""
    return sum(_sweep_one(directory, name) for name in found)


def _sweep_one(directory: str, name: str) -> bool:
    bare = names.bare(name)
    path = f"{directory}/{name}"
    if bare.startswith(names.WRITING):
        return _is_old(path) and _unlink_unlocked(path)
    if bare.startswith((names.ATTEMPTS, names.CANCEL, names.REASON)):
        task = f"{directory}/{names.task_of(name)}"
        return not os.path.lexists(task) and _is_old(path) and files.remove(path)
    return False


def _is_old(path: str) -> bool:
    try:
        return abs(time.time() - os.lstat(path).st_ctime) >= YOUTH
    except OSError:
        return False


def _unlink_unlocked(path: str) -> bool:
    """Remove a file unless its writer still has it locked."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return files.remove(path)
    except OSError:
        return False
    finally:
        os.close(file)
