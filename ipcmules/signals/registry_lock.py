"""One writer at a time: the lock that guards the signal entries and the workers' numbers.

A POSIX record lock (fcntl(2)) on a file, because the kernel drops it when its holder dies. Such a lock
belongs to the process and goes with the first close of the file, so a thread lock comes before it:

    with threads(), registry_lock(where):

Both are entered and left in C code, and the with statement alone keeps the file: where a signal handler of
the program raises, the lock is free as soon as the statement is left, whoever keeps the exception, with the
frames in its traceback (kernel/interruption.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import time
import weakref
from contextlib import AbstractContextManager

from ipcmules.bus.places import Places
from ipcmules.errors import AccessError, SignalError
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.interruption import opened

#: How long to wait for another process to finish writing, seconds. Writing takes microseconds.
PATIENCE = 10.0


#: The lock files that are, or were, open in this process.
_files: dict[str, weakref.ref[io.FileIO]] = {}
# Record locks are not inherited (fork(2)).
os.register_at_fork(after_in_child=_files.clear)


def registry_lock(where: Places, patience: float | None = None) -> AbstractContextManager[object]:
    """Take the bus's registry lock for a with statement. May be nested in one thread, which has threads().

    Raises SignalError if another process does not release it within patience seconds, PATIENCE by
    default (it was stopped while it wrote), AccessError if the lock file cannot be opened, LimitError where
    there is no descriptor for it.
    """
    path, known = where.registry_lock, _files
    held = known[path]() if path in known else None
    if held is not None and not held.closed:  # closing a second descriptor would drop the lock
        return contextlib.nullcontext()
    file = _open(path)
    try:
        _acquire(file, path, PATIENCE if patience is None else patience, known)
        return file
    except BaseException:
        file.close()
        raise


def _open(path: str) -> io.FileIO:
    try:
        return opened(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, "the registry lock cannot be opened") from error
        raise AccessError(
            f"the registry lock {path} cannot be opened: {error.strerror}; is the bus running?"
        ) from error


def _acquire(file: io.FileIO, path: str, patience: float, known: dict[str, weakref.ref[io.FileIO]]) -> None:
    reference = weakref.ref(file)
    deadline = time.monotonic() + patience
    pause = 0.0001
    while True:
        try:
            for _ in map(fcntl.lockf, (file,), (fcntl.LOCK_EX | fcntl.LOCK_NB,)):
                known[path] = reference  # in one stretch with the lock (kernel/interruption.py)
                return
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: held elsewhere (fcntl(2))
            if time.monotonic() > deadline:
                raise SignalError(
                    f"another process holds {path} for over {patience:.0f} s: it was stopped while it wrote "
                    "the signal table; let it go on (kill -CONT) or end it"
                ) from None
        unpatched.sleep(pause)
        pause = min(pause * 2, 0.01)
