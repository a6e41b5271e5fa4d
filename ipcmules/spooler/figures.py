"""What a spooler's tasks came to, by function: how many, how long, how many failed. A mapped file a spooler.

Specified to the byte in docs/formats-spooler.md. It has one writer, the spooler of that number, and outlives
its process: the next one of that number goes on counting. Readers need no lock. Each number is one cell; so a
killed writer leaves at most an attempt that was begun and not ended, and these are the ones that were killed.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from typing import Final

MAGIC: Final = 0x31304746_4D435049  # "IPCMFG01" as a little-endian number
#: Header cells: magic, how many functions there are, 1 + which of them runs now (0: none).
H_MAGIC, H_COUNT, H_NOW = range(3)
HEADER: Final = 64
#: Cells of a function: attempts begun, done, failed, given up after that, ended in another way (asked to run
#: again, dropped, left alone); nanoseconds of all and of the longest; when one ended last (ns since 1970).
F_BEGUN, F_DONE, F_FAILED, F_DEAD, F_OTHER, F_SPENT, F_LONGEST, F_LAST = range(8)
F_NAME: Final = 64  # byte offset of the name, NUL-padded
_NAME_SIZE: Final = 128
F_BUCKETS: Final = (F_NAME + _NAME_SIZE) // 8
BUCKETS: Final = 160
SLOT: Final = 1536
_CELLS: Final = SLOT // 8
#: Room is made for so many functions at once; all beyond the last are counted together.
_STEP, _MOST = 8, 512
OTHERS: Final = "(others)"


def bucket(nanoseconds: int) -> int:
    """In which bucket a duration is: four of them each time it doubles, from a microsecond to weeks."""
    units = nanoseconds >> 10
    shift = max(units.bit_length() - 3, 0)
    return min(4 * shift + (units >> shift), BUCKETS - 1)


def begins(number: int) -> int:
    """The shortest duration of a bucket, in nanoseconds."""
    if number < 8:
        return number << 10
    return (number % 4 + 4) << (number // 4 - 1) << 10


@dataclass(frozen=True)
class Figures:
    """One function's figures, of one spooler or of several. Times in seconds."""

    function: str
    begun: int = 0
    done: int = 0
    failed: int = 0  #: attempts that raised, or asked to run again where that counts
    dead: int = 0  #: of these, after which the task was given up
    other: int = 0  #: attempts that ended in another way: asked to run again, dropped, left alone
    running: int = 0
    spent: float = 0.0  #: seconds of all attempts together
    longest: float = 0.0
    last: float = 0.0  #: when one ended last, in seconds since 1970; 0.0: never
    buckets: tuple[int, ...] = (0,) * BUCKETS

    @property
    def ended(self) -> int:
        """Attempts that came to their end."""
        return self.done + self.failed + self.other

    @property
    def killed(self) -> int:
        """Attempts whose process was killed: by harakiri, for memory, by hand."""
        return max(self.begun - self.ended - self.running, 0)

    def quantile(self, share: float) -> float:
        """The duration in seconds that this share of the attempts did not exceed; right within a quarter."""
        wanted = share * sum(self.buckets)
        passed = 0.0
        for number, count in enumerate(self.buckets):
            if count and passed + count >= wanted:
                low, high = begins(number), begins(number + 1)
                within = low + (high - low) * max(wanted - passed, 0.0) / count
                return min(within / 1e9, self.longest)
            passed += count
        return 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.function,
            self.begun + other.begun,
            self.done + other.done,
            self.failed + other.failed,
            self.dead + other.dead,
            self.other + other.other,
            self.running + other.running,
            self.spent + other.spent,
            max(self.longest, other.longest),
            max(self.last, other.last),
            tuple(map(sum, zip(self.buckets, other.buckets, strict=True))),
        )


