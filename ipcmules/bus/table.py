"""The shared table: one shared-memory segment that every process on a bus maps.

Specified to the byte in docs/formats-table.md. Holds the generation and state of the bus, a record a
mule, a spooler and a worker, the 256 signal entries, and the signal counters of every endpoint. Knows memory,
not meaning: who may write what is said here, what follows from it is said elsewhere.

Every cell is a native 64-bit integer with one writer at a time; an aligned 8-byte store is one
instruction, so no reader ever sees half a value.
"""

from __future__ import annotations

import ctypes
import mmap
import os

import posix_ipc

from ipcmules.bus.layout import ENTRY, RECORD, SPOOLER_RECORD, WORKER_SLOTS, Layout
from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.processes import ProcessId

MAGIC = 0x35304C55_4D435049  # "IPCMUL05" as a little-endian number

# Header cells (index of 8-byte cells from the start of the segment).
H_MAGIC, H_GENERATION, H_STATE, H_MULES, H_FARMS, H_MASTER_PID, H_MASTER_START, H_STAMP = range(8)
#: Number of workers that hold a number; written with the registry lock held.
H_WORKERS = 8
#: Signals dropped because nobody was registered or waiting (approximate: several writers).
H_DROPPED = 9
#: Changes whenever a worker number is claimed or released; written with the registry lock held.
H_WORKERS_VERSION = 10
#: Generation of the code: of the template that processes are forked from, from 1; each reload has a new one.
H_CODE = 11
#: Reloads begun, ended (in whatever way), and which one failed last; written by the master in this order.
H_RELOADS, H_RELOADED, H_RELOAD_FAILED = 12, 13, 14
#: When the master looks for deadlines next (time.monotonic_ns()); 0: not unless it is told.
H_LOOK = 15
#: Numbers of spoolers and of their directories.
H_SPOOLERS, H_SPOOLS = 16, 17
#: Nanoseconds between two looks at a spool directory that nobody asked for; written by whoever sets it.
H_FREQUENCY = 18
#: 1 once the table has the signals that the bus before this one left: from then on it, not the file, counts.
H_GIVEN = 19
#: 1 while the master looks for large messages that dead senders did not send; set by whoever stores one.
H_STORING = 20
#: A bit a kind of alarms (ipcmules/bus/alarms.py): whether anybody wants to be told; written by the master.
H_ALARMS = 21

#: Bytes of the header that tell the layout.
_START = 8 * (H_SPOOLS + 1)

# Bus states, in H_STATE.
STARTING, READY, STOPPING, STOPPED = 1, 2, 3, 4

# Cells of a mule's or worker's record. The process itself writes them, except where noted.
R_PID, R_START, R_STATE, R_READER, R_MESSAGES, R_SIGNALS = range(6)
R_SPAWNS, R_SINCE = 6, 7  # written by the master (a worker writes its own R_SINCE): count, time.time_ns()
R_LAUNCHED = 8  # 1 if the master started it
R_EXCEPTIONS = 9
R_ENTERED = 10  # time.monotonic_ns() at which its program was entered
R_LISTENING = 11  # 1 while it waits in signal_wait(), for signals that nobody registered
R_URGENT = 12  # set by senders of a message with a priority, cleared by the mule when it looks for it
R_LEAVING = 13  # why it ends: LEAVES_* below; set before the end, cleared by the master before the next start
R_DEADLINE = 14  # time.monotonic_ns() at which the master kills it; 0: never
R_DEATH, R_DIED = 15, 16  # written by the master: how its predecessor ended (deaths.py), time.time_ns()
R_CHANGED = 17  # time.monotonic_ns() at which R_STATE changed last
R_DOING = 18  # what the app is doing in it: DOES_* below, shifted by 8, and a signal's number
# Of a web server's worker: who starts another in its place. While that lives, what is raised for the number
# waits. A worker has no other use for these two (R_URGENT, R_READER).
R_PARENT, R_PARENT_START = 12, 3
R_SENDING = 19  # a thread of it waits for room: 1 + the number of the queue (in the description); 0: none

# What the processes before it had counted (ipcmules/signals/running.py: fold): twice the number, plus 1 while
# what the cell in question has is in it already.
R_ALL_MESSAGES, R_ALL_SIGNALS, R_ALL_EXCEPTIONS = 24, 25, 26
R_BEGAN = 27  # time.monotonic_ns() at which R_DOING was last set from nothing to something

R_HANDLES = 20  # and the 3 after it, of a worker: a bit a signal (shared number) that it has a handler for
R_HANDS = 28  # and the 3 after it: a bit a signal (shared number) that it takes, or whose handler runs

# More cells of a spooler's record, whose R_MESSAGES counts tasks.
S_NEXT = 32  # when it has something to do next (nanoseconds since the epoch), 0: nothing it knows of
S_TASK = 33  # length of the name of the task in hand (relative to the directory), 0: none
S_HAND = 34  # length of the name of its file in the directory (spooler/in_hand.py), 0: none
S_TASK_NAME, S_HAND_NAME = 35 * 8, 35 * 8 + 512
#: The longest names that fit, bytes.
LONGEST_TASK, LONGEST_HAND = 512, SPOOLER_RECORD - S_HAND_NAME

