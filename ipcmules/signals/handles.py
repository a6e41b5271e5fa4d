"""Which signals a worker has handlers for: a bit each in its record (R_HANDLES), written by itself.

A signal for all workers goes to those that have the bit. One for the first available worker may be taken by
one that has not; it then goes on to one that has (Raiser.hand_on).
"""

from __future__ import annotations

from collections.abc import Iterable

from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.table import R_HANDLES, Table


def tell(table: Table, number: int, handled: Iterable[int]) -> bool:
    """Write the bits of a worker, by its number. Returns True if that changes anything."""
    bits = [0] * 4
    for signum in handled:
        bits[signum >> 6] |= 1 << (signum & 63)
    first = table.worker(number) + R_HANDLES
    if table.cells[first : first + 4].tolist() == bits:
        return False
    for index, each in enumerate(bits):
        table.cells[first + index] = each
    return True


def has(table: Table, number: int, signum: int) -> bool:
    """True if the worker of that number says that it handles the signal."""
    cell = table.worker(number) + R_HANDLES + (signum >> 6)
    return bool(table.cells[cell] >> (signum & 63) & 1)


def workers(table: Table, signum: int) -> list[int]:
    """The numbers of the living workers that handle a signal."""
    return [
        each
        for each in range(1, WORKER_SLOTS + 1)
        if has(table, each, signum) and table.lives(table.worker(each))
    ]
