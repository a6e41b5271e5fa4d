"""One writer at a time: the lock that guards the signal entries and the workers' numbers.

A POSIX record lock (fcntl(2)) on a file, because the kernel drops it when its holder dies. Such a lock
belongs to the process and goes with the first close of the file, so a thread lock comes before it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ipcmules.errors import AccessError, SignalError
from ipcmules.places import Places

#: How long to wait for another process to finish writing, seconds. Writing takes microseconds.
PATIENCE = 10.0


class _State:
    """The thread lock, and how deep this process is inside which lock file."""

    def __init__(self) -> None:
        self.threads = threading.RLock()
        self.inside: dict[str, int] = {}


_state = _State()


def _after_fork() -> None:
    # Another thread of the parent may have held it; record locks are not inherited (fork(2)).
    global _state
    _state = _State()


os.register_at_fork(after_in_child=_after_fork)


def threads() -> AbstractContextManager[bool]:
    """The lock between the threads of this process, for what belongs to the registrations."""
    return _state.threads


@contextmanager
def registry_lock(where: Places, patience: float | None = None) -> Iterator[None]:
    """Hold the bus's registry lock. May be nested in one thread.

    Raises SignalError if another process does not release it within patience seconds, PATIENCE by
    default (it was stopped while it wrote), AccessError if the lock file cannot be opened.
    """
    path, inside = where.registry_lock, _state.inside
    with _state.threads:
        if path in inside:  # closing a second descriptor would drop the lock
            yield
            return
        descriptor = _open(path)
        try:
            _acquire(descriptor, path, PATIENCE if patience is None else patience)
            inside[path] = 1
            yield
        finally:
            inside.pop(path, None)
            os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise AccessError(
            f"the registry lock {path} cannot be opened: {error.strerror}; is the bus running?"
        ) from error


def _acquire(descriptor: int, path: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    pause = 0.0001
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: held elsewhere (fcntl(2))
            if time.monotonic() > deadline:
                raise SignalError(
                    f"another process holds {path} for over {patience:.0f} s: it was stopped while it wrote "
                    "the signal table; let it go on (kill -CONT) or end it"
                ) from None
        time.sleep(pause)
        pause = min(pause * 2, 0.01)