# Cells of a spool directory's record.
D_LOOK = 0  # 1 if there are tasks that its queue did not take
D_NUMBERED = 1  # 1 once a task with a priority was seen: from then on tasks are taken by priority
D_PAUSES = 2  # how often the master saw that what is paused has changed

# Process states, in R_STATE.
ABSENT, LOADING, ENTERED, WAITING, BUSY, ENDING = range(6)
STATE_NAMES = ("absent", "loading", "running", "waiting", "busy", "ending")

# Values of R_LEAVING: the master replaces it; it replaces itself (--mule-max-msgs, --spooler-max-tasks); a
# spooler has nothing to do (--spooler-cheap).
LEAVES_FOR_RELOAD, LEAVES_BY_COUNT, LEAVES_IDLE = 1, 2, 3

# Values of R_DOING, before the shift.
DOES_NOTHING, DOES_SIGNAL, DOES_MESSAGE, DOES_BODY, DOES_TASK = range(5)

# Bits of R_READER.
READS_OWN, READS_SHARED = 1, 2

# Cells of a signal entry; then 64 bytes of target and 64 of the handler's name, NUL-padded.
E_STAMP, E_IDENTITY, E_IDENTITY2, E_OWNER_PID, E_OWNER_START, E_GENERATION, E_RAISED, E_FLAGS = range(8)
E_TARGET, E_HANDLER = 64, 128
#: Bytes of an entry that say what is registered. What follows is written by whoever runs the handler: a
#: counter of runs (E_RUNS, ipcmules.kernel.atomics), then cells.
REGISTRATION = 192
E_RUNS = 192
E_DURATION, E_EXCEPTIONS = 28, 30  # of the last run, ns; how many (about)
E_ENDED, E_SPENT = 29, 31  # when a run ended last (time.monotonic_ns()); of all runs, ns (about)
# Values of an endpoint's overflow cell other than 0 (ipcmules/signals/taker.py).
MARKED, NUDGED = 1, 2
#: In E_FLAGS: registered outside loading the app, by the process in the owner cells.
RUNTIME_ENTRY = 1
#: In E_FLAGS: left by the bus before this one with signals to be handled; nobody has registered it again yet.
CARRIED = 2


