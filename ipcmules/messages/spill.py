"""Kept messages in shared memory, for as long as the state directory takes none: it is full, or read-only.

The same files as in the state directory (kept.py), each a segment `PREFIX k.NAME.msg`. They outlive every
process, but no restart of the machine, so whoever can moves them: kept.settle(). Knows /dev/shm, which
anybody may write to: what is not this user's, and private, is not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat

from ipcmules.bus.places import Places
from ipcmules.kernel import files
from ipcmules.messages.segments import DIRECTORY

#: What stands behind the prefix: a kept message, or one that is being written.
_NAME = re.compile(r"\d{20}-\d+-\d{6}\.msg\Z")
_WRITING = re.compile(r"new\.\d{20}-(\d+)-\d{6}\.msg\Z")


def _prefix(where: Places) -> str:
    return f"{where.kernel.lstrip('/')}k."


def store(where: Places, name: str, content: bytes) -> str:
    """Write a kept message; its path. It appears whole or not at all. Raises OSError, e.g. ENOSPC."""
    path = path_of(where, name)
    files.replace(path, content, temporary=os.path.join(DIRECTORY, f"{_prefix(where)}new.{name}"))
    return path


def path_of(where: Places, name: str) -> str:
    """Where a kept message of this name is, if it is in shared memory."""
    return os.path.join(DIRECTORY, _prefix(where) + name)


def names(where: Places) -> list[str]:
    """Names of what is there, as they are in the state directory, in no order."""
    return [name for _path, name in _ours(where) if _NAME.match(name)]


def listing(where: Places) -> list[str]:
    """Paths of what is there, in no order."""
    return [path for path, name in _ours(where) if _NAME.match(name)]


def sweep(where: Places) -> None:
    """Remove what processes were writing when they were killed."""
    for path, name in _ours(where):
        writing = _WRITING.match(name)
        if writing and not os.path.exists(f"/proc/{writing[1]}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def is_spilled(path: str) -> bool:
    """True if a kept message's path is in shared memory."""
    return path.startswith(f"{DIRECTORY}/")


def _ours(where: Places) -> list[tuple[str, str]]:
    """Paths, and what stands behind the prefix; of this user's private files alone."""
    prefix = _prefix(where)
    try:
        names = [name for name in os.listdir(DIRECTORY) if name.startswith(prefix)]
    except OSError:
        return []
    found = []
    for name in names:
        path = os.path.join(DIRECTORY, name)
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                found.append((path, name[len(prefix) :]))
    return found
