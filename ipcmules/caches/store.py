"""A cache's files, made and opened: data, LMDB's lock, and what processes share beside them.

    PATH  PATH-lock  PATH-use

Knows nothing of a bus. Files are made by whoever holds the lock (flock) of PATH-use, so they are whole for
everybody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import replace

from ipcmules.caches import control, environment
from ipcmules.caches.control import PAGE, Control
from ipcmules.caches.environment import Environment
from ipcmules.errors import AccessError, CacheError
from ipcmules.kernel import exhaustion
from ipcmules.options.caches import SMALLEST, CacheSpec

#: What stands behind the path of the data.
SUFFIXES = ("", "-lock", "-use")
#: Bytes of a cache where nothing is said: by the number of entries, from and up to these.
_LEAST, _USUAL = 1 << 20, 64 << 20
#: Bytes that an entry of unknown size is taken to have, and those that every entry takes besides.
_ENTRY, _OVERHEAD = 4096, 512
_BLOCK = 4096


class Store:
    """An open cache."""

    def __init__(self, path: str, found: Control) -> None:
        self.path = path
        self.control = found
        self.spec = found.spec()
        self.environment = Environment(path)
        #: Where the look for what can be evicted goes on.
        self.hand = b""
        #: Of a sweep that is going on: the key where it goes on, and the next expiry that it has seen.
        self.sweeping = b""
        self.next_expiry = 0
        #: Pages of data that may be used. The rest is for what changes while it is changed: LMDB writes no
        #: page that a reader could see, and needs free pages to remove something.
        there = os.stat(path)
        self.quota = there.st_size * 7 // 8 // _BLOCK - 8
        self.identity = there.st_dev, there.st_ino

    def close(self) -> None:
        """Close it."""
        self.environment.close()
        self.control.close()


#: Open caches of this process, by path: LMDB opens a file once a process.
_open: dict[str, Store] = {}


def opened(path: str, spec: CacheSpec | None = None) -> Store:
    """The cache at a path. spec: it is made like that if it is not there, with the size in it.

    Raises CacheError if it is not there, or cannot be made; AccessError, LimitError.
    """
    path = os.path.realpath(path)
    found = _open.get(path)
    if found is not None and _is_current(found):
        return found
    if found is not None:
        found.environment.close()  # that of a bus that has ended
    try:
        if spec is not None:
            made(path, spec, anew=False).close()
        _open[path] = Store(path, _mapped(path))
    except FileNotFoundError as error:
        raise CacheError(f"there is no cache at {path}: {error.strerror}") from error
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, f"the cache {path} cannot be opened") from error
        raise
    return _open[path]


def made(path: str, spec: CacheSpec, anew: bool) -> Store:
    """Make a cache, or open it if it is there and whole. anew: nobody else has it, and it gets this spec.

    Raises AccessError, LimitError, CacheError.
    """
    path = os.path.realpath(path)
    try:
        descriptor = control.open_locked(f"{path}-use")
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, f"the cache {path} cannot be made") from error
        raise AccessError(
            f"the cache {path} cannot be made: {error.strerror}: give a path in a directory of your own"
        ) from error
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise AccessError(f"{path}-use belongs to another user: have it removed")
        there = _whole(descriptor, path)
        if there and not anew:
            return Store(path, Control(descriptor))
        # A new file: who has the old one open goes on seeing that that is over.
        control.mark_over(f"{path}-use")
        os.unlink(f"{path}-use")
        descriptor, old = control.open_locked(f"{path}-use"), descriptor
        os.close(old)
        size = max(spec.size, os.stat(path).st_size if there else 0)
        return _made(descriptor, path, replace(spec, size=size), keep=there)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _whole(descriptor: int, path: str) -> bool:
    if os.fstat(descriptor).st_size < PAGE or not os.path.exists(path):
        return False
    found = Control(descriptor)
    whole = found.is_whole()
    found.close()
    return whole


def _made(descriptor: int, path: str, spec: CacheSpec, keep: bool) -> Store:
    if not keep:
        for each in SUFFIXES[:2]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + each)
    stamps = control.stamps_for(spec)
    try:
        os.ftruncate(descriptor, 0)
        os.posix_fallocate(descriptor, 0, PAGE + 8 * stamps)
        found = Control(descriptor)
        found.describe(spec)
        Environment(path).make(spec.size)
    except OSError as error:
        removed(path)
        if isinstance(error, (AccessError, CacheError)):
            raise
        raise environment.no_room(path, spec.size, error) from error
    found.begin(stamps, empty=not keep)
    return Store(path, found)


def removed(path: str) -> list[str]:
    """Remove the files of a cache; those that were there."""
    found = []
    for each in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + each)
            found.append(path + each)
    return found


def sized(spec: CacheSpec, directory: str) -> CacheSpec:
    """The spec with a size: what was asked for, else by the entries, at most a quarter of what is free."""
    if spec.size:
        return spec
    wanted = spec.items * (min(spec.largest or _ENTRY, 1 << 20) + _OVERHEAD) if spec.items else _USUAL
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize // 4
    size = max(min(max(wanted, _LEAST), _USUAL, free), SMALLEST)
    return replace(spec, size=size // _BLOCK * _BLOCK)


def _mapped(path: str) -> Control:
    descriptor = os.open(f"{path}-use", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise AccessError(f"{path}-use belongs to another user: have it removed")
        if not _whole(descriptor, path):
            raise CacheError(f"there is no cache at {path}: what is there is half made")
        return Control(descriptor)
    finally:
        os.close(descriptor)


def _is_current(found: Store) -> bool:
    """False if its file was removed, or another one is there."""
    try:
        there = os.stat(found.path)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == found.identity
