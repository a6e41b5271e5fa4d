"""What mules have in hand, in shared memory: it outlives the process that received it.

Knows posix_ipc and large messages. Specified to the byte in docs/formats-messages.md. A mule's part is one
page of 64-bit cells and then areas for bytes: one a receiving thread (a message that came alone) and
some for frames. A message's bytes are stored before the cell that says that they are there, so a
SIGKILL at any instant leaves either. A receive that hands out the next message of a frame is one store.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import posix_ipc

from ipcmules.bus.places import Places
from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion
from ipcmules.messages import frames, large
from ipcmules.messages.lanes.cells import (
    CLAIM,
    FROM_LANE,
    LANE_LENGTH,
    OWN,
    REFERENCE,
    SAVING,
    source_of,
)
from ipcmules.messages.sizing import WIDEST

MAGIC = 0x32304649_4D435049  # "IPCMIF02" as a little-endian number
#: And "IPCMIF01": those of a bus that was started by version 0.1.0, whose headers name no lanes. What such a
#: bus left is saved all the same.
_WITHOUT_LANES = 0x31304649_4D435049
PAGE = 4096

#: Threads of a mule that can have a message in hand at once.
THREADS = 64
#: Frame areas: one each thread may refer to, and some that wait behind a more urgent one.
FRAMES = 72

# Cells of a mule's part.
REFS = 8  # one a thread
HEADERS = REFS + THREADS  # F_CELLS a frame area
F_SEQUENCE, F_LENGTH, F_REMAINING, F_PRIORITY = range(4)
F_LANE, F_HEAD = 4, 5  # the lane it was taken from, from 1 (0: none), and the position behind it (L_HEAD)
F_CELLS = 6

# A thread's cell: 0, or what it has in hand, as lanes/cells.py says where OWN or CLAIM is set;
# else: a message of a frame, sequence << SEQUENCE_SHIFT | how many of the frame come after it.
SEQUENCE_SHIFT = 12
_AFTER = (1 << SEQUENCE_SHIFT) - 1

#: Bytes of a mule's part.
PART = PAGE + (THREADS + FRAMES) * WIDEST


class HalfMade(AccessError):
    """The segment is not as long as it should be: who made it was killed before anybody used it."""


@dataclass(frozen=True)
class Rest:
    """A frame area with messages that were not handed out: the frame, how many are left, its priority."""

    area: int
    sequence: int
    remaining: int
    priority: int
    frame: bytes

    def messages(self) -> list[bytes]:
        """The messages that are left, in order."""
        if frames.is_large(self.frame):
            return [large.peek(self.frame[frames.OVERHEAD :])]
        found = list(frames.unpack(self.frame))
        return found[len(found) - self.remaining :]


def create(where: Places, mules: int, widest: int = 0) -> None:
    """Make the segment for so many mules. Their cells have memory at once, and the areas that each one needs
    to receive at all, for frames of `widest` bytes; other areas where they are used.

    The master reads the cells of a mule that died young, and mapped memory that has no page yet asks for one
    even to be read: where there is none that is a SIGBUS (mmap(2)). And what waits in lanes may fill shared
    memory before a mule receives for the first time: it must be able to, as nobody else makes room then.
    Raises LimitError.
    """
    segment = posix_ipc.SharedMemory(where.inflight, posix_ipc.O_CREX, mode=0o600)
    try:
        os.fchmod(segment.fd, 0o600)
        os.posix_fallocate(segment.fd, 0, PAGE)
        os.pwrite(segment.fd, MAGIC.to_bytes(8, "little") + mules.to_bytes(8, "little"), 0)
        for number in range(mules):  # the size grows with it: a part that is there whole has its cells
            start = PAGE + number * PART
            os.posix_fallocate(segment.fd, start, PAGE)
            for area in (thread_area(0), frame_area(0), frame_area(1)) if widest else ():
                os.posix_fallocate(segment.fd, start + area, widest)
        os.ftruncate(segment.fd, PAGE + mules * PART)
    except OSError as error:
        posix_ipc.unlink_shared_memory(where.inflight)
        need = PAGE + mules * (PAGE + 3 * widest)
        what = f"what {mules} mules have in hand needs {need} bytes of shared memory and more"
        raise exhaustion.no_room(error, what) from error
    finally:
        segment.close_fd()


def remove(where: Places) -> None:
    """Remove the segment; one that is gone already is no error."""
    try:
        posix_ipc.unlink_shared_memory(where.inflight)
    except posix_ipc.ExistentialError:
        pass


def thread_area(thread: int) -> int:
    """Offset of a thread's area in a mule's part."""
    return PAGE + thread * WIDEST


def frame_area(area: int) -> int:
    """Offset of a frame area in a mule's part."""
    return PAGE + (THREADS + area) * WIDEST


