"""The segment of a bus's counters: a table of names and numbers, changed under a lock that the kernel frees.

Specified to the byte in docs/formats-state.md. A number is stored in one step, so a reader needs no lock, and
a killed writer has changed it or has not. Writers of other processes are kept out by a record lock
(fcntl(2)), which goes with its process; other threads by a lock of Python's. A signal handler that changes a
counter in the middle of a change frees the record lock: who was interrupted sees that and begins again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import struct
import weakref
from collections.abc import Callable, Iterator

from ipcmules.errors import AccessError, CounterError
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.interruption import noted

MAGIC = 0x31304E43_4D435049  # "IPCMCN01" as a little-endian number
#: How many counters there is room for.
CAPACITY = 1024
SLOT = 128
SIZE = SLOT * (1 + CAPACITY)

#: Cells of the header: magic, number of counters, 1 once the bus has ended.
H_MAGIC, H_COUNT, H_OVER = range(3)
#: Cells of a slot: the number, and what it began with; then the name.
S_VALUE, S_INITIAL = range(2)
S_NAME = 16
_CELLS = SLOT // 8
#: uWSGI's names of metrics.
NAME = re.compile(r"[A-Za-z0-9._-]{1,112}\Z")
_WIDTH, _HALF = 1 << 64, 1 << 63


class Segment:
    """The counters of one bus, mapped."""

    def __init__(self, path: str) -> None:
        """Open it, or make it. Raises AccessError, LimitError."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._forget()
        opened: list[int] = []
        try:
            with exhaustion.explained("the counters of the bus cannot be opened"):
                # Kept open: closing any descriptor of a file frees its process's record locks on it.
                self._descriptor = noted(opened, os.open, path, flags, 0o600)
                self._make()
                self._map = mmap.mmap(self._descriptor, SIZE)
        except BaseException:
            for each in opened:
                os.close(each)
            raise
        self._cells = memoryview(self._map).cast("q")
        #: Places by name, as far as this process has looked.
        self._places: dict[str, int] = {}
        _all.add(self)

    def _forget(self) -> None:
        self._turn = unpatched.RLock()
        #: The change that was begun last.
        self._last: object = None

    def _make(self) -> None:
        found = os.fstat(self._descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise AccessError(f"{self.path} belongs to uid {found.st_uid} or is open to others: remove it")
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            if os.pread(self._descriptor, 8, 0) != struct.pack("=Q", MAGIC):
                os.posix_fallocate(self._descriptor, 0, SIZE)
                os.pwrite(self._descriptor, struct.pack("=Q", MAGIC), 0)
        except OSError as error:
            raise exhaustion.no_room(error, f"counters need {SIZE} bytes of shared memory") from error
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    @property
    def over(self) -> bool:
        """True once its bus has ended."""
        return bool(self._cells[H_OVER])

    def place(self, name: str, initial: int | None = 0) -> int:
        """Where a counter is, made with that number if it is not there; None: 0 if it is not there.

        Raises CounterError for a name that cannot be, and where there are too many.
        """
        found = self._look(name)
        if found or initial is None:
            return found
        if not NAME.match(name):
            raise CounterError(
                f"{name!r} is no name of a counter: use 1 to 112 letters, digits, '.', '-' or '_'"
            )
        with self._turn:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                return self._look(name) or self._add(name, initial)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _add(self, name: str, initial: int) -> int:
        number = self._cells[H_COUNT] + 1
        if number > CAPACITY:
            raise CounterError(f"no room for counter {name!r}: a bus has {CAPACITY} at most, and has them")
        start = number * SLOT
        self._map[start + S_NAME : start + SLOT] = name.encode().ljust(SLOT - S_NAME, b"\0")
        place = number * _CELLS
        self._cells[place + S_VALUE] = self._cells[place + S_INITIAL] = wrapped(initial)
        self._cells[H_COUNT] = number
        self._places[name] = place
        return place

    def _look(self, name: str) -> int:
        found = self._places.get(name, 0)
        if not found and len(self._places) < self._cells[H_COUNT]:
            self._places.update((each, place) for each, place in self._slots())
            found = self._places.get(name, 0)
        return found

    def _slots(self) -> Iterator[tuple[str, int]]:
        for number in range(1, self._cells[H_COUNT] + 1):
            start = number * SLOT
            name = bytes(self._map[start + S_NAME : start + SLOT]).rstrip(b"\0").decode("ascii", "replace")
            yield name, number * _CELLS

    def value(self, place: int) -> int:
        """A counter's number."""
        return self._cells[place + S_VALUE]

    def initial(self, place: int) -> int:
        """What a counter began with."""
        return self._cells[place + S_INITIAL]

    def values(self) -> dict[str, int]:
        """All counters, in the order in which they were made."""
        return {name: self._cells[place + S_VALUE] for name, place in self._slots()}

    def change(self, place: int, function: Callable[[int], int]) -> int:
        """Replace a counter's number by what function makes of it, and return that.

        The function may be called more than once.
        """
        cells, at, mine = self._cells, place + S_VALUE, object()
        with self._turn:
            try:
                while True:
                    self._last = mine
                    fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
                    before = cells[at]
                    after = function(before)
                    # No call from here to the store: a handler's change was before, or comes behind it.
                    if self._last is mine and cells[at] == before:
                        cells[at] = after
                        return after
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmap it."""
        self._cells.release()
        self._map.close()
        os.close(self._descriptor)


def wrapped(number: int) -> int:
    """A number in 64 bits, which wrap around as in C."""
    return (number + _HALF) % _WIDTH - _HALF


def read(path: str) -> dict[str, int]:
    """The counters in a file, in the order in which they were made; {} where there are none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        data = os.read(descriptor, SIZE)
    finally:
        os.close(descriptor)
    if len(data) < SIZE or data[:8] != struct.pack("=Q", MAGIC):
        return {}
    (count,) = struct.unpack_from("=q", data, 8 * H_COUNT)
    starts = range(SLOT, SLOT * (min(count, CAPACITY) + 1), SLOT)
    return {
        data[start + S_NAME : start + SLOT].rstrip(b"\0").decode("ascii", "replace"): struct.unpack_from(
            "=q", data, start + 8 * S_VALUE
        )[0]
        for start in starts
    }


def mark_over(path: str) -> None:
    """Tell who has the counters open that their bus has ended. Does nothing where there are none."""
    try:
        with open(path, "r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == SIZE:
                os.pwrite(file.fileno(), struct.pack("=q", 1), 8 * H_OVER)
    except OSError:
        pass  # not there, or not ours


_all: weakref.WeakSet[Segment] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each._forget()


os.register_at_fork(after_in_child=_after_fork)
