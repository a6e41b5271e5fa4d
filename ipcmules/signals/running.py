"""This process's record of the table, as far as signals go: which it has in hand, a bit each (R_HANDS), and
what it counts.

The bit is set before a signal is taken from its counter and cleared when its handler has ended: who reads the
counter first and the bits afterwards (ipcmules/master/events/overlap.py) misses no run. Handlers may be
nested, run in several threads, or be coroutines that are done much later, so what is set is counted here.

A signal handler of the program may raise, or take signals, in the middle of anything (kernel/interruption.py:
stretches). So taking, counting and writing down what was taken are one stretch, and what was taken stays
written down until its handler is called: whoever of that thread takes next gets it first. No other thread
runs in a stretch either, as the interpreter changes threads at the same places.
"""

from __future__ import annotations

import os

from ipcmules.bus.layout import RECORD, SIGNALS
from ipcmules.bus.table import (
    R_ALL_EXCEPTIONS,
    R_ALL_MESSAGES,
    R_ALL_SIGNALS,
    R_EXCEPTIONS,
    R_HANDS,
    R_MESSAGES,
    R_SIGNALS,
)
from ipcmules.kernel import atomics, unpatched

#: Cells that count anew with each process, and what all before it had.
_COUNTS = (
    (R_MESSAGES, R_ALL_MESSAGES),
    (R_SIGNALS, R_ALL_SIGNALS),
    (R_EXCEPTIONS, R_ALL_EXCEPTIONS),
)

#: A process with no record writes here, and nobody reads it.
_NOWHERE = memoryview(bytearray(RECORD)).cast("Q")
_ALL = (1 << 64) - 1

_BITS = [1 << (number & 63) for number in range(SIGNALS)]
#: The cell of a record that has a number's bit.
CELLS = [R_HANDS + (number >> 6) for number in range(SIGNALS)]
#: What a number's cell is masked with while it is not held, and while it is.
KEEP = [(_ALL ^ bit, _ALL) for bit in _BITS]

#: Where this process says it. This and what follows is public for Run.end() where that must not be a call.
own_cells = _NOWHERE
own_record = 0
#: How often each number is held; above 0 its bit is set.
held = [0] * SIGNALS
#: By thread: what it has taken and not begun, as number and the address of its counter. Oldest first.
_taken: dict[int, list[tuple[int, int]]] = {}


class Run:
    """A signal that was taken, until its handler has ended. number: the shared one.

    Whoever calls its handler begins it: in one stretch with the call, as until then it can be taken again.
    """

    __slots__ = ("begun", "mine", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.mine = _taken.setdefault(unpatched.get_ident(), [])
        self.begun = False

    def begin(self) -> None:
        """For a signal that no handler is called for. Does nothing if a handler of the program had it."""
        if self.mine and self.mine[0][0] == self.number:
            del self.mine[0]
            self.begun = True

    def end(self) -> None:
        """Its handler has ended, or there was none. Once is enough; nothing happens if it was not begun."""
        if self.begun:
            # From here on no call and no loop.
            self.begun = False
            left = held[self.number] = held[self.number] - 1
            own_cells[own_record + CELLS[self.number]] &= KEEP[self.number][left > 0]


def open_record(cells: memoryview, record: int) -> None:
    """From now on this process says it in the record that begins at this cell: nothing in hand or counted."""
    global own_cells, own_record
    for mine, of_all in _COUNTS:
        _fold(cells, record + mine, record + of_all)
    for number in range(4):
        cells[record + R_HANDS + number] = 0
    own_cells, own_record = cells, record
    for number, count in enumerate(held):
        if count:
            cells[record + CELLS[number]] |= _BITS[number]


def _fold(cells: memoryview, mine: int, of_all: int) -> None:
    """Count anew, and remember. Whoever is killed in between, nothing is counted twice (total())."""
    before = cells[of_all]
    if not before & 1:
        cells[of_all] = (before + 2 * cells[mine]) | 1
    cells[mine] = 0
    cells[of_all] &= ~1 & _ALL


def total(cells: memoryview, record: int, cell: int) -> int:
    """What a record's processes have counted in a cell (R_MESSAGES, ...), this one and all before it.

    Needs no lock, and never goes down.
    """
    mine, of_all = record + cell, record + dict(_COUNTS)[cell]
    while True:
        before = cells[of_all]
        now = 0 if before & 1 else cells[mine]
        if cells[of_all] == before:
            return int(before // 2 + now)


def close_record() -> None:
    """The record will be another process's."""
    global own_cells, own_record
    own_cells, own_record = _NOWHERE, 0


def take(number: int, address: int) -> bool:
    """Take one of a signal, by its shared number, from the counter at this address. False if it was 0.

    From before that on it is in this process's hands, and to be begun by this thread (waiting()).
    """
    mine = _taken.setdefault(unpatched.get_ident(), [])
    cell, keep, steps = CELLS[number], KEEP[number], map(atomics.take, (address,))
    one = [(number, address)]
    # From here on no call and no loop, but the one step of C code. atomics.take gives 0 or, if it failed, -1.
    held[number] += 1
    own_cells[own_record + cell] |= _BITS[number]
    for failed in steps:
        mine += one * (failed + 1)
        left = held[number] = held[number] + failed
        own_cells[own_record + cell] &= keep[left > 0]
        return not failed
    return False


def waiting() -> int | None:
    """The signal that this thread has taken and not begun: an interrupted call left it. Comes first."""
    mine = _taken.get(unpatched.get_ident())
    return mine[0][0] if mine else None


def give_back() -> None:
    """The process ends: what was taken and not begun is taken by whoever comes next."""
    for mine in list(_taken.values()):
        while mine:
            number, address = mine[0]
            run = Run(number)
            run.mine = mine
            run.begin()
            run.end()
            atomics.increment(address)


def count(cell: int) -> None:
    """One more in a cell of the record, such as R_SIGNALS."""
    own_cells[own_record + cell] += 1


def is_held(cells: memoryview, record: int, number: int) -> bool:
    """True if the process whose record begins at this cell says that it has the signal in hand."""
    return bool(cells[record + CELLS[number]] & _BITS[number])


def _after_fork() -> None:
    """A child has no record yet, and what its parent has in hand is not in its own."""
    global own_cells, own_record, held, _taken
    own_cells, own_record, held, _taken = _NOWHERE, 0, [0] * SIGNALS, {}


os.register_at_fork(after_in_child=_after_fork)
