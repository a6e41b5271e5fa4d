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
from collections import deque
from functools import partial
from itertools import repeat, tee
from typing import NamedTuple

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


class Put(NamedTuple):
    """What became of several tasks.

    whole: so many, from the first on, are there. swept: the numbers of those of them that were taken for a
    dead writer's, and are not. error: what the system said of the one after these.
    """

    whole: int
    swept: list[int]
    error: OSError | None


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


def put_many(directory: int, names: list[str], heads: list[bytes]) -> Put:
    """Write tasks one after the other into a directory, by its descriptor, each as put() does.

    The system's errors are told, not raised; nothing is there of the task that failed, nor of any behind it.
    """
    began, todo = _now(), iter(names)
    # Open, write, open, write: in one call of C code, as a signal handler may raise between two of Python.
    opened = map(partial(_open, dir_fd=directory), todo, repeat(_FLAGS[0]), repeat(_MODE[0]))
    opening, again = tee(opened)
    sizes: list[int] = []
    files: list[int] = []
    swept: list[int] = []
    errors: list[OSError] = []
    whole = 0
    try:
        try:
            sizes.extend(map(_write, opening, heads))
        except OSError as error:
            errors.append(error)
        finally:
            deque(todo, 0)  # open no more
            files.extend(again)
        if not 0 <= _now() - began < _PROMPT:
            swept = [number for number in range(len(sizes)) if _was_swept(files[number])]
    finally:
        whole = min(_whole(sizes, heads), _closed(files, errors))
        for name in names[whole : len(files)]:
            _remove(name, directory)
    if whole < len(names) and not errors:
        errors.append(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return Put(whole, [number for number in swept if number < whole], errors[0] if errors else None)


def _whole(sizes: list[int], heads: list[bytes]) -> int:
    """How many writes, from the first on, have written all."""
    if sizes == list(map(len, heads)):
        return len(sizes)
    pairs = zip(sizes, heads, strict=False)
    return next((at for at, (size, head) in enumerate(pairs) if size != len(head)), len(sizes))


def _closed(files: list[int], errors: list[OSError]) -> int:
    """Close files; how many could be, from the first on. errors: gets what the system says otherwise."""
    done: list[None] = []
    try:
        done.extend(map(_close, files))
    except OSError as error:  # a network file system may say only now that there is no room
        errors.append(error)
        _closed(files[len(done) + 1 :], errors)
    return len(done)


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


def _remove(path: str, directory: int | None = None) -> None:
    try:
        os.unlink(path, dir_fd=directory)
    except OSError:
        pass
