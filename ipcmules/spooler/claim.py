"""Taking a task's file: exactly one process has it, and it is what its name says, whole and due.

The lock is a POSIX record lock (lockf), as uWSGI takes it. Such a lock belongs to the process and is
dropped when *any* descriptor of the file is closed in it (fcntl(2)), so what this process holds is never
opened here a second time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from typing import NamedTuple

from ipcmules.kernel import exhaustion
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import opened
from ipcmules.spooler import attempts, names

#: Why a task was not taken.
GONE, BUSY, LATER, YOUNG, MALFORMED, FOREIGN = "gone", "busy", "later", "young", "malformed", "foreign"
EMPTY = "empty"

#: Seconds after its last change in which a file that makes no sense may still be being written.
YOUTH = 60.0
#: A task that the system refused to open is tried again in so many seconds.
AGAIN = 1.0
#: A clock that was set back by less is not noticed: tasks wait for it.
_BACK = 2.0

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

#: Paths of the tasks this process holds.
_held: set[str] = set()

#: Paths that were locked by others when this process tried; see look() about events.
_busy: set[str] = set()
_MOST_BUSY = 10_000


class Refusal(NamedTuple):
    """Why a task was not taken.

    gone: not there (any more). busy: somebody writes or runs it. later: due at `when`. young: makes no sense,
    but may still be being written: look again at `when`. malformed: moved to dead/. empty: removed, as its
    writer died before it wrote. foreign: not ours to
    touch (a directory, another user's file); `reason` says it.
    """

    why: str
    when: float = 0.0  #: seconds since 1970
    reason: str = ""


class Held(NamedTuple):
    """A file this process has the lock of; give it back with release()."""

    path: str
    file: int
    status: os.stat_result


_GONE, _BUSY = Refusal(GONE), Refusal(BUSY)


def look(path: str) -> os.stat_result | Refusal:
    """The status of the file at path, without opening it. To close what was opened for writing makes an
    inotify event, for which a spooler would look at the file again, without end."""
    try:
        status = os.lstat(path)
    except OSError as error:
        return not_there(error)
    if stat.S_ISREG(status.st_mode):
        return status
    return Refusal(FOREIGN, 0.0, f"{path} is no regular file")


def lock(path: str, before: os.stat_result) -> Held | Refusal:
    """Lock the file at path, without waiting, and see that it is still the one of that name.

    before: what look() said. What it says in the result is newer: the time may be another one.
    """
    if path in _held or (path in _busy and _still_busy(path)):
        return _BUSY
    try:
        file = os.open(path, _OPEN)
    except OSError as error:
        return not_there(error)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(file)
        if _changed(before, status) and not _is_at(path, status):
            os.close(file)
            return _GONE
    except OSError as error:
        os.close(file)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return not_there(error)
        if len(_busy) >= _MOST_BUSY:
            _busy.clear()
        _busy.add(path)
        return _BUSY
    _held.add(path)
    return Held(path, file, status)


def take(path: str) -> Held | Refusal:
    """Look at the file at path, and lock it: for whoever does not care what look() says of it."""
    seen = look(path)
    return seen if isinstance(seen, Refusal) else lock(path, seen)


#: Say, and take back, that this process has the lock of the file at a path: for who locks by itself.
hold, unhold = _held.add, _held.discard


def release(held: Held) -> None:
    """Give up the lock."""
    _held.discard(held.path)
    os.close(held.file)


def _changed(before: os.stat_result, now: os.stat_result) -> bool:
    """True if the file may have been unlinked or renamed since: both change ctime.

    Its clock ticks in 4 ms before Linux 6.13, so whoever renames a task changes its mode as well (dead.py).
    """
    return (
        before.st_ctime_ns != now.st_ctime_ns
        or before.st_ino != now.st_ino
        or before.st_mode != now.st_mode
        or now.st_nlink == 0
    )


def _is_at(path: str, status: os.stat_result) -> bool:
    """True if the name is this inode's. Raises OSError, as where the name is gone."""
    there = os.lstat(path)
    return (there.st_ino, there.st_dev) == (status.st_ino, status.st_dev)


def not_there(error: OSError) -> Refusal:
    """Why a task was not taken, from what the system said."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return _GONE
    if exhaustion.refused(error) or error.errno == errno.ENOLCK:
        return Refusal(LATER, time.time() + AGAIN, str(error))  # that says nothing about the task
    return Refusal(FOREIGN, 0.0, str(error))


def _still_busy(path: str) -> bool:
    """Ask, without making an event, whether a file that was locked still is."""
    try:
        if running(path):
            return True
    except OSError:
        pass
    _busy.discard(path)
    return False


def status_of(path: str) -> os.stat_result | None:
    """What lstat(2) says of a task's file; None if it is gone or no file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def due(path: str, status: os.stat_result, now: float) -> float:
    """When a task is due, in seconds since 1970; 0.0 for now.

    Its modification time, if that is in the future, but for what only a clock that was set back put there:
    the time of writing (the name tells it), or a wait that is longer than it was meant.
    """
    when = status.st_mtime
    if when <= now:
        return 0.0
    if when - now <= _BACK:
        return when
    written = names.fifo_key(path)
    if written is not None and when <= written / 1e6 + 1:
        return 0.0
    if tried(status):
        wait = attempts.load(path).wait
        return min(when, now + wait) if wait else when
    return when


def tried(status: os.stat_result) -> bool:
    """True if there may be a record of the task's failures: marked, or not ours to mark."""
    return bool(status.st_mode & stat.S_IXUSR) or status.st_uid != os.geteuid()


def is_held(path: str) -> bool:
    """True for a file that this process has the lock of: opening and closing it would drop the lock."""
    return path in _held


def running(path: str) -> int:
    """The pid of the process that has the lock of the file at path, 0 for none; takes no lock.

    -1 if it is locked and the process cannot be told. Raises OSError.
    """
    if path in _held:
        return os.getpid()
    with opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY) as file:
        return locker(file.fileno())


def locker(file: int) -> int:
    """running() for an open file."""
    with importing:
        import struct

    # struct flock: type, whence, start, length, pid; aligned as the C compiler does (fcntl(2)).
    form = "hhqqi0q"
    asked = struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _whence, _start, _length, pid = struct.unpack(form, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    # -1: a lock of an open file description; 0: of a process in another namespace.
    return 0 if kind == fcntl.F_UNLCK else int(pid) or -1


# A forked child has none of its parent's record locks.
os.register_at_fork(after_in_child=_held.clear)