class Table:
    """A mapped table. `cells` is the whole segment as 64-bit cells, `base` its address.

    Build it with create() or open(). It stays mapped until the process ends: handles into it
    (addresses, views) are given out freely, and one segment a process is cheap.
    """

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self.layout = layout
        self.memory = mmap.mmap(descriptor, layout.size)
        self.cells = memoryview(self.memory).cast("B").cast("Q")
        #: Index of the first cell of signal 0's entry: asked for at every signal; and of worker 1's record.
        self._entries = layout.entries // 8
        self._workers = layout.worker_records // 8
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def process(self, record: int) -> ProcessId:
        """Whose a record is; pid 0 if it is nobody's."""
        return ProcessId(self.cells[record + R_PID], self.cells[record + R_START])

    def lives(self, record: int) -> bool:
        """True if the process of a record runs."""
        return self.process(record).alive()

    def parent(self, record: int) -> ProcessId:
        """Who starts another worker in the place of a record's; pid 0 if nobody does."""
        return ProcessId(self.cells[record + R_PARENT], self.cells[record + R_PARENT_START])

    def set_parent(self, record: int, parent: ProcessId) -> None:
        """Write what parent() reads; with the registry lock held, or by the master."""
        self.cells[record + R_PARENT] = 0
        self.cells[record + R_PARENT_START] = parent.start
        self.cells[record + R_PARENT] = parent.pid

    def awaited(self, record: int) -> bool:
        """True if a web server's worker has ended, and the server is about to start another."""
        return bool(self.cells[record + R_PARENT]) and not self.lives(record) and self.parent(record).alive()

    def expected(self, record: int) -> bool:
        """True if the worker of a record runs, or is awaited."""
        return self.lives(record) or self.awaited(record)

    def mule(self, number: int) -> int:
        """Index of the first cell of a mule's record (cells[table.mule(3) + R_PID])."""
        return (self.layout.mule_records + (number - 1) * RECORD) // 8

    def spooler(self, number: int) -> int:
        """Index of the first cell of a spooler's record."""
        return (self.layout.spooler_records + (number - 1) * SPOOLER_RECORD) // 8

    def spool(self, number: int) -> int:
        """Index of the first cell of a spool directory's record."""
        return (self.layout.spool_records + (number - 1) * RECORD) // 8

    def record(self, role: str, number: int) -> int:
        """Index of the first cell of the record of a 'mule', 'spooler' or 'worker'."""
        if role == "mule":
            return self.mule(number)
        return self.spooler(number) if role == "spooler" else self.worker(number)

    def worker(self, number: int) -> int:
        """Index of the first cell of a worker's record."""
        return self._workers + (number - 1) * (RECORD // 8)

    def entry(self, signum: int) -> int:
        """Index of the first cell of a signal's entry."""
        return self._entries + signum * (ENTRY // 8)

    def text(self, signum: int, where: int) -> str:
        """A signal entry's target (E_TARGET) or handler name (E_HANDLER)."""
        start = self.layout.entries + signum * ENTRY + where
        return self.memory[start : start + 64].rstrip(b"\0").decode("utf-8", "replace")

    def set_text(self, signum: int, where: int, value: str) -> None:
        """Write a signal entry's target or handler name, cut to 63 bytes."""
        start = self.layout.entries + signum * ENTRY + where
        self.memory[start : start + 64] = value.encode()[:63].ljust(64, b"\0")

    def runs(self, signum: int) -> int:
        """Address of a signal's counter of runs, for ipcmules.kernel.atomics."""
        return self.base + 8 * self.entry(signum) + E_RUNS

    def task(self, number: int) -> str:
        """The task a spooler has in hand: its name relative to the directory, '' for none."""
        return self._spooler_text(number, S_TASK, S_TASK_NAME, LONGEST_TASK)

    def hand(self, number: int) -> str:
        """The name of the file in which a spooler says what it runs (spooler/in_hand.py), '' for none."""
        return self._spooler_text(number, S_HAND, S_HAND_NAME, LONGEST_HAND)

    def _spooler_text(self, number: int, cell: int, start: int, longest: int) -> str:
        first = self.layout.spooler_records + (number - 1) * SPOOLER_RECORD
        length = min(self.cells[first // 8 + cell], longest)
        return os.fsdecode(self.memory[first + start : first + start + length])

    def overflow_cell(self, endpoint: int) -> int:
        """Index of an endpoint's overflow cell."""
        return self.layout.overflow // 8 + endpoint

    def counter(self, endpoint: int, signum: int) -> int:
        """Address of a counter, for ipcmules.kernel.atomics."""
        return self.base + self.layout.counter_offset(endpoint, signum)


def create(name: str, layout: Layout, generation: int) -> Table:
    """Create the segment with its memory reserved, in state STARTING.

    Raises LimitError if shared memory is full (reserved now, so that no later store is a SIGBUS),
    posix_ipc.ExistentialError if the name exists.
    """
    segment = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600)
    try:
        os.ftruncate(segment.fd, layout.size)
        os.posix_fallocate(segment.fd, 0, layout.reserved)
        table = Table(segment.fd, layout)
    except OSError as error:
        posix_ipc.unlink_shared_memory(name)
        what = f"the bus's table needs {layout.reserved} bytes of shared memory"
        raise exhaustion.no_room(error, what) from error
    finally:
        segment.close_fd()
    cells = table.cells
    cells[H_GENERATION] = generation
    cells[H_MULES], cells[H_FARMS], cells[H_SPOOLERS], cells[H_SPOOLS] = layout
    cells[H_CODE] = 1
    cells[H_STATE] = STARTING
    cells[H_MAGIC] = MAGIC
    return table


def reserve(name: str, offset: int, size: int) -> None:
    """Reserve a range of the segment's memory. Raises LimitError if shared memory is full."""
    opened: list[posix_ipc.SharedMemory] = []
    try:
        os.posix_fallocate(noted(opened, posix_ipc.SharedMemory, name).fd, offset, size)
    except OSError as error:
        raise exhaustion.no_room(error, f"{size} bytes of shared memory to count signals in") from error
    finally:
        for each in opened:
            each.close_fd()


def open(name: str) -> Table:
    """Map an existing table.

    Raises posix_ipc.ExistentialError if there is none, AccessError if it is not ours, LimitError where there
    is no descriptor or memory for it.
    """
    opened: list[posix_ipc.SharedMemory] = []
    try:
        segment = noted(opened, posix_ipc.SharedMemory, name)
        found = os.fstat(segment.fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise AccessError(
                f"shared memory {name} belongs to uid {found.st_uid} or is open to others: remove it"
            )
        words = memoryview(os.pread(segment.fd, _START, 0).ljust(_START, b"\0")).cast("Q")
        layout = Layout(words[H_MULES], words[H_FARMS], words[H_SPOOLERS], words[H_SPOOLS])
        if words[H_MAGIC] != MAGIC or found.st_size != layout.size:
            raise AccessError(
                f"shared memory {name} is not a table of this version of ipcmules: stop that bus first"
            )
        return Table(segment.fd, layout)
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, f"the table of the bus, {name}, cannot be opened") from error
        raise
    finally:
        for each in opened:
            each.close_fd()


def vacate_worker(shared: Table, number: int) -> None:
    """Mark a worker number as free; with the registry lock held."""
    record = shared.worker(number)
    shared.cells[record + R_PID] = 0
    shared.cells[record + R_STATE] = ABSENT
    count_workers(shared)


def count_workers(shared: Table) -> None:
    """Bring the header's view of the workers up to date; with the registry lock held."""
    numbers = range(1, WORKER_SLOTS + 1)
    shared.cells[H_WORKERS] = sum(shared.cells[shared.worker(each) + R_PID] != 0 for each in numbers)
    shared.cells[H_WORKERS_VERSION] += 1
