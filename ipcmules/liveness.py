"""Whether a bus is alive: whether somebody holds the lock on its lock file.

May know places, errors and the file system; nothing of what a master does. A pid is never asked:
pids are reused, and a description can outlive its writer. The lock is flock(2)'s, which belongs to the
open file description and so ends with the last process that has it open, however that one ends.
"""

from __future__ import annotations

import fcntl
import os
import time

from ipcmules.errors import BusRunning
from ipcmules.places import Places, denied, private_directory

#: How long hold() tries against a refusal, in seconds. is_alive() holds the lock shared for some
#: microseconds, and a master that just ended may have a child that is still between fork and exec.
_PATIENCE = 0.2


def is_alive(where: Places) -> bool:
    """True while a master holds this bus, starting and stopping ones included. Creates nothing.

    Raises AccessError if the lock file cannot be looked at (another user's, or a symbolic link).
    """
    try:
        descriptor = os.open(where.lock, os.O_RDONLY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise denied(where.lock, error) from error
    try:
        # Shared, so that two processes that look at the same moment do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(where: Places) -> int:
    """The pid that the last holder left in the lock file, 0 if there is none. For messages to people only."""
    try:
        with open(where.lock, "rb") as file:
            text = file.read(32).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def hold(where: Places) -> int:
    """Take the bus: returns a descriptor that holds its lock until release() or the end of the process.

    The descriptor is not inherited through exec; a process that holds a bus must not fork without exec.
    Creates the runtime root (mode 0700) and the lock file (0600).

    Raises BusRunning, naming the pid, if a master holds it; AccessError if the runtime root or the lock file
    is not ours.
    """
    private_directory(os.path.dirname(where.lock))
    deadline = time.monotonic() + _PATIENCE
    while True:
        descriptor = _open(where)
        if _take(descriptor) and _still_named(descriptor, where):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return descriptor
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise BusRunning(_running(where))
        time.sleep(0.002)


def release(where: Places, descriptor: int) -> None:
    """Give the bus back: removes the lock file and closes the descriptor hold() returned."""
    # Removed while it is held: whoever opened this inode meanwhile sees in _still_named that it is
    # no longer the bus's lock file, and looks again.
    try:
        if _still_named(descriptor, where):
            os.unlink(where.lock)
    finally:
        os.close(descriptor)


def _open(where: Places) -> int:
    try:
        return os.open(where.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise denied(where.lock, error) from error


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_named(descriptor: int, where: Places) -> bool:
    """True if the open file is the one that the lock's path names now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(where.lock))
    except FileNotFoundError:
        return False


def _running(where: Places) -> str:
    pid = holder(where)
    who = f"its master is pid {pid}" if pid else "its master is just starting"
    return (
        f"bus {where.bus!r} is running already ({who}): stop it with 'ipcmules stop --bus {where.bus}', "
        "or choose another --bus name"
    )
