"""This process's record of the table, as far as signals go: which it has in hand, a bit each (R_HANDS), and
what it counts.

The bit is set before a signal is taken from its counter and cleared when its handler has ended: who reads the
counter first and the bits afterwards (ipcmules/master/events/overlap.py) misses no run. Handlers may be
nested, run in several threads, or be coroutines that are done much later, so what is set is counted here.
"""

from __future__ import annotations

import os
import threading

from ipcmules.table import R_HANDS, RECORD, SIGNALS

#: A process with no record writes here, and nobody reads it.
_NOWHERE = memoryview(bytearray(RECORD)).cast("Q")

_BITS = [1 << (number & 63) for number in range(SIGNALS)]
#: The cell of a record that has a number's bit.
_CELLS = [R_HANDS + (number >> 6) for number in range(SIGNALS)]

_cells = _NOWHERE
_record = 0
#: How often each number is held; above 0 its bit is set.
_held = [0] * SIGNALS
# Reentrant: a Python signal handler may run, and take signals, in between.
_lock = threading.RLock()


def open_record(cells: memoryview, record: int) -> None:
    """From now on this process says it in the record that begins at this cell, with nothing in hand."""
    global _cells, _record
    with _lock:
        _cells, _record = cells, record
        for number in range(4):
            cells[record + R_HANDS + number] = 0
        for number, count in enumerate(_held):
            if count:
                cells[record + _CELLS[number]] |= _BITS[number]


def close_record() -> None:
    """The record will be another process's."""
    global _cells, _record
    with _lock:
        _cells, _record = _NOWHERE, 0


def hold(number: int) -> None:
    """A signal, by its shared number, is about to be taken."""
    with _lock:
        before = _held[number]
        _held[number] = before + 1
        if not before:
            _cells[_record + _CELLS[number]] |= _BITS[number]


def release(number: int) -> None:
    """It was not there after all, or its handler has ended. More than was held does no harm."""
    with _lock:
        before = _held[number]
        if before:
            _held[number] = before - 1
            if before == 1:
                _cells[_record + _CELLS[number]] &= ~_BITS[number]


def count(cell: int) -> None:
    """One more in a cell of the record, such as R_SIGNALS. Threads do so in turn: a cell has one writer."""
    with _lock:
        _cells[_record + cell] += 1


def is_held(cells: memoryview, record: int, number: int) -> bool:
    """True if the process whose record begins at this cell says that it has the signal in hand."""
    return bool(cells[record + _CELLS[number]] & _BITS[number])


def _after_fork() -> None:
    """A child has no record yet, and what its parent has in hand is not in its own."""
    global _cells, _record, _held, _lock
    _cells, _record, _held, _lock = _NOWHERE, 0, [0] * SIGNALS, threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
