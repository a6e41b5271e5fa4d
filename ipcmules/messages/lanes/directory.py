"""Which lanes a bus has: one segment with a record a queue, and an entry a lane.

Knows posix_ipc, the description's queues and cells; not what is in a lane. Every cell has one writer at a
time; who that is stands beside its name.
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
from typing import NamedTuple

import posix_ipc

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion
from ipcmules.kernel.interruption import opened

MAGIC = 0x32304E4C_4D435049  # "IPCMLN02" as a little-endian number
PAGE = 4096
#: Lanes behind one queue at most: so many senders can be ahead of its receivers at once.
LANES = 256
#: Bytes of a queue's record and of a lane's entry.
RECORD, ENTRY = 64, 128

# Cells of the first page.
H_MAGIC, H_QUEUES, H_MULES = range(3)
H_USED = 3  # 1 once there was a lane
H_GENERATION = 4
_START = 40

# Cells of a queue's record.
Q_LANES = 0  # how many of its entries were ever used; written with the lock held
Q_WAITING = 1  # a hint: not 0 while some lane may have something; senders and receivers store into it
Q_BELL = 2  # of a mule's own queue: that mule's bell; see Directory.bells()
Q_TAKEN = 3  # of a mule's own queue: how many messages that mule has taken of it; see Directory.tally()

# Cells of a lane's entry; where no writer is named, whoever holds the lock.
L_PID, L_START = 0, 1  # its sender; pid 0: it has none
L_PRIORITY = 2
L_FIRST = 3  # of a shared queue: the number of its first segment that is not taken
L_LAST = 4  # the highest number that a segment was given
L_HEAD = 5  # number << 32 | slot of the first record that was not taken; the receiver of a private queue
L_SAVED = 6  # as L_HEAD, not 0 once the bus has ended and saved what lies before that; the master
L_CHAIN = 7  # the number that the chain began with, stored last; 0: it has none, and is free
L_SENT, L_SENT_BYTES = 8, 9  # what comes before its last segment (Segment.before); the sender
L_TAKEN, L_TAKEN_BYTES = 10, 11  # and before the first that is not done; who writes L_HEAD, or L_FIRST


class Layout(NamedTuple):
    """Where everything is in the segment, from the numbers of queues and mules."""

    queues: int
    mules: int

    @classmethod
    def of(cls, config: BusConfig) -> Layout:
        """The layout of the bus of a configuration: the pool, then the mules, then the farms."""
        mules = len(config.mules)
        return cls(1 + mules + len(config.farms) if mules else 0, mules)

    def record(self, queue: int) -> int:
        """Where a queue's record begins."""
        return PAGE + queue * RECORD

    def is_private(self, queue: int) -> bool:
        """True for a mule's own queue."""
        return 0 < queue <= self.mules

    def row(self, queue: int) -> int:
        """Where the bells of a shared queue begin, one a mule: first the pool's row, then the farms'."""
        return PAGE + self.queues * RECORD + 8 * self.mules * (queue - self.mules if queue else 0)

    def tallies(self, queue: int) -> int:
        """Where the tallies of a shared queue begin: in rows behind those of the bells, and like them."""
        return self.row(self.queues) + self.row(queue) - self.row(0)

    @property
    def entries(self) -> int:
        """Where the entries of lanes begin; what comes before them is reserved from the start."""
        return -(-self.tallies(self.queues) // PAGE) * PAGE

    def entry(self, queue: int, lane: int) -> int:
        """Where a lane's entry begins."""
        return self.entries + (queue * LANES + lane) * ENTRY

    @property
    def size(self) -> int:
        """Bytes of the segment."""
        return self.entry(self.queues, 0)


def number_of(config: BusConfig, endpoint: str) -> int:
    """A queue's number: 0 the pool, 1.. the mules, then the farms as the configuration has them."""
    if endpoint == "pool":
        return 0
    if endpoint.startswith("mule"):
        return int(endpoint[4:])
    names = [each.name for each in config.farms]
    return 1 + len(config.mules) + names.index(endpoint.removeprefix("farm."))


def endpoint_of(config: BusConfig, queue: int) -> str:
    """The inverse of number_of()."""
    if queue == 0:
        return "pool"
    mules, farms = len(config.mules), config.farms
    if queue <= mules:
        return f"mule{queue}"
    number = queue - mules
    # Where the description is gone the names of the farms are.
    return f"farm.{farms[number - 1].name if number <= len(farms) else number}"


_EVEN = bytes(range(0, 256, 2))


def is_asleep(bells: bytes) -> bool:
    """True if one of a queue's bells, as Directory.bells() gives them, says that somebody may sleep."""
    return bool(bells[::8].translate(None, _EVEN))


class HalfMade(AccessError):
    """Nothing is in the segment: who made it was killed before anybody used it."""


class Directory:
    """The segment, mapped. It stays mapped until the process ends."""

    def __init__(self, where: Places) -> None:
        """Raises posix_ipc.ExistentialError if the bus has none, AccessError if it is not ours, HalfMade if
        it was never used."""
        #: Its file.
        self.path = f"/dev/shm/{where.lanes.lstrip('/')}"
        segment = posix_ipc.SharedMemory(where.lanes)
        try:
            found = os.fstat(segment.fd)
            start = memoryview(os.pread(segment.fd, _START, 0).ljust(_START, b"\0")).cast("Q")
            self.layout = Layout(start[H_QUEUES], start[H_MULES])
            ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
            if ours and not start[H_MAGIC]:
                raise HalfMade(f"shared memory {where.lanes} is only half made: start the bus again")
            if not ours or start[H_MAGIC] != MAGIC or found.st_size != self.layout.size:
                raise AccessError(
                    f"shared memory {where.lanes} is not that of this bus's lanes: remove it and start again"
                )
            #: Of the bus: a later one of its name has other lanes, in files of other names.
            self.generation = start[H_GENERATION]
            self._file = found.st_dev, found.st_ino
            self.memory = mmap.mmap(segment.fd, self.layout.size)
        finally:
            segment.close_fd()
        self.bytes = memoryview(self.memory)
        self.cells = self.bytes.cast("B").cast("Q")

    def open(self) -> io.FileIO:
        """Its file, for a with statement. Raises FileNotFoundError if it is gone, or another bus's by now."""
        file = opened(self.path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            found = os.fstat(file.fileno())
            if (found.st_dev, found.st_ino) == self._file:
                return file
            raise FileNotFoundError(errno.ENOENT, "the bus of these lanes is gone", self.path)
        except BaseException:
            file.close()
            raise

    def is_gone(self) -> bool:
        """True once the bus has been removed."""
        try:
            self.open().close()
        except FileNotFoundError:
            return True
        except OSError:
            pass  # there is no descriptor to look with
        return False

    def record(self, queue: int) -> int:
        """Index of the first cell of a queue's record."""
        return self.layout.record(queue) // 8

    def entry(self, queue: int, lane: int) -> int:
        """Index of the first cell of a lane's entry."""
        return self.layout.entry(queue, lane) // 8

    def used(self, queue: int) -> int:
        """How many of a queue's entries were ever used."""
        return self.cells[self.record(queue) + Q_LANES]

    def waiting(self, queue: int, but: int) -> tuple[int, int]:
        """How many messages and bytes wait in a queue's lanes, whole segments, but for those of one lane."""
        cells, messages, size = self.cells, 0, 0
        for lane in range(self.used(queue)):
            entry = self.entry(queue, lane)
            if lane != but and cells[entry + L_CHAIN]:
                # They may change between two looks: what comes out is never less than nothing.
                messages += max(cells[entry + L_SENT] - cells[entry + L_TAKEN], 0)
                size += max(cells[entry + L_SENT_BYTES] - cells[entry + L_TAKEN_BYTES], 0)
        return messages, size

    def bell(self, queue: int, mule: int) -> int:
        """Index of the cell by which a mule tells a queue's senders that it may sleep.

        It is odd while that mule may sleep, and changes, always to a higher number, whenever a thread of the
        mule goes to sleep or has woken: so a sender need wake nobody twice from one sleep.
        """
        if self.layout.is_private(queue):
            return self.record(queue) + Q_BELL
        return self.layout.row(queue) // 8 + mule - 1

    def bells(self, queue: int) -> slice:
        """Where, in bytes, the bells of all who may receive from a queue lie."""
        if self.layout.is_private(queue):
            start = 8 * self.bell(queue, queue)
            return slice(start, start + 8)
        start = self.layout.row(queue)
        return slice(start, start + 8 * self.layout.mules)

    def tally(self, queue: int, mule: int) -> int:
        """Index of the cell in which a mule tells how many messages it has taken of a queue.

        It counts on from what the processes before it have told.
        """
        if self.layout.is_private(queue):
            return self.record(queue) + Q_TAKEN
        return self.layout.tallies(queue) // 8 + mule - 1

    def taken(self, queue: int) -> int:
        """How many messages all mules together have taken of a queue since the bus began."""
        if self.layout.is_private(queue):
            return int(self.cells[self.tally(queue, queue)])
        first = self.tally(queue, 1)
        return sum(self.cells[first : first + self.layout.mules])

    def prefix(self, queue: int, lane: int) -> str:
        """What the paths of a lane's segments begin with; then comes the number."""
        return f"{self.path}.{self.generation}.{queue}.{lane}."

    def add(self, queue: int) -> int | None:
        """With the lock held: the number of one more lane of a queue; None if it has all it can have.

        Raises OSError where there is no memory for its entry.
        """
        count = self.used(queue)
        if count >= LANES:
            return None
        with self.open() as file:
            os.posix_fallocate(file.fileno(), self.layout.entry(queue, count), ENTRY)
        self.cells[H_USED] = 1  # first: whoever uses a lane must find that there are lanes
        self.cells[self.record(queue) + Q_LANES] = count + 1
        return count


def create(where: Places, config: BusConfig, generation: int) -> None:
    """Make the segment. Raises LimitError if shared memory is full."""
    layout = Layout.of(config)
    if not layout.queues:
        return
    segment = posix_ipc.SharedMemory(where.lanes, posix_ipc.O_CREX, mode=0o600)
    try:
        os.fchmod(segment.fd, 0o600)
        os.ftruncate(segment.fd, layout.size)
        os.posix_fallocate(segment.fd, 0, layout.entries)
        numbers = (MAGIC, layout.queues, layout.mules, 0, generation)
        os.pwrite(segment.fd, b"".join(each.to_bytes(8, "little") for each in numbers), 0)
    except OSError as error:
        posix_ipc.unlink_shared_memory(where.lanes)
        raise exhaustion.no_room(error, f"{layout.entries} bytes of shared memory for lanes") from error
    finally:
        segment.close_fd()


def remove(where: Places) -> None:
    """Remove the segment, and those of all lanes; what is gone already is no error."""
    name = where.lanes.lstrip("/")
    for each in os.listdir("/dev/shm"):
        if each == name or (each.startswith(f"{name}.") and _is_segment(each[len(name) + 1 :])):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/dev/shm/{each}")


def _is_segment(rest: str) -> bool:
    # GENERATION.QUEUE.LANE.NUMBER, and while it is being made GENERATION.QUEUE.LANE.PID-COUNT.new
    parts = rest.removesuffix(".new").split(".")
    return len(parts) == 4 and all(part.replace("-", "").isdigit() for part in parts)
