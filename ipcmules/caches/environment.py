"""A cache's data: an LMDB environment, opened once a process, closed before a fork and opened again after it.

The one place that imports lmdb. LMDB's rules (lmdb.tech/doc, "Caveats"): a process opens a file once, and
what is open does not cross a fork. A killed writer leaves the state before its transaction, and its lock is
given on by the kernel (robust mutexes); a killed reader leaves a slot, which reader_check() frees.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ipcmules.errors import AccessError, CacheError, LimitError
from ipcmules.kernel import exhaustion, unpatched

__all__ = ["Environment", "lmdb", "no_room"]

if TYPE_CHECKING:
    import lmdb
else:
    try:
        import lmdb
    except ModuleNotFoundError as error:
        raise CacheError(
            "a cache needs the package lmdb, which is not installed: pip install 'ipcmules[cache]'"
        ) from error

#: Processes and threads that can read at one moment; each takes 64 bytes of the lock file.
_READERS = 4096
#: Bytes of a file that is just made.
_SMALL = 128 * 1024
#: A fork waits so long at most for calls of other threads that are going on, seconds.
_PATIENCE = 5.0

_all: weakref.WeakSet[Environment] = weakref.WeakSet()


class Environment:
    """One file of data. `begin` begins a transaction; a call that uses one stands in `held` meanwhile."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: An entry for each call that is going on: a fork waits until there is none.
        self.held: list[None] = []
        self._turn = unpatched.RLock()
        self._opened: lmdb.Environment | None = None
        self.begin: Callable[..., Any] = self._open_and_begin
        #: Begins a transaction that reads one record, outside of `held`: a fork, or a signal handler that
        #: forks, may take it away, which lmdb.Error says.
        self.read: Callable[[], Any] = self._open_and_read
        _all.add(self)

    def _open_and_begin(self, *arguments: Any, **keywords: Any) -> Any:
        """The first call of all, or after a fork."""
        self.held.pop()  # who is about to fork waits for it, and holds the turn
        try:
            with self._turn:
                self.opened()
        finally:
            self.held.append(None)
        return self.begin(*arguments, **keywords)

    def _open_and_read(self) -> Any:
        return self.opened().begin()

    def opened(self) -> lmdb.Environment:
        """The environment, opened if it is not. Raises CacheError, AccessError, LimitError."""
        found = self._opened
        if found is not None:  # who is in the middle of a call must not wait for one who forks
            return found
        with self._turn:
            if self._opened is None:
                self._opened = _open(self.path, _checked_size(self.path))
                self.begin = self.read = self._opened.begin
            return self._opened

    def make(self, size: int) -> None:
        """Make it if it is missing, or make it larger: all of its bytes are reserved, so that memory that is
        full is an error here and never a SIGBUS later."""
        with self._turn:
            assert self._opened is None
            for path in (self.path, f"{self.path}-lock"):
                # Not by LMDB, which would take what somebody else has put there.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
                _checked_size(path)
            _open(self.path, max(_SMALL, os.stat(self.path).st_size)).close()
            for path, length in ((self.path, size), (f"{self.path}-lock", 0)):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    os.posix_fallocate(descriptor, 0, max(length, os.fstat(descriptor).st_size))
                finally:
                    os.close(descriptor)

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Around what begins transactions: a fork waits for its end."""
        self.held.append(None)
        try:
            yield
        finally:
            self.held.pop()

    def sync(self) -> None:
        """Write what is in memory to the disk."""
        self.opened().sync(True)

    def free_readers(self) -> bool:
        """Free what killed readers left. True if somebody reads."""
        try:
            self.opened().reader_check()
            return any(not line.endswith("-") for line in self.opened().readers().split("\n")[1:] if line)
        except lmdb.Error:
            return False

    def close(self) -> None:
        """Close it; the next call opens it again."""
        with self._turn:
            found, self._opened = self._opened, None
            self.begin, self.read = self._open_and_begin, self._open_and_read
            if found is not None:
                found.close()

    # Forks

    def before_fork(self) -> None:
        """Let no call begin, wait for those that are going on, and close."""
        self._turn.acquire()
        self.begin, self.read = self._open_and_begin, self._open_and_read
        deadline = time.monotonic() + _PATIENCE
        while self.held and time.monotonic() < deadline:
            unpatched.sleep(0.0001)
        if not self.held:
            self.close()
        # else a signal handler forks in the middle of a call of this thread: the child closes its copy.

    def after_in_parent(self) -> None:
        """Calls go on."""
        if self._opened is not None:
            self.begin = self.read = self._opened.begin
        self._turn.release()

    def after_in_child(self) -> None:
        """Here no call is going on, and nothing is open."""
        self._turn = unpatched.RLock()
        self.held.clear()
        self.close()


def _checked_size(path: str) -> int:
    """Bytes of a file that is this user's. Raises AccessError, OSError."""
    found = os.lstat(path)
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
        raise AccessError(f"{path} belongs to uid {found.st_uid}, or is no file: have it removed")
    return found.st_size


def _open(path: str, size: int) -> lmdb.Environment:
    try:
        return lmdb.open(
            path,
            map_size=size,
            subdir=False,
            mode=0o600,
            writemap=True,
            sync=False,
            metasync=False,
            readahead=False,
            meminit=False,
            max_readers=_READERS,
            max_spare_txns=4,
        )
    except lmdb.Error as error:
        raise CacheError(f"the cache {path} cannot be opened: {error}; remove it") from error
    except PermissionError as error:
        raise AccessError(f"the cache {path} cannot be opened: {error.strerror}") from error


def no_room(path: str, size: int, error: OSError) -> LimitError:
    """What to raise where a cache of that size does not fit."""
    remedy = exhaustion.remedy(error, exhaustion.MORE_SHARED_MEMORY if path.startswith("/dev/shm/") else "")
    return LimitError(
        error.errno,
        f"a cache of {size} bytes cannot be made at {path} ({error.strerror}): give it a smaller size=, or "
        f"{remedy or 'make room there'}",
    )


def _before_fork() -> None:
    for each in list(_all):
        each.before_fork()


def _after_in_parent() -> None:
    for each in list(_all):
        if each._turn._is_owned():  # type: ignore[attr-defined] # one that was made meanwhile is not
            each.after_in_parent()


def _after_in_child() -> None:
    for each in list(_all):
        each.after_in_child()


os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
