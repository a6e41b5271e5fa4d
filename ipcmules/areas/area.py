"""An area of bytes that the processes of a bus share, and its lock, which the kernel frees with its holder.

The areas of a bus are in one file in shared memory, but for those that are mapped from a file of their own;
docs/formats-state.md has the layout. The lock of area N is a record lock (fcntl(2)) on byte N of the bus's
file: many readers or one writer, among processes. It goes with its process, so a killed one holds nobody up;
what it was writing stays as far as it came. Threads of a process take turns at it. A signal handler works
within a lock that its thread holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import weakref
from collections.abc import Iterator, Sequence

from ipcmules.bus.places import Places
from ipcmules.errors import AccessError, AreaError
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.interruption import opened as file_opened
from ipcmules.options.areas import AreaSpec

_PAGE = mmap.PAGESIZE
#: Signed numbers by bits.
_NUMBERS = {bits: struct.Struct(f"={code}") for bits, code in ((8, "b"), (16, "h"), (32, "i"), (64, "q"))}


class Area:
    """An open area."""

    def __init__(self, number: int, spec: AreaSpec, locks: int, path: str, start: int) -> None:
        """locks: a descriptor of the bus's file, that of its bytes, too, if the spec names no file; path,
        start: where its bytes are."""
        self.number = number
        self.size = spec.size
        self._locks = locks
        #: The bytes themselves, without a lock.
        if spec.file:
            with file_opened(path, os.O_RDWR) as file:
                self.map = self._mapped(file.fileno(), path, start)
        else:
            self.map = self._mapped(locks, path, start)
        self._bytes = memoryview(self.map)
        self.after_fork()
        _all.add(self)

    def _mapped(self, descriptor: int, path: str, start: int) -> mmap.mmap:
        if os.fstat(descriptor).st_size < start + self.size:
            raise AccessError(f"{path} ends before the {self.size} bytes of shared area {self.number}")
        return mmap.mmap(descriptor, self.size, offset=start)

    def after_fork(self) -> None:
        """In a forked child nobody has the lock."""
        self._turn = unpatched.RLock()
        #: How many calls of the thread that has the turn are in each other, what of the lock they have, and
        #: whether one of them is that of a thread which keeps it.
        self._depth = 0
        self._mode = fcntl.LOCK_UN
        self._kept = False

    def _lock(self, mode: int) -> None:
        # An exclusive one is a shared one, too.
        if self._mode in (mode, fcntl.LOCK_EX):
            return
        try:
            fcntl.lockf(self._locks, mode, 1, self.number)
        except OSError as error:
            raise AreaError(f"shared area {self.number} cannot be locked: {error.strerror}") from error
        self._mode = mode

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._mode = fcntl.LOCK_UN
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, self.number)
        self._turn.release()

    @contextlib.contextmanager
    def _held(self, mode: int) -> Iterator[None]:
        self._turn.acquire()
        self._depth += 1  # from here on a signal handler's call leaves the lock as it is
        try:
            self._lock(mode)
            yield
        finally:
            self._leave()

    def lock(self, mode: int) -> None:
        """Take the lock and keep it; one that this thread has stays. mode: fcntl.LOCK_SH or LOCK_EX."""
        self._turn.acquire()
        self._depth += 1
        try:
            self._lock(mode)
        except BaseException:
            self._leave()
            raise
        if self._kept:
            self._leave()
        self._kept = True

    def unlock(self) -> None:
        """Free the lock that lock() took; does nothing where this thread has none."""
        if not self._turn._is_owned() or not self._kept:  # type: ignore[attr-defined]
            return
        self._kept = False
        self._leave()

    def _end(self, position: int, length: int) -> int:
        if position < 0 or length < 0 or position + length > self.size or position >= self.size:
            raise AreaError(
                f"{length} bytes at {position} are not in shared area {self.number}, which has {self.size}"
            )
        return position + length

    def read(self, position: int, length: int = 0) -> bytes:
        """Bytes from a position on; 0: all that follow. Raises AreaError."""
        end = self._end(position, length or self.size - position)
        with self._held(fcntl.LOCK_SH):
            return bytes(self._bytes[position:end])

    def write(self, position: int, data: bytes) -> None:
        """Write bytes. Raises AreaError."""
        end = self._end(position, len(data))
        with self._held(fcntl.LOCK_EX):
            self._bytes[position:end] = data

    def number_at(self, position: int, bits: int) -> int:
        """The signed number there."""
        return int(_NUMBERS[bits].unpack(self.read(position, bits // 8))[0])

    def add(self, position: int, bits: int, amount: int) -> None:
        """Add to the number there, which wraps around as in C."""
        end, view, bytes_of = self._end(position, bits // 8), self._bytes, _NUMBERS[bits]
        half = 1 << bits - 1
        with self._held(fcntl.LOCK_EX):
            while True:
                before = bytes(view[position:end])
                after = bytes_of.pack((bytes_of.unpack(before)[0] + amount + half) % (2 * half) - half)
                # No call from here to the store: a signal handler's change was before, or comes behind it.
                if view[position:end] == before:
                    view[position:end] = after
                    return

    def view(self) -> memoryview:
        """The bytes, to read and write under a lock that lock() takes."""
        return memoryview(self.map)


def ordered(specs: Sequence[AreaSpec]) -> list[AreaSpec]:
    """The areas by their numbers."""
    return sorted(specs, key=lambda each: each.python)


def path_of(where: Places) -> str:
    """The path of a bus's areas."""
    return f"/dev/shm{where.kernel}areas"