class Recorder:
    """The writer: one a spooler. A file that cannot be had costs the figures and nothing else."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._slots: dict[str, int] = {}
        self._file = -1
        self._map: mmap.mmap | None = None
        self._cells = memoryview(b"")
        #: Of tasks that are run one after the other: their function's slot, and how long they took.
        self._slot = 0
        self._took: list[int] = []
        try:
            self._open()
        except OSError:
            self._close()

    def begin(self, function: str) -> int:
        """A task of this function is about to be called. Returns what end() is to be told; 0: it is not."""
        slot = self._slots.get(function)
        if slot is None:
            slot = self._add(function)
            if not slot:
                return 0
        cells = self._cells
        cells[slot + F_BEGUN] += 1
        cells[H_NOW] = 1 + (slot - HEADER // 8) // _CELLS
        return slot

    def end(self, slot: int, done: bool, failed: bool, dead: bool, nanoseconds: int) -> None:
        """A task has ended, of which begin() returned this. dead: it was given up."""
        if not slot:
            return
        cells = self._cells
        cells[slot + (F_DONE if done else F_FAILED if failed else F_OTHER)] += 1
        cells[H_NOW] = 0
        if dead:
            cells[slot + F_DEAD] += 1
        cells[slot + F_SPENT] += nanoseconds
        cells[slot + F_LONGEST] = max(cells[slot + F_LONGEST], nanoseconds)
        cells[slot + F_LAST] = time.time_ns()
        cells[slot + F_BUCKETS + bucket(nanoseconds)] += 1

    # Many short ones, one after the other

    def begin_one(self, function: str) -> None:
        """As begin(), of tasks that are run one after the other: end_well() or take_over() comes next."""
        slot = self._slots.get(function, 0)
        if not slot or slot != self._slot:
            self.flush()
            self._slot = self.begin(function)
        else:
            self._cells[slot] += 1

    def end_well(self, nanoseconds: int) -> None:
        """It has ended, and is done. How long it took is written by flush()."""
        if self._slot:
            self._cells[self._slot + F_DONE] += 1
            self._took.append(nanoseconds)

    def take_over(self) -> int:
        """It is not done: what end() is to be told of it."""
        return self._slot

    def flush(self) -> None:
        """Write down how long those took that have ended; none runs now."""
        slot, took, self._slot = self._slot, self._took, 0
        if not slot:
            return
        cells = self._cells
        cells[H_NOW] = 0
        if took:
            self._took = []
            cells[slot + F_SPENT] += sum(took)
            cells[slot + F_LONGEST] = max(cells[slot + F_LONGEST], *took)
            cells[slot + F_LAST] = time.time_ns()
            for each in took:
                cells[slot + F_BUCKETS + bucket(each)] += 1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        size = os.fstat(self._file).st_size
        if size < HEADER or os.pread(self._file, 8, 0) != MAGIC.to_bytes(8, "little"):
            os.ftruncate(self._file, 0)
            self._grow(_STEP)
            self._cells[H_MAGIC] = MAGIC
        else:
            self._grow(max((size - HEADER) // SLOT, _STEP))
        # What the process before had in hand when it was killed is not running.
        self._cells[H_NOW] = 0
        for number in range(self._cells[H_COUNT]):
            self._slots[_name(self._memory(), number)] = (HEADER + number * SLOT) // 8

    def _memory(self) -> mmap.mmap:
        assert self._map is not None
        return self._map

    def _grow(self, functions: int) -> None:
        """Have room for so many functions. Raises OSError."""
        length = HEADER + functions * SLOT
        os.posix_fallocate(self._file, 0, length)
        mapped = mmap.mmap(self._file, length)
        self._cells.release()
        if self._map is not None:
            self._map.close()
        self._map, self._cells = mapped, memoryview(mapped).cast("Q")

    def _add(self, function: str) -> int:
        """Give a function its slot; 0 where there is none. What has no room is counted as OTHERS."""
        if self._map is None:
            return 0
        known = _cut(function)
        number = self._cells[H_COUNT]
        if known not in self._slots and number >= _MOST - 1:
            known = OTHERS
        if known not in self._slots:
            try:
                if HEADER + (number + 1) * SLOT > len(self._map):
                    self._grow(number + _STEP)
            except OSError:
                return 0
            start = HEADER + number * SLOT
            name = known.encode("utf-8", "replace").ljust(_NAME_SIZE, b"\0")
            self._memory()[start + F_NAME : start + F_NAME + _NAME_SIZE] = name
            self._cells[H_COUNT] = number + 1
            self._slots[known] = start // 8
        self._slots[function] = self._slots[known]
        return self._slots[known]

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read(path: str, runs: bool) -> list[Figures]:
    """The figures in a file, [] where there are none. runs: the spooler that writes it lives."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        data = os.pread(file, HEADER + _MOST * SLOT, 0)
    finally:
        os.close(file)
    if len(data) < HEADER or data[:8] != MAGIC.to_bytes(8, "little"):
        return []
    cells = memoryview(data[: len(data) // 8 * 8]).cast("Q")
    count = min(cells[H_COUNT], (len(data) - HEADER) // SLOT)
    now = cells[H_NOW] - 1 if runs else -1
    return [_figures(data, cells, number, int(number == now)) for number in range(count)]


def _figures(data: bytes, cells: memoryview, number: int, running: int) -> Figures:
    first = (HEADER + number * SLOT) // 8
    begun, done, failed, dead, other, spent, longest, last = cells[first : first + 8].tolist()
    buckets = cells[first + F_BUCKETS : first + F_BUCKETS + BUCKETS].tolist()
    return Figures(
        _name(data, number),
        begun,
        done,
        failed,
        dead,
        other,
        running,
        spent / 1e9,
        longest / 1e9,
        last / 1e9,
        tuple(buckets),
    )


def _name(data: bytes | mmap.mmap, number: int) -> str:
    start = HEADER + number * SLOT + F_NAME
    return bytes(data[start : start + _NAME_SIZE]).rstrip(b"\0").decode("utf-8", "replace")


def _cut(function: str) -> str:
    """A name as long as there is room for, whole characters of it."""
    return function.encode("utf-8", "replace")[: _NAME_SIZE - 1].decode("utf-8", "ignore")
