"""A small task written under its own name: one open (O_EXCL), one write, one close.

For a moment the name is there and the file is empty. Readers leave it alone then, ours and uWSGI's: a packet
says in its header how long it is, and one write within a page makes it whole at once. What a writer leaves
that is killed in between is empty, and is swept (docs/formats-spooler.md). Knows files, no directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from ipcmules.kernel import unpatched

#: The packet must be in one page: readers see the size of a file grow page by page.
LONGEST = 4096
_FLAGS = (os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC,)
_MODE = (0o600,)
#: So long after the open no sweeper can have taken the file for a dead writer's (claim.YOUTH), seconds.
_PROMPT = 1.0
#: A sweeper has a file locked for microseconds: how often, and in which steps (seconds), it is waited for.
_TURNS, _STEP = 200, 0.005

_open, _write, _close, _now = os.open, os.write, os.close, time.time


def put(path: str, head: bytes) -> bool:
    """Write a task. head: all of it, at most LONGEST bytes. False where it was taken for a dead writer's, as
    by a clock that was set: it is not there.

    Raises OSError; then nothing of it is there.
    """
    began = _now()
    found: list[int] = []  # see kernel/interruption.py
    whole = False
    try:
        found.extend(map(_open, (path,), _FLAGS, _MODE))
        whole = _write(found[0], head) == len(head)
        if not whole:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if not 0 <= _now() - began < _PROMPT:
            return not _was_swept(found[0])
        _close(found.pop())  # a network file system may say only now that there is no room
    except BaseException:
        if found or whole:
            _remove(path)
        raise
    finally:
        for each in found:
            _close(each)
    return True


def sweep(path: str, file: int, status: os.stat_result) -> bool:
    """Remove an empty file whose writer is dead, or as good as that. file, status: locked, by fstat.

    False where it is empty no more. Raises OSError. The sticky bit says to a writer that lives after all
    that the file is not there for it: it sets the size and then looks at the mode, this the other way round.
    """
    os.fchmod(file, stat.S_IMODE(status.st_mode) | stat.S_ISVTX)
    if os.fstat(file).st_size:
        os.fchmod(file, stat.S_IMODE(status.st_mode))
        return False
    os.unlink(path)
    return True


def _was_swept(file: int) -> bool:
    """True if sweep() has removed the file, before or while it was written."""
    for _ in range(_TURNS):
        if not os.fstat(file).st_mode & stat.S_ISVTX:
            return False  # if it is gone, it was run
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except (BlockingIOError, PermissionError):
            unpatched.sleep(_STEP)
    return os.fstat(file).st_nlink == 0


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
