"""Worker numbers of dead processes are given back: attached processes are not the master's children.

Each one that holds a number is watched by a pidfd (pidfd_open(2)); one that claims a number writes to the
notify FIFO, which makes the supervisor call look().
"""

from __future__ import annotations

import os

from ipcmules import table
from ipcmules.errors import SignalError
from ipcmules.master import after_death
from ipcmules.master.loop import Loop
from ipcmules.master.objects import Objects
from ipcmules.processes import ProcessId
from ipcmules.signals.guard import registry_lock

#: When to try again while another process holds the registry's lock: the master waits for nobody. Seconds.
_AGAIN = 0.1


class Attached:
    """The worker records that name a process, and a descriptor of each process."""

    def __init__(self, loop: Loop, objects: Objects) -> None:
        self._loop = loop
        self._objects = objects
        self._watched: dict[int, tuple[ProcessId, int]] = {}

    def look(self) -> None:
        """Watch whoever has claimed a number since the last look."""
        cells = self._objects.table.cells
        for number in range(1, table.WORKER_SLOTS + 1):
            record = self._objects.table.worker(number)
            process = ProcessId(cells[record + table.R_PID], cells[record + table.R_START])
            known = self._watched.get(number)
            if process.pid and (known is None or known[0] != process):
                self._forget(number)
                self._watch(number, process)

    def close(self) -> None:
        """Watch nobody any more."""
        for number in list(self._watched):
            self._forget(number)

    def _watch(self, number: int, process: ProcessId) -> None:
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            self._ended(number, process)
            return
        if not process.alive():  # the pid is another process's by now
            os.close(descriptor)
            self._ended(number, process)
            return
        self._watched[number] = (process, descriptor)
        self._loop.watch(descriptor, lambda: self._ended(number, process))

    def _ended(self, number: int, process: ProcessId) -> None:
        self._forget(number)
        record, cells = self._objects.table.worker(number), self._objects.table.cells
        try:
            with registry_lock(self._objects.where, patience=0.0):
                # Somebody else may have claimed it meanwhile.
                if ProcessId(cells[record + table.R_PID], cells[record + table.R_START]) == process:
                    table.vacate_worker(self._objects.table, number)
        except SignalError:
            self._loop.later(_AGAIN, lambda: self._ended(number, process))
            return
        # It may have read a wake-up for the first available worker and not acted on it.
        after_death.nudge_workers(self._objects)

    def _forget(self, number: int) -> None:
        known = self._watched.pop(number, None)
        if known is not None:
            self._loop.forget(known[1])
            os.close(known[1])
