"""Worker numbers of dead processes are given back: attached processes are not the master's children.

Each one that holds a number is watched by a pidfd (pidfd_open(2)); one that claims a number writes to the
notify FIFO, which makes the supervisor call look(). One for which no descriptor is left is looked at every
second instead: that it cannot be watched says nothing about its life.
"""

from __future__ import annotations

import os
from functools import partial

from ipcmules.bus import log, table
from ipcmules.bus.layout import SIGNALS, WORKER_SLOTS
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import atomics, exhaustion
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.children import after_death
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.signals import targets
from ipcmules.signals.raiser import Raiser
from ipcmules.signals.registry_lock import registry_lock
from ipcmules.signals.threads import threads

#: When to try again while another process holds the registry's lock: the master waits for nobody. Seconds.
_AGAIN = 0.1
#: How often those are looked at that cannot be watched, seconds.
_LOOK = 1.0


class Attached:
    """The worker records that name a process, and a descriptor of each process."""

    def __init__(self, loop: Loop, objects: Objects, raiser: Raiser) -> None:
        self._loop = loop
        self._raiser = raiser
        self._objects = objects
        #: By number; the descriptor is -1 for one that cannot be watched.
        self._watched: dict[int, tuple[ProcessId, int]] = {}
        self._timer: Timer | None = None
        self._said = False

    def look(self) -> None:
        """Watch whoever has claimed a number since the last look."""
        for number in range(1, WORKER_SLOTS + 1):
            record = self._objects.table.worker(number)
            process = self._objects.table.process(record)
            known = self._watched.get(number)
            if process.pid and (known is None or known[0] != process):
                self._forget(number)
                self._watch(number, process)

    def close(self) -> None:
        """Watch nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        for number in list(self._watched):
            self._forget(number)

    def _watch(self, number: int, process: ProcessId) -> None:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self._ended(number, process)
            return
        except OSError as error:
            self._watched[number] = process, -1
            self._see_later(error)
            return
        if not process.alive():  # the pid is another process's by now
            os.close(descriptor)
            self._ended(number, process)
            return
        self._watched[number] = (process, descriptor)
        self._loop.watch(descriptor, lambda: self._ended(number, process))

    def _see_later(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            remedy = exhaustion.remedy(error) or "use Linux 5.3 or later"
            log.event(
                "warning",
                f"worker processes cannot be watched: {error.strerror}; "
                f"{remedy}. Until then the number of one that ends "
                f"is free after {_LOOK:g} s",
            )
        if self._timer is None:
            self._timer = self._loop.later(_LOOK, self._look_at_unwatched)

    def _look_at_unwatched(self) -> None:
        self._timer = None
        for number, (process, descriptor) in list(self._watched.items()):
            if descriptor >= 0:
                continue
            if process.alive():
                del self._watched[number]
                self._watch(number, process)
            else:
                self._ended(number, process)

    def _ended(self, number: int, process: ProcessId) -> None:
        self._forget(number)
        record = self._objects.table.worker(number)
        try:
            with threads(), registry_lock(self._objects.where, patience=0.0):
                # Somebody else may have claimed it meanwhile.
                if self._objects.table.process(record) == process:
                    table.vacate_worker(self._objects.table, number)
        except IpcMulesError:  # another process has the lock, or there is no descriptor for it
            self._loop.later(_AGAIN, lambda: self._ended(number, process))
            return
        self._raise_again(number)
        # It may have read a wake-up for the first available worker and not acted on it.
        self._loop.attempt(partial(after_death.nudge_workers, self._objects))

    def _raise_again(self, number: int) -> None:
        """What was for the first available worker and was handed on to this one is another's."""
        shared = self._objects.table
        endpoint = shared.layout.worker_endpoint(number)
        for signum in range(SIGNALS):
            if (
                shared.cells[shared.entry(signum) + table.E_STAMP]
                and targets.resolve(
                    shared.text(signum, table.E_TARGET), self._objects.description.config
                ).first
            ):
                while not atomics.take(shared.counter(endpoint, signum)):
                    self._raiser.raise_signal(signum)

    def _forget(self, number: int) -> None:
        known = self._watched.pop(number, None)
        if known is not None and known[1] >= 0:
            self._loop.forget(known[1])
            os.close(known[1])
