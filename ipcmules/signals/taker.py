"""The receiving side of signals: takes what was raised for this process, one signal at a time.

Knows the table's counters and the endpoints' FIFOs. Any number of processes and threads may take from a
shared endpoint at once; nothing here is a lock that a stopped or killed process could hold.

Why nothing is lost. The counters are the truth, the bytes in a FIFO only wake: a raiser increments and
*then* writes, a taker reads and *then* takes, so no reader can find a byte whose count is not there yet.
Taking is atomic (kernel.atomics): a count is taken once. What remains to be shown is that a count never
stays while every taker sleeps, that is, that there is at least a byte wherever there is a count:

* A raise adds a count and a byte; a take after a byte of the same number removes one of each.
* A byte without a count of its number (a nudge, or the count went with another byte) makes its reader
  look at all counters. Finding nothing it has removed a byte that was one too many. Finding something it
  takes that, and where more is left it *marks* the endpoint.
* A full FIFO refuses the byte: the raiser marks the endpoint and tries once more, for a taker may have
  emptied the FIFO, unmarked, in between.
* A marked endpoint (its overflow cell is not 0) may have fewer bytes than counts, but always a byte. There a
  taker writes a byte *before* it reads one, so the FIFO cannot run empty; and one that read a byte when it
  had not seen the mark yet writes one afterwards. The mark goes only when the counters were all zero, and
  they are looked at again after that.
* So a raiser that sees the mark after it has counted need not write: either its count is there when the
  taker looks again, or it sees that the mark is gone. That makes raising cheap while there is a backlog,
  and a taker that finds one marks the endpoint.
* A taker killed between reading and taking leaves a count without its byte (at most one a thread). Whoever
  notices the death nudges the endpoint (Raiser.nudge), its successor looks when it starts (Taker.__init__),
  and any taker sees it before it sleeps if it asks pending(). A raiser killed between increment and write
  leaves the same; its raise had not returned.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipcmules.bus.layout import ENDPOINT
from ipcmules.bus.places import Places
from ipcmules.bus.table import MARKED, NUDGED, Table
from ipcmules.kernel import atomics
from ipcmules.kernel.atomics import COUNTER_SIZE
from ipcmules.kernel.interruption import noted
from ipcmules.signals import fifos, running

_ZEROS = bytes(ENDPOINT)
#: The most that one read drains: the largest FIFO has 1 MiB (pipe(7)).
_ALL = 1 << 20
_BYTE = b"\0"


class Nudge(enum.Enum):
    """What take() returns for a wake-up without a signal behind it."""

    NUDGE = "nudge"


#: A byte was read and no signal was there: somebody says "look at every source", queues too.
NUDGE: Final = Nudge.NUDGE

Taken = int | Nudge | None


@dataclass(frozen=True)
class _Source:
    """One endpoint: its descriptor, the address and offset of its counters, its overflow cell."""

    descriptor: int
    counters: int
    offset: int
    overflow: int


class Taker:
    """Takes the signals of some endpoints. Build it anew after a fork.

    endpoints: pairs of name (as in Places.fifo) and number (bus/layout.py). Raises
    FileNotFoundError if one has no FIFO, AccessError if it is not ours.
    """

    def __init__(self, where: Places, table: Table, endpoints: Sequence[tuple[str, int]]) -> None:
        self._memory = table.memory
        self._cells = table.cells
        self._sources: dict[int, _Source] = {}
        #: Pairs of descriptor and whether other processes take from it too (then wait exclusively).
        self.sources: list[tuple[int, bool]] = []
        #: What close() closes.
        self._opened: list[int] = []
        try:
            for name, number in endpoints:
                self._open(where, table, name, number)
        except BaseException:
            self.close()
            raise

    def _open(self, where: Places, table: Table, name: str, number: int) -> None:
        descriptor = noted(self._opened, fifos.open_fifo, where.fifo(name))
        offset = table.layout.counter_offset(number)
        source = _Source(descriptor, table.base + offset, offset, table.overflow_cell(number))
        self._sources[descriptor] = source
        self.sources.append((descriptor, _is_shared(name)))
        if self._pending(source) is not None:  # bytes may have gone with whoever took here before
            self._mark(source)

    def take(self, descriptor: int) -> Taken:
        """Take at most one signal from a source, without waiting.

        Returns its (shared) number; NUDGE if a wake-up was read that no signal stands behind; None if there
        was nothing. Until the signal is begun (hands.Run) this thread gets it again, and first.
        """
        left = running.waiting()
        if left is not None:
            return left
        source = self._sources[descriptor]
        if self._cells[source.overflow]:
            return self._take_marked(source)
        try:
            number = os.read(descriptor, 1)[0]
        except BlockingIOError:
            return self._take_any(source)
        if _take(source, number):
            cells = self._cells
            if cells[(source.offset + number * COUNTER_SIZE) // 8] or cells[source.overflow]:
                self._mark(source)
            return number
        found = self._take_any(source)
        if found is None and self._cells[source.overflow]:
            _write(descriptor)
        return NUDGE if found is None else found

    def pending(self) -> bool:
        """True if a signal may be there; cheap (0.2 us an endpoint), to be asked before going to sleep.

        If so, take() from every source before sleeping.
        """
        return running.waiting() is not None or any(
            self._pending(source) is not None for source in list(self._sources.values())
        )

    def give_back(self) -> None:
        """The process ends: what it has taken and not begun is there again."""
        running.give_back()

    def close(self) -> None:
        """Close the descriptors; what was raised and not taken stays for the next taker."""
        opened, self._opened = self._opened, []
        list(map(os.close, opened))  # in one step: a handler that raises leaves none
        self._sources.clear()
        self.sources.clear()

    def _pending(self, source: _Source) -> int | None:
        """The lowest number with a count, found by halving: a zeroed counter is a count of 0 (atomics)."""
        counters = self._memory[source.offset : source.offset + ENDPOINT]
        if counters == _ZEROS:
            return None
        low, size = 0, ENDPOINT
        while size > COUNTER_SIZE:
            size //= 2
            if counters[low : low + size] == _ZEROS[:size]:
                low += size
        return low // COUNTER_SIZE

    def _take_any(self, source: _Source) -> int | None:
        """Take a signal that no byte announced to us; what is left behind it is marked."""
        while True:
            number = self._pending(source)
            if number is None:
                return None
            if _take(source, number):
                if self._pending(source) is not None:
                    self._mark(source)
                return number

    def _mark(self, source: _Source) -> None:
        if not self._cells[source.overflow]:
            self._cells[source.overflow] = MARKED
        _write(source.descriptor)

    def _take_marked(self, source: _Source) -> Taken:
        descriptor = source.descriptor
        _write(descriptor)
        try:
            number = os.read(descriptor, 1)[0]
        except BlockingIOError:
            pass  # another taker drained it and looks at the counters now, as we do
        else:
            if _take(source, number):
                return number
        found = self._take_any(source)
        if found is not None:
            return found
        # Every count is gone: the bytes are too many. The mark goes first: from then on raisers write again.
        # The system call between the store and the look at the counters orders them (the FIFO has a lock).
        nudged = self._cells[source.overflow] == NUDGED
        self._cells[source.overflow] = 0
        try:
            os.read(descriptor, _ALL)
        except BlockingIOError:
            pass
        found = self._take_any(source)
        if found is not None and nudged:
            self._cells[source.overflow] = NUDGED  # told once this signal is handled
        if self._cells[source.overflow]:
            _write(descriptor)  # for the one that was just read, if it belonged to a new mark
        if found is not None:
            return found
        return NUDGE if nudged else None


def _take(source: _Source, number: int) -> bool:
    """Take one from a counter if there is one; from before that on it is in this process's hands."""
    return running.take(number, source.counters + number * COUNTER_SIZE)


def discard(table: Table, endpoint: int) -> int:
    """Forget what is pending at an endpoint and return how much it was.

    For a worker number that a new process claims: what was raised for its predecessor is not for it.
    """
    forgotten = 0
    for number in range(ENDPOINT // COUNTER_SIZE):
        address = table.counter(endpoint, number)
        while not atomics.take(address):
            forgotten += 1
    return forgotten


def _is_shared(name: str) -> bool:
    return name in ("mule0", "worker0") or name.startswith(("farm.", "spool"))


def _write(descriptor: int) -> None:
    try:
        os.write(descriptor, _BYTE)
    except BlockingIOError:
        pass  # full, so not empty: whoever waits is awake
