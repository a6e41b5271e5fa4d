"""What a lane is made of: segments, written once from front to back, each naming the next.

Knows mmap and files in /dev/shm; not who writes or takes. A segment has a table of slots and behind it the
bytes. A record is published by one aligned store of its slot's word; its bytes are there before that.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ipcmules.bus import log
from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.interruption import opened, raised_here

MAGIC = 0x31305347_4D435049  # "IPCMGS01" as a little-endian number
PAGE = 4096

#: In a shared queue's segment: where the bytes begin that say which records are taken for good.
DONE = 64

# A slot's word: 0 (nothing yet), or the record's length + 1, or one of
LARGE = 1 << 62  # LARGE | length + 1: the record is a reference to a large message
END = 1 << 63  # END | number: the lane goes on in that segment
LENGTH = (1 << 32) - 1

# Cells of a slot of a shared queue: a count (kernel/atomics.py), then the word and where the bytes begin.
S_COUNT, S_WORD, S_START = 0, 4, 5


@dataclass(frozen=True)
class Shape:
    """How the segments of a kind of queue are divided."""

    stride: int  #: cells a slot
    table: int  #: bytes of all slots
    size: int  #: bytes of the whole segment
    first: int  #: bytes for records that are reserved at once
    step: int  #: and those that are reserved with each further step

    @property
    def slots(self) -> int:
        """How many records fit, beside the word that names the next segment."""
        return self.table // (8 * self.stride) - 1

    @property
    def data(self) -> int:
        """Where the bytes begin: behind the first page and the slots."""
        return PAGE + self.table


PRIVATE = Shape(1, 32 << 10, 512 << 10, 16 << 10, 64 << 10)
SHARED = Shape(8, 64 << 10, 320 << 10, 16 << 10, 64 << 10)

# Cells of a segment's first page.
_MAGIC, _STRIDE, _SIZE = range(3)
_RECORDS, _BYTES = 3, 4  # how much of its lane comes before it; stored before its lane names it

#: madvise(2), linux/mman.h; Python's standard library does not know it.
_POPULATE_WRITE = 23

#: The slots of a shared queue's segment that is new: each with a count of 1, for whoever takes its record.
_COUNTS = (1).to_bytes(8 * SHARED.stride, "little") * (SHARED.slots + 1)

_numbers = itertools.count(1)
#: What the name of a segment ends with that is in no lane yet.
_NEW = ".new"

#: How long until a segment is tried again that the system refused to open, seconds.
_REFUSED = 0.05


class Segment:
    """One segment, mapped; its descriptor is closed again."""

    def __init__(self, path: str, number: int, shape: Shape, descriptor: int) -> None:
        self.path = path
        self.number = number
        self.shape = shape
        self.memory = mmap.mmap(descriptor, shape.size)
        self.bytes = memoryview(self.memory)
        self._head = self.bytes[:PAGE].cast("Q")
        #: From the first slot on.
        self.cells = self.bytes[PAGE : shape.data].cast("Q")
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + PAGE

    @property
    def before(self) -> tuple[int, int]:
        """How many records of its lane come before it, and how many bytes those have."""
        return self._head[_RECORDS], self._head[_BYTES]

    def follows(self, records: int, size: int) -> None:
        """Store what before() tells; for who made it, before a lane names it."""
        self._head[_RECORDS], self._head[_BYTES] = records, size

    def word(self, slot: int) -> int:
        """A slot's word."""
        stride = self.shape.stride
        return self.cells[slot * stride + (S_WORD if stride > 1 else 0)]

    def count(self) -> int:
        """How many records are published."""
        stride = self.shape.stride
        words = self.cells[S_WORD if stride > 1 else 0 :: stride].tolist()
        count = words.index(0) if 0 in words else len(words)
        return count - 1 if count and words[count - 1] & END else count

    def end(self, count: int) -> int:
        """Where the bytes of the first `count` records end."""
        if not count:
            return self.shape.data
        if self.shape.stride > 1:
            last = (count - 1) * self.shape.stride
            return self.cells[last + S_START] + (self.cells[last + S_WORD] & LENGTH) - 1
        return self.shape.data + sum((word & LENGTH) - 1 for word in self.cells[:count].tolist())

    def record(self, slot: int) -> tuple[bytes, bool]:
        """A record's bytes, and whether they are a reference to a large message."""
        word, start = self.word(slot), self.end(slot)
        return bytes(self.bytes[start : start + (word & LENGTH) - 1]), bool(word & LARGE)

    def all_done(self, count: int) -> bool:
        """In a shared queue's segment: True if its first `count` records are taken for good."""
        return self.memory.find(b"\0", DONE, DONE + count) < 0

    def unlink(self) -> None:
        """Remove its name; it is no error if that is gone."""
        remove(self.path)


