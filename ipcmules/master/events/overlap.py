"""Whether the former run of a signal's handler is still going: it waits for a process, or a process has it
in hand.

Counters are read first, then what the processes say (signals/running.py): a process says that it has a
signal in hand before it takes it from the counter, and until its handler has ended. What a dead process says
does not count.
"""

from __future__ import annotations

from ipcmules.bus import table
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.kernel.atomics import COUNTER_SIZE
from ipcmules.master.objects.objects import Objects
from ipcmules.signals import awaited, running
from ipcmules.signals.targets import resolve

_ZERO = bytes(COUNTER_SIZE)


class Overlap:
    """Looks at the table of one bus."""

    def __init__(self, objects: Objects) -> None:
        self._table = objects.table
        self._config = objects.description.config
        shared = objects.table
        self._workers = {number: shared.worker(number) for number in range(1, WORKER_SLOTS + 1)}
        mules = [shared.mule(number) for number in range(1, shared.layout.mules + 1)]
        spoolers = [shared.spooler(number) for number in range(1, shared.layout.spoolers + 1)]
        #: Where the records of all processes begin, which is asked for at every tick.
        self._records = [*mules, *spoolers, *self._workers.values()]

    def is_going(self, signal: int) -> bool:
        """True if a signal (a shared number) is pending where it would be raised, or in anybody's hands."""
        return self._is_pending(signal) or self._is_in_hand(signal)

    def _is_pending(self, signal: int) -> bool:
        shared = self._table
        if not shared.cells[shared.entry(signal) + table.E_STAMP]:
            return False
        meaning = resolve(shared.text(signal, table.E_TARGET), self._config)
        workers = awaited.expected(self._table) if meaning.follows_workers else []
        return any(
            self._was_there(endpoint) and self._counts(endpoint, signal)
            for endpoint in meaning.endpoints(shared.layout, workers)
        )

    def _counts(self, endpoint: int, signal: int) -> bool:
        start = self._table.layout.counter_offset(endpoint, signal)
        return self._table.memory[start : start + COUNTER_SIZE] != _ZERO

    def _was_there(self, endpoint: int) -> bool:
        """False for a worker that never was: to look at its counters would allocate them."""
        worker = endpoint - self._table.layout.worker_endpoint(0)
        return worker <= 0 or bool(self._table.cells[self._workers[worker] + table.R_SINCE])

    def _is_in_hand(self, signal: int) -> bool:
        cells = self._table.cells
        return any(running.is_held(cells, each, signal) and self._table.lives(each) for each in self._records)
