"""What mules have in hand, in shared memory: it outlives the process that received it.

Knows posix_ipc and large messages. Specified to the byte in docs/formats-messages.md. A mule's part is one
page of 64-bit cells and then areas for bytes: one a receiving thread (a message that came alone) and
some for frames. A message's bytes are stored before the cell that says that they are there, so a
SIGKILL at any instant leaves either. A receive that hands out the next message of a frame is one store.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import posix_ipc

from ipcmules import description as descriptions
from ipcmules import log
from ipcmules.errors import AccessError, IpcMulesError, LimitError
from ipcmules.messages import frames, large
from ipcmules.messages.sizing import WIDEST
from ipcmules.places import Places

MAGIC = 0x31304649_4D435049  # "IPCMIF01" as a little-endian number
PAGE = 4096

#: Threads of a mule that can have a message in hand at once.
THREADS = 64
#: Frame areas: one each thread may refer to, and some that wait behind a more urgent one.
FRAMES = 72

# Cells of a mule's part.
REFS = 8  # one a thread
HEADERS = REFS + THREADS  # F_CELLS a frame area
F_SEQUENCE, F_LENGTH, F_REMAINING, F_PRIORITY = range(4)
F_CELLS = 4

# A thread's cell: 0, or what it has in hand.
OWN = 1 << 62  # in its own area: OWN | maybe REFERENCE | source << 32 | length
REFERENCE = 1 << 61  # and that is a reference to a large message
# else: a message of a frame, sequence << SEQUENCE_SHIFT | how many of the frame come after it.
SEQUENCE_SHIFT = 12
_AFTER = (1 << SEQUENCE_SHIFT) - 1

#: Bytes of a mule's part.
PART = PAGE + (THREADS + FRAMES) * WIDEST


@dataclass(frozen=True)
class Left:
    """A message that a dead mule had in hand."""

    data: bytes
    endpoint: str  #: the queue it came from: 'mule3', 'pool', 'farm.mail'
    attempts: int = 0  #: how many processes had died with it before


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


def create(where: Places, mules: int) -> None:
    """Make the segment for so many mules. It takes memory only where mules use it."""
    segment = posix_ipc.SharedMemory(where.inflight, posix_ipc.O_CREX, mode=0o600)
    try:
        os.fchmod(segment.fd, 0o600)
        os.ftruncate(segment.fd, PAGE + mules * PART)
        os.pwrite(segment.fd, MAGIC.to_bytes(8, "little") + mules.to_bytes(8, "little"), 0)
    except OSError as error:
        posix_ipc.unlink_shared_memory(where.inflight)
        raise LimitError(
            f"shared memory for what mules have in hand: {error.strerror}; make room in /dev/shm"
        ) from error
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
        if found.st_uid != os.geteuid() or found.st_mode & 0o077 or found.st_size < start + PART:
            segment.close_fd()
            raise AccessError(f"shared memory {where.inflight} is not this bus's: remove it and start again")
        self._segment = segment
        self._start = start
        self.number = number
        self.memory = memoryview(mmap.mmap(segment.fd, PART, offset=start))
        self.cells = self.memory[:PAGE].cast("Q")

    def reserve(self, offset: int, size: int) -> None:
        """Reserve memory, so that a store into it is no SIGBUS later. Raises LimitError if there is none."""
        try:
            os.posix_fallocate(self._segment.fd, self._start + offset, size)
        except OSError as error:
            raise LimitError(
                f"{size} bytes of shared memory for what mule {self.number} has in hand: {error.strerror}; "
                "make room in /dev/shm (docker: --shm-size)"
            ) from error

    def close(self) -> None:
        """Close the descriptor; the mapping stays."""
        self._segment.close_fd()

    def header(self, area: int) -> int:
        """First cell of a frame area's header."""
        return HEADERS + area * F_CELLS

    def store(self, area: int, sequence: int, frame: bytes, priority: int, remaining: int) -> None:
        """Store a frame in a free area, its memory reserved. A SIGKILL leaves all of it or nothing."""
        cells, first, start = self.cells, self.header(area), frame_area(area)
        cells[first + F_LENGTH] = 0
        self.memory[start : start + len(frame)] = frame
        cells[first + F_SEQUENCE] = sequence
        cells[first + F_PRIORITY] = priority
        cells[first + F_LENGTH] = len(frame)
        cells[first + F_REMAINING] = remaining

    def rests(self) -> list[Rest]:
        """The frames that were not handed out to their end: the more urgent first, then the older."""
        cells, found = self.cells, []
        after = self._after()
        for area in range(FRAMES):
            first = self.header(area)
            remaining, sequence = cells[first + F_REMAINING], cells[first + F_SEQUENCE]
            remaining = min(remaining, after.get(sequence, remaining))
            if remaining:
                frame = self._bytes(frame_area(area), cells[first + F_LENGTH])
                found.append(Rest(area, sequence, remaining, cells[first + F_PRIORITY], frame))
        return sorted(found, key=lambda each: (-each.priority, each.sequence))

    def _after(self) -> dict[int, int]:
        """By frame: how many of its messages come after the last one that a thread's cell names."""
        found: dict[int, int] = {}
        for ref in self.cells[REFS : REFS + THREADS]:
            if ref and not ref & OWN:
                sequence, after = ref >> SEQUENCE_SHIFT, ref & _AFTER
                found[sequence] = min(after, found.get(sequence, after))
        return found

    def in_hand(self) -> list[tuple[bytes, bool, int]]:
        """What the threads have in hand: bytes, whether they are a reference, number of the source."""
        found = []
        for thread, ref in enumerate(self.cells[REFS : REFS + THREADS].tolist()):
            if ref & OWN:
                data = self._bytes(thread_area(thread), ref & 0xFFFFFFFF)
                found.append((data, bool(ref & REFERENCE), ref >> 32 & 0xFFFF))
            elif ref:
                message = self._of_frame(ref)
                if message is not None:
                    found.append((message, False, 0))
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
        return bytes(self.memory[offset : offset + size])

    def forget_hands(self) -> None:
        """Nothing is in hand any more; what is left of frames stays, and stays marked as left."""
        rests = {each.area: each.remaining for each in self.rests()}
        for area in range(FRAMES):
            self.cells[self.header(area) + F_REMAINING] = rests.get(area, 0)
        for thread in range(THREADS):
            self.cells[REFS + thread] = 0

    def forget(self) -> None:
        """Neither anything in hand nor anything left."""
        self.forget_hands()
        for area in range(FRAMES):
            self.cells[self.header(area) + F_REMAINING] = 0


