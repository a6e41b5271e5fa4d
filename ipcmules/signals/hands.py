"""Which signals this process has in hand: a bit each in its record of the table (R_HANDS).

The bit is set before a signal is taken from its counter and cleared when its handler has ended: who reads the
counter first and the bits afterwards (ipcmules/master/events/overlap.py) misses no run. Handlers may be
nested, run in several threads, or be coroutines that are done much later, so what is set is counted here.
"""

from __future__ import annotations

import os
import threading

from ipcmules.table import R_HANDS

#: A process with no record writes here, and nobody reads it.
_NOWHERE = memoryview(bytearray(32)).cast("Q")

_BITS = [1 << (number & 63) for number in range(256)]

_cells = _NOWHERE
_first = 0
_held: dict[int, int] = {}
# Reentrant: a Python signal handler may run, and take signals, in between.
_lock = threading.RLock()


def open_record(cells: memoryview, record: int) -> None:
    """From now on this process says it in the record that begins at this cell, with nothing in hand."""
    global _cells, _first
    with _lock:
        _cells, _first = cells, record + R_HANDS
        for number in range(4):
            _cells[_first + number] = 0
        for number in _held:
            _cells[_first + (number >> 6)] |= _BITS[number]


def close_record() -> None:
    """The record will be another process's."""
    global _cells, _first
    with _lock:
        _cells, _first = _NOWHERE, 0


def hold(number: int) -> None:
    """A signal, by its shared number, is about to be taken."""
    with _lock:
        if number in _held:
            _held[number] += 1
        else:
            _held[number] = 1
            _cells[_first + (number >> 6)] |= _BITS[number]


def release(number: int) -> None:
    """It was not there after all, or its handler has ended. More than was held does no harm."""
    with _lock:
        if _held.get(number, 1) > 1:
            _held[number] -= 1
        elif _held.pop(number, 0):
            _cells[_first + (number >> 6)] &= ~_BITS[number]


def is_held(cells: memoryview, record: int, number: int) -> bool:
    """True if the process whose record begins at this cell says that it has the signal in hand."""
    return bool(cells[record + R_HANDS + (number >> 6)] >> (number & 63) & 1)


def _after_fork() -> None:
    """A child has no record yet, and what its parent has in hand is not in its own."""
    global _cells, _first, _held, _lock
    _cells, _first, _held, _lock = _NOWHERE, 0, {}, threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
