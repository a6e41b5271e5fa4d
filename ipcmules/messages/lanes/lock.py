"""One at a time begins, frees or shortens lanes: a lock of the whole directory, never taken for a message.

An flock(2) of a descriptor of its own: the kernel frees it when the process dies, no close of another
descriptor drops it, as it would a POSIX lock, and it excludes threads of one process too. Entered and left in
C code, as the registry's lock: it is free as soon as the with statement is left, whoever keeps the exception.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import random
import time
import weakref
from contextlib import AbstractContextManager

from ipcmules.kernel import exhaustion, unpatched
from ipcmules.messages.lanes.directory import Directory

#: Between two looks at a lock that somebody holds, seconds: half of it at first, and at most.
_PAUSE, _LONGEST_PAUSE = 0.0001, 0.005

#: By thread: the file that it has, or had, open for the lock.
_files: dict[int, weakref.ref[io.FileIO]] = {}


def locked(directory: Directory, patience: float = 0.0) -> AbstractContextManager[object]:
    """Take the lock for a with statement, if it is free within so many seconds.

    What the statement gives is None if it is not held: another process has it, this is a signal handler in
    the middle of it, the bus is gone, or there is no descriptor for it.
    """
    me = unpatched.get_ident()
    known = _files[me]() if me in _files else None
    if known is not None and not known.closed:
        return contextlib.nullcontext()
    try:
        file = directory.open()
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and not exhaustion.refused(error):
            raise
        return contextlib.nullcontext()
    try:
        _files[me] = weakref.ref(file)  # first: a child that is forked from here on closes it
        if _acquire(file, patience):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return contextlib.nullcontext()


def _acquire(file: io.FileIO, patience: float) -> bool:
    deadline = time.monotonic() + patience
    pause = _PAUSE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        # Less and less often: where hundreds wait, their looks are all that the holder waits for.
        unpatched.sleep(pause * (1 + random.random()))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _after_fork() -> None:
    """In a forked child: the threads that hold the lock are not in it, their files are, and would keep it."""
    for each in list(_files.values()):
        file = each()
        if file is not None:
            file.close()
    _files.clear()


os.register_at_fork(after_in_child=_after_fork)
