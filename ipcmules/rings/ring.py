"""uWSGI's queue: a ring of slots of one size, in shared memory or in a file, as its queue-store is.

The format is uWSGI's (core/queue.c), so a file of either is read by the other; docs/formats-state.md has it.
Who changes something holds a record lock (fcntl(2)), which goes with its process, and a lock of its threads.
A killed process leaves its change not done, or done; what it has just pulled is lost with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time
import weakref
from collections.abc import Iterator

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.errors import AccessError, LockError
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.interruption import noted

#: Before the slots: where the next push goes, and the next pull.
_HEADER = struct.Struct("=QQ")
#: Before the bytes of a slot: how many, 0 for none, and when they came (seconds since the epoch).
_ITEM = struct.Struct("=Qq")


class Ring:
    """An open ring."""

    def __init__(self, path: str, slots: int, size: int) -> None:
        """size: bytes of a slot, its head included. Raises AccessError, LimitError, OSError."""
        self.slots = slots
        self._size = size
        opened: list[int] = []
        try:
            with exhaustion.explained("the queue of the bus cannot be opened"):
                # Kept open: closing any descriptor of a file frees its process's record locks on it.
                self._descriptor = noted(opened, os.open, path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                self._check(path)
                self._map = mmap.mmap(self._descriptor, 0)
        except BaseException:
            for each in opened:
                os.close(each)
            raise
        self.after_fork()
        _all.add(self)

    def _check(self, path: str) -> None:
        found = os.fstat(self._descriptor)
        if found.st_uid != os.geteuid() or found.st_size != _length(self.slots, self._size):
            raise AccessError(
                f"{path} belongs to uid {found.st_uid} or is no queue of {self.slots} slots of "
                f"{self._size} bytes: remove it, or correct --queue and --queue-blocksize"
            )

    def close(self) -> None:
        """Unmap it."""
        self._map.close()
        os.close(self._descriptor)

    def after_fork(self) -> None:
        """In a forked child nobody is in the middle of a call."""
        self._turn = unpatched.Lock()
        self._owner = 0

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        if self._owner == unpatched.get_ident():
            raise LockError(
                "a signal handler uses the queue in the middle of a call of its thread: set a flag there, "
                "and use it later"
            )
        with self._turn:
            self._owner = unpatched.get_ident()
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
                self._owner = 0

    @property
    def position(self) -> int:
        """The slot of the next push."""
        return int(_HEADER.unpack_from(self._map)[0])

    @property
    def pull_position(self) -> int:
        """The slot of the next pull."""
        return int(_HEADER.unpack_from(self._map)[1])

    def _moved(self, position: int, pull: int) -> None:
        _HEADER.pack_into(self._map, 0, position % self.slots, pull % self.slots)

    def _start(self, slot: int) -> int:
        return _HEADER.size + slot * self._size

    def _read(self, slot: int) -> bytes | None:
        start = self._start(slot)
        length = min(_ITEM.unpack_from(self._map, start)[0], self._size - _ITEM.size)
        return self._map[start + _ITEM.size : start + _ITEM.size + length] if length else None

    def _clear(self, slot: int) -> None:
        start = self._start(slot)
        self._map[start : start + 8] = bytes(8)

    def _write(self, slot: int, message: bytes) -> bool:
        if not 0 < len(message) <= self._size - _ITEM.size:
            return False
        start = self._start(slot)
        self._clear(slot)  # until all of it is there
        self._map[start + _ITEM.size : start + _ITEM.size + len(message)] = message
        _ITEM.pack_into(self._map, start, len(message), int(time.time()))
        return True

    def get(self, slot: int) -> bytes | None:
        """What is in a slot."""
        with self._held():
            return self._read(slot) if 0 <= slot < self.slots else None

    def set(self, slot: int, message: bytes) -> bool:
        """Put something into a slot. False for one that is not there, and for what does not fit."""
        with self._held():
            return 0 <= slot < self.slots and self._write(slot, message)

    def push(self, message: bytes) -> bool:
        """Put something into the next slot, over what is there. False for what does not fit."""
        with self._held():
            position = self.position
            if not self._write(position, message):
                return False
            self._moved(position + 1, self.pull_position)
            return True

    def pull(self) -> bytes | None:
        """Take the oldest; None if the slot whose turn it is has nothing."""
        with self._held():
            slot = self.pull_position
            message = self._read(slot)
            if message is not None:
                self._moved(self.position, slot + 1)
                self._clear(slot)
            return message

    def pop(self) -> bytes | None:
        """Take the newest: the position goes back by one, whether something is there or not, as in uWSGI."""
        with self._held():
            slot = (self.position - 1) % self.slots
            self._moved(slot, self.pull_position)
            message = self._read(slot)
            if message is not None:
                self._clear(slot)
            return message

    def last(self, count: int) -> list[bytes | None]:
        """The newest ones, the newest first."""
        with self._held():
            newest = self.position - 1
            return [self._read((newest - back) % self.slots) for back in range(min(count, self.slots))]


def path_of(where: Places, config: BusConfig) -> str:
    """The path of a bus's ring."""
    return config.queue_store or f"/dev/shm{where.kernel}ring"


def make(where: Places, config: BusConfig) -> None:
    """Make a bus's ring, or take over that of --queue-store. Raises AccessError, LimitError."""
    path, length = path_of(where, config), _length(config.queue, config.queue_blocksize)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise AccessError(f"the queue {path} cannot be made: {error.strerror}; give another path") from error
    try:
        if os.fstat(descriptor).st_size == 0:
            os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        os.unlink(path)
        what = f"a queue of {length} bytes cannot be made at {path}"
        raise exhaustion.no_room(error, what, path) from error
    finally:
        os.close(descriptor)
    Ring(path, config.queue, config.queue_blocksize).close()  # that of another size is refused here


def remove(where: Places) -> None:
    """Remove a bus's ring from shared memory, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/dev/shm{where.kernel}ring")


def _length(slots: int, size: int) -> int:
    return _HEADER.size + slots * size


_all: weakref.WeakSet[Ring] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)