def make(where: Places, specs: Sequence[AreaSpec]) -> None:
    """Make a bus's areas. Raises AccessError, LimitError."""
    path = path_of(where)
    length = _PAGE + sum(map(_room, specs))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        os.unlink(path)
        raise exhaustion.no_room(error, f"shared areas of {length} bytes cannot be made") from error
    finally:
        os.close(descriptor)
    for number, each in enumerate(ordered(specs)):
        if each.file:
            _check_file(number, each)


def _check_file(number: int, spec: AreaSpec) -> None:
    try:
        found = os.stat(spec.file)
    except OSError as error:
        raise AccessError(f"{spec.file} of shared area {number}: {error.strerror}: make it") from error
    if found.st_size < spec.offset + spec.size or not os.access(spec.file, os.R_OK | os.W_OK):
        raise AccessError(
            f"the file {spec.file} of shared area {number} has {found.st_size} bytes of the "
            f"{spec.offset + spec.size} that are wanted, or cannot be written: make it larger"
        )


def opened(where: Places, specs: Sequence[AreaSpec]) -> list[Area]:
    """The areas of a bus. Raises OSError, AccessError, LimitError."""
    path = path_of(where)
    held: list[int] = []
    try:
        with exhaustion.explained("the shared areas of the bus cannot be opened"):
            # Kept open: closing any descriptor of a file frees the record locks that its process has on it.
            locks = noted(held, os.open, path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.fstat(locks).st_uid != os.geteuid():
                raise AccessError(f"{path} belongs to another user: have it removed")
            found = _areas(path, specs, locks)
    except BaseException:
        for each in held:
            os.close(each)
        raise
    return found


def _areas(path: str, specs: Sequence[AreaSpec], locks: int) -> list[Area]:
    found: list[Area] = []
    start = _PAGE
    for number, each in enumerate(ordered(specs)):
        found.append(Area(number, each, locks, each.file or path, each.offset if each.file else start))
        start += _room(each)
    return found


def remove(where: Places) -> None:
    """Remove a bus's areas from shared memory, if it has any."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(where))


def _room(spec: AreaSpec) -> int:
    """Bytes of an area in the bus's file."""
    return 0 if spec.file else -(-spec.size // _PAGE) * _PAGE


_all: weakref.WeakSet[Area] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)