class Slots:
    """One mule's part, mapped. Opened by that mule, and by the master after its death."""

    def __init__(self, where: Places, number: int) -> None:
        segment = posix_ipc.SharedMemory(where.inflight)
        found = os.fstat(segment.fd)
        start = PAGE + (number - 1) * PART
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            segment.close_fd()
            raise AccessError(f"shared memory {where.inflight} is not this bus's: remove it and start again")
        if found.st_size < start + PART:
            segment.close_fd()
            raise HalfMade(f"shared memory {where.inflight} is only half made: start the bus again")
        before = os.pread(segment.fd, 8, 0) == _WITHOUT_LANES.to_bytes(8, "little")
        self._header = F_LANE if before else F_CELLS
        self._segment = segment
        self._start = start
        self.number = number
        self.memory = mmap.mmap(segment.fd, PART, offset=start)
        self.cells = memoryview(self.memory)[:PAGE].cast("Q")

    def reserve(self, offset: int, size: int) -> None:
        """Reserve memory, so that a store into it is no SIGBUS later. Raises LimitError if there is none."""
        try:
            os.posix_fallocate(self._segment.fd, self._start + offset, size)
        except OSError as error:
            what = f"{size} bytes of shared memory for what mule {self.number} has in hand"
            raise exhaustion.no_room(error, what) from error

    def close(self) -> None:
        """Close the descriptor; the mapping stays."""
        self._segment.close_fd()

    def header(self, area: int) -> int:
        """First cell of a frame area's header."""
        return HEADERS + area * self._header

    def store(
        self, area: int, sequence: int, frame: bytes, priority: int, lane: int = 0, head: int = 0
    ) -> None:
        """Store a frame in a free area, its memory reserved. It counts once its F_REMAINING is not 0.

        lane, head: see F_LANE and F_HEAD.
        """
        cells, first, start = self.cells, self.header(area), frame_area(area)
        cells[first + F_LENGTH] = 0
        if self._header == F_CELLS:
            cells[first + F_LANE], cells[first + F_HEAD] = lane, head
        self.memory[start : start + len(frame)] = frame
        cells[first + F_SEQUENCE] = sequence
        cells[first + F_PRIORITY] = priority
        cells[first + F_LENGTH] = len(frame)

    def reserve_for_saving(self, size: int) -> None:
        """Reserve memory for frames of that size before one comes: put() and hold() are stores alone."""
        self.reserve(0, PAGE)
        self.reserve(thread_area(0), size)
        self.reserve(frame_area(0), size)

    def put(self, frame: bytes, priority: int) -> None:
        """Store a frame for rest(), where nothing is in hand or left of others, its memory reserved."""
        first = self.header(0)
        self.store(0, self.cells[first + F_SEQUENCE] + 1, frame, priority)
        self.cells[first + F_REMAINING] = frames.count_of(frame)

    def hold(self, frame: bytes, priority: int, source: int) -> None:
        """Store a shared queue's frame, of one message, for recover(); source as endpoint_of() has it."""
        data, start = frame[frames.OVERHEAD :], thread_area(0)
        self.memory[start : start + len(data)] = data
        self.cells[self.header(0) + F_PRIORITY] = priority
        reference = REFERENCE if frames.is_large(frame) else 0
        self.cells[REFS] = OWN | SAVING | reference | source << 32 | len(data)

    def rests(self) -> list[Rest]:
        """The frames that were not handed out to their end: the more urgent first, then the older."""
        cells, found = self.cells, []
        after, references = self._after(), self._references()
        for area in range(FRAMES):
            first = self.header(area)
            remaining, sequence = cells[first + F_REMAINING], cells[first + F_SEQUENCE]
            remaining = min(remaining, after.get(sequence, remaining))
            if remaining:
                frame = self._bytes(frame_area(area), cells[first + F_LENGTH])
                if frames.is_large(frame) and frame[frames.OVERHEAD :] in references:
                    continue  # killed after it had that in hand, before the frame said so
                found.append(Rest(area, sequence, remaining, cells[first + F_PRIORITY], frame))
        return sorted(found, key=lambda each: (-each.priority, each.sequence))

    def _after(self) -> dict[int, int]:
        """By frame: how many of its messages come after the last one that a thread's cell names."""
        found: dict[int, int] = {}
        for ref in self.cells[REFS : REFS + THREADS]:
            if ref and not ref & (OWN | CLAIM):
                sequence, after = ref >> SEQUENCE_SHIFT, ref & _AFTER
                found[sequence] = min(after, found.get(sequence, after))
        return found

    def _references(self) -> set[bytes]:
        """The references to large messages of the mule's own queue that are in hand."""
        found = set()
        for thread, ref in enumerate(self.cells[REFS : REFS + THREADS].tolist()):
            if ref & (OWN | REFERENCE | FROM_LANE) == OWN | REFERENCE and not source_of(ref):
                found.add(self._bytes(thread_area(thread), ref & 0xFFFFFFFF))
        return found

    def in_hand(self) -> list[tuple[bytes, bool, int]]:
        """What the threads have in hand: bytes, whether they are a reference, number of the source."""
        found = []
        for thread, ref in enumerate(self.cells[REFS : REFS + THREADS].tolist()):
            if ref & OWN:
                length = ref & (LANE_LENGTH if ref & FROM_LANE else 0xFFFFFFFF)
                data = self._bytes(thread_area(thread), length)
                found.append((data, bool(ref & REFERENCE), source_of(ref)))
            elif ref and not ref & CLAIM:
                message = self._of_frame(ref)
                if message is not None:
                    found.append((message, False, 0))
        return found

    def refs(self) -> list[int]:
        """The threads' cells that are not 0."""
        return [ref for ref in self.cells[REFS : REFS + THREADS].tolist() if ref]

    def heads(self) -> list[tuple[int, int]]:
        """What was taken from lanes for frames that are not handed out: lane, position behind it."""
        found = []
        for area in range(FRAMES if self._header == F_CELLS else 0):
            first = self.header(area)
            if self.cells[first + F_REMAINING] and self.cells[first + F_LANE]:
                found.append((self.cells[first + F_LANE] - 1, self.cells[first + F_HEAD]))
        return found

    def _of_frame(self, ref: int) -> bytes | None:
        sequence, after = ref >> SEQUENCE_SHIFT, ref & _AFTER
        for area in range(FRAMES):
            first = self.header(area)
            if self.cells[first + F_SEQUENCE] == sequence and self.cells[first + F_LENGTH]:
                messages = frames.unpack(self._bytes(frame_area(area), self.cells[first + F_LENGTH]))
                return messages[len(messages) - 1 - after]
        return None

    def _bytes(self, offset: int, size: int) -> bytes:
        return self.memory[offset : offset + size]

    def forget_hands(self, but: int = 0) -> None:
        """Nothing is in hand any more; what is left of frames stays, and stays marked as left.

        but: a bit; cells that have it stay.
        """
        rests = {each.area: each.remaining for each in self.rests()}
        for area in range(FRAMES):
            self.cells[self.header(area) + F_REMAINING] = rests.get(area, 0)
        for thread in range(THREADS):
            if not self.cells[REFS + thread] & but:
                self.cells[REFS + thread] = 0

    def forget(self) -> None:
        """Neither anything in hand nor anything left."""
        self.forget_hands()
        for area in range(FRAMES):
            self.cells[self.header(area) + F_REMAINING] = 0