def recover(where: Places, number: int, put_away: Callable[[Left], object] | None = None) -> list[Left]:
    """After a mule's death: what it had in hand, whole; it is not in hand any more.

    put_away(left) is called for each before it is forgotten: whoever is killed in between finds it again.
    What the mule had not handed out of its frames stays for the successor, or for rest(). Large messages
    are loaded, and removed.
    """
    slots = Slots(where, number)
    try:
        hands = slots.in_hand()
        found = [each for each in (_left(where, number, *hand) for hand in hands) if each is not None]
        if put_away is not None:
            for each in found:
                put_away(each)
        slots.forget_hands()
        for data, reference, _source in hands:
            if reference:
                large.discard(data)
        return found
    finally:
        slots.close()


def _left(where: Places, number: int, data: bytes, reference: bool, source: int) -> Left | None:
    endpoint = endpoint_of(where, number, source)
    if not reference:
        return Left(data, endpoint)
    try:
        return Left(large.peek(data), endpoint, large.attempts_of(data))
    except (OSError, IpcMulesError):
        return None  # killed after it was done and removed, before the cell said so


def endpoint_of(where: Places, number: int, source: int) -> str:
    """The endpoint with the number that a thread's cell holds: 0 its own, 1 the pool, then the farms."""
    if source == 0:
        return f"mule{number}"
    if source == 1:
        return "pool"
    found = descriptions.read(where)
    farms = found.config.farms if found is not None else ()
    return f"farm.{farms[source - 2].name}" if source - 2 < len(farms) else "farm"


def rest(where: Places, number: int) -> Iterator[tuple[bytes, int, int]]:
    """What a mule without a successor was not handed out, in order: message, priority, attempts (see Left).

    Each is forgotten when the next one is asked for: whoever is killed while he saves it finds it again.
    What cannot be read is logged.
    """
    slots = Slots(where, number)
    try:
        for each in slots.rests():
            reference = each.frame[frames.OVERHEAD :] if frames.is_large(each.frame) else b""
            try:
                messages = each.messages()
                attempts = large.attempts_of(reference) if reference else 0
            except (frames.FrameError, OSError, ValueError) as error:
                log.event("error", f"a frame of {len(each.frame)} bytes could not be read: {error}")
                continue
            for after, data in zip(range(len(messages) - 1, -1, -1), messages, strict=True):
                yield data, each.priority, attempts
                slots.cells[slots.header(each.area) + F_REMAINING] = after
            if reference:
                large.discard(reference)
        slots.forget()
    finally:
        slots.close()


def put(where: Places, number: int, frame: bytes, priority: int) -> None:
    """Store a frame for rest(), where nothing is in hand or left of others.

    Raises LimitError if there is no memory for it.
    """
    slots = Slots(where, number)
    try:
        slots.reserve(0, PAGE)
        slots.reserve(frame_area(0), len(frame))
        slots.store(0, slots.cells[slots.header(0) + F_SEQUENCE] + 1, frame, priority, frames.count_of(frame))
    finally:
        slots.close()


def clear(where: Places, number: int) -> None:
    """After a mule that ended by itself: what it had in hand is done; what it was not handed stays."""
    slots = Slots(where, number)
    try:
        for data, reference, _ in slots.in_hand():
            if reference:
                large.discard(data)
        slots.forget_hands()
    finally:
        slots.close()
