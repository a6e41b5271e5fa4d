"""What is raised and goes to no process of this bus now: it is held until one can have it, left to the
carrier, or dropped and counted.

Knows the table, and the outbox of a cluster. The numbers are the bus's own (registry.shared gives them).
"""

from __future__ import annotations

import os

from ipcmules.bus.places import Places
from ipcmules.bus.table import E_HANDLER, H_DROPPED, H_STATE, STARTING, STOPPING, Table
from ipcmules.errors import SignalError
from ipcmules.kernel import atomics
from ipcmules.kernel.exhaustion import importing

#: The numbers that were logged, each with process and bus: a process may have several raisers of one.
_said: set[tuple[int, str, int]] = set()


class Aside:
    """Of one raiser on one bus. Any thread may use it."""

    def __init__(self, where: Places, table: Table) -> None:
        self._where = where
        self._table = table

    def hold(self, number: int, states: tuple[int, ...] = (STARTING, STOPPING)) -> bool:
        """The app is being loaded and may register it: the master raises it when the bus is ready.

        Returns False if it was too late for that: the bus is in none of the states. Who finds its count gone
        had it taken (Raiser._take_back).
        """
        counter = self._held(number)
        if atomics.increment(counter):
            raise too_many(number)
        # A bus may stop without having been ready: what is held then is saved.
        if self._table.cells[H_STATE] in states:
            return True
        return bool(atomics.take(counter))

    def take(self, number: int) -> bool:
        """Take one of what is held of a number. False where nothing is."""
        return not atomics.take(self._held(number))

    def to_cluster(self, number: int, target: str, tick: str = "") -> None:
        """Leave the raise to the carrier, in the outbox. Raises LimitError where the disk is full.

        tick: its name, where it is a tick that other hosts have too.
        """
        with importing:
            from ipcmules.cluster import outbox

        outbox.put_signal(self._where, number, target, self._table.text(number, E_HANDLER), tick)

    def drop(self, number: int, why: str) -> None:
        """Count it as dropped, and log it, once a number and process."""
        self._table.cells[H_DROPPED] += 1
        self.say_once(number, f"dropped: {why}")

    def say_once(self, number: int, what: str) -> None:
        """Log what becomes of a signal, unless this process has said something of its number before."""
        said = os.getpid(), self._where.kernel, number
        if said in _said:
            return
        _said.add(said)
        with importing:
            from ipcmules.bus import log

        log.event("warning", f"signal {number} {what} (said once a number and process)")

    def _held(self, number: int) -> int:
        """Address of the counter of what waits to be raised."""
        return self._table.counter(self._table.layout.held, number)


def too_many(number: int) -> SignalError:
    """The error of a counter that is full."""
    return SignalError(f"signal {number}: {2**31 - 1} raises are pending at one target already")
