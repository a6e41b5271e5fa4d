"""Whether a bus is alive: whether somebody holds the lock on its lock file.

May know places, errors, the table's header and the file system; nothing of what a master does. The lock is
flock(2)'s, which belongs to the open file description and so ends with the last process that has it open,
however that one ends.

Somebody may remove the file of a held lock, as cleaners of /tmp do. Until the master has made it again
(renew) the bus is alive for whoever finds that master, by pid and start time, in its table: that is in shared
memory, so it is never older than the machine's last start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

import posix_ipc

from ipcmules.bus.places import Places, denied, private_directory
from ipcmules.errors import BusRunning
from ipcmules.kernel import exhaustion
from ipcmules.kernel.interruption import opened
from ipcmules.kernel.processes import ProcessId
from ipcmules.kernel.undisturbed import undisturbed

#: How long hold() tries against a refusal, in seconds. is_alive() holds the lock shared for some
#: microseconds, and a master that just ended may have a child that is still between fork and exec.
_PATIENCE = 0.2


def is_alive(where: Places) -> bool:
    """True while a master holds this bus, starting and stopping ones included. Creates nothing.

    One whose lock file was removed holds it, too. Raises AccessError if the lock file cannot be looked at
    (another user's, or a symbolic link), LimitError where there is no descriptor to look by.
    """
    try:
        with opened(where.lock, os.O_RDONLY | os.O_NOFOLLOW) as file:
            # Shared, so that two processes that look at the same moment do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, "whether the bus lives cannot be seen") from error
        raise denied(where, where.lock, error) from error
    return _living_master(where) is not None


def _living_master(where: Places) -> ProcessId | None:
    """The master that runs by the word of the bus's table, not this process. For a lock that nobody holds."""
    with undisturbed:
        from ipcmules.bus import table

    try:
        shared = table.open(where.table)
    except (posix_ipc.Error, OSError) as error:
        if exhaustion.refused(error):
            raise  # it may live
        return None
    cells = shared.cells
    master = ProcessId(cells[table.H_MASTER_PID], cells[table.H_MASTER_START])
    if cells[table.H_STATE] == table.STOPPED or master.pid == os.getpid() or not master.alive():
        return None
    return master


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
            master = _living_master(where)
            if master is None:
                _sign(descriptor)
                return descriptor
            os.close(descriptor)
            raise BusRunning(_running(where, master.pid))
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise BusRunning(_running(where))
        time.sleep(0.002)


def renew(where: Places, descriptor: int) -> int:
    """See that the held lock's file is there, and make it again where somebody has removed it.

    Returns the descriptor that holds the lock from now on, in place of the one given. There is no moment at
    which the file is there and not held. Raises BusRunning if another master holds the new file; OSError.
    """
    if _still_named(descriptor, where):
        return descriptor
    private_directory(os.path.dirname(where.lock))
    # No bus has a name that begins with a dot.
    temporary = os.path.join(os.path.dirname(where.lock), f".{where.bus}.lock.{os.getpid()}")
    made = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign(made)
        os.link(temporary, where.lock)
    except FileExistsError:
        os.close(made)
        made = _take_existing(where)
    except BaseException:
        os.close(made)
        raise
    finally:
        os.unlink(temporary)
    os.close(descriptor)
    return made


def _take_existing(where: Places) -> int:
    """Take the lock file that somebody else has made, and does not hold (hold() looks at the table, too)."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        descriptor = _open(where)
        if _take(descriptor) and _still_named(descriptor, where):
            _sign(descriptor)
            return descriptor
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise BusRunning(_running(where))
        time.sleep(0.002)


def _sign(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a full disk; the pid is for people, the lock is what counts
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)


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
        raise denied(where, where.lock, error) from error


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


def _running(where: Places, pid: int = 0) -> str:
    pid = pid or holder(where)
    who = f"its master is pid {pid}" if pid else "its master is just starting"
    return (
        f"bus {where.bus!r} is running already ({who}): stop it with 'ipcmules stop --bus {where.bus}', "
        "or choose another --bus name"
    )