def prepare(prefix: str, shape: Shape) -> Segment:
    """A segment under a name of its own that nobody looks for; remove it, or name() it.

    It has its size when it gets another name: whoever opens it finds all of it. Raises OSError (ENOSPC) where
    there is no memory for it.
    """
    temporary = f"{prefix}{os.getpid()}-{next(_numbers)}{_NEW}"
    try:
        with opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW) as file:
            descriptor = file.fileno()
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, shape.size)
            os.posix_fallocate(descriptor, 0, shape.data + shape.first)
            head = (MAGIC, shape.stride, shape.size)
            os.pwrite(descriptor, b"".join(each.to_bytes(8, "little") for each in head), 0)
            if shape.stride > 1:
                os.pwrite(descriptor, _COUNTS, PAGE)
            return Segment(temporary, 0, shape, descriptor)
    except BaseException:
        remove(temporary)
        raise


def name(segment: Segment, prefix: str, number: int) -> None:
    """Give what prepare() made the name that it has in a lane."""
    path = f"{prefix}{number}"
    os.rename(segment.path, path)
    segment.path, segment.number = path, number


def make(prefix: str, number: int, shape: Shape) -> Segment:
    """A new segment of a lane that nobody knows yet. Raises OSError (ENOSPC) if there is no memory for it."""
    made = prepare(prefix, shape)
    try:
        name(made, prefix, number)
        return made
    except BaseException:
        made.unlink()
        raise


def prepared(directory: str) -> Iterator[tuple[str, int]]:
    """The paths of segments that have no other name yet, and who made them. directory: its path."""
    start = f"{directory}."
    place, within = os.path.split(start)
    for each in os.listdir(place):
        if each.startswith(within) and each.endswith(_NEW):
            yield f"{place}/{each}", int(each.removesuffix(_NEW).rpartition(".")[2].partition("-")[0])


def remove(path: str) -> None:
    """Remove a segment's name; it is no error if that is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def populate(segment: Segment, start: int, end: int) -> None:
    """Map reserved memory that is about to be written: in one call, not with a fault a page."""
    start = start // mmap.PAGESIZE * mmap.PAGESIZE
    try:
        segment.memory.madvise(_POPULATE_WRITE, start, end - start)
    except OSError:
        pass  # Linux before 5.14: with a fault a page


def reserve(segment: Segment, start: int, end: int) -> None:
    """Reserve the memory of a segment from `start` to `end`, so that no store is a SIGBUS. Raises OSError.

    What comes before `start` may have been given back by who has taken it, and stays so.
    """
    # Opened each time: a descriptor that stays open is one that a daemon closes behind our back.
    with opened(segment.path, os.O_RDWR | os.O_NOFOLLOW) as file:
        os.posix_fallocate(file.fileno(), start, end - start)


def open_segment(prefix: str, number: int, shape: Shape) -> Segment:
    """Map a segment. Raises FileNotFoundError if it is gone, AccessError if it is not what it should be."""
    path = f"{prefix}{number}"
    with opened(path, os.O_RDWR | os.O_NOFOLLOW) as file:
        descriptor = file.fileno()
        found = os.fstat(descriptor)
        start = memoryview(os.pread(descriptor, 24, 0).ljust(24, b"\0")).cast("Q")
        ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077 and found.st_size == shape.size
        if not ours or (start[_MAGIC], start[_STRIDE], start[_SIZE]) != (MAGIC, shape.stride, shape.size):
            raise AccessError(f"{path} is no segment of a lane of this bus: something replaced it")
        return Segment(path, number, shape, descriptor)


def open_patiently(prefix: str, number: int, shape: Shape) -> Segment:
    """As open_segment(), for a receiver.

    Where the system has no descriptor or no memory for it, what lies in it is there all the same: it waits
    until there is one.
    """
    said = False
    while True:
        try:
            return open_segment(prefix, number, shape)
        except OSError as error:
            if not exhaustion.refused(error) or not raised_here(error):
                raise
            if not said:
                text = exhaustion.explain(error, "they cannot be opened")
                log.event("warning", f"messages behind a queue wait: {text}")
            said = True
        unpatched.sleep(_REFUSED)
