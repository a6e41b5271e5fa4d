"""Spoolers that rest (--spooler-cheap): they ended as they had nothing to do, and are started when there is.

Something to do is a message in their directory's queue, a signal, a task that is due (their last word was
when, S_NEXT), or a directory that has changed since, looked at as often as a spooler would. Knows the table
and the queues.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import posix_ipc

from ipcmules.bus import table
from ipcmules.master.children.children import Child
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.master.objects.spooldirs import number_of
from ipcmules.signals import fifos
from ipcmules.spooler.wake import Spools


class Resting:
    """Those of one bus, by directory. A directory's spoolers are started together, once all of them rest."""

    def __init__(self, loop: Loop, objects: Objects, spools: Spools, spawn: Callable[[Child], None]) -> None:
        self._loop = loop
        self._objects = objects
        self._spools = spools
        self._spawn = spawn
        self._config = objects.description.config
        self._all: dict[int, list[Child]] = {}
        #: Descriptors that are watched: the queue's, and those of the signal FIFOs, which are our own.
        self._watched: dict[int, tuple[int, ...]] = {}
        self._timers: dict[int, Timer] = {}
        self._changed: dict[int, int] = {}

    def add(self, child: Child) -> None:
        """A spooler has ended that had nothing to do."""
        number = number_of(self._config, child.number)
        child.resting = True
        resting = self._all.setdefault(number, [])
        resting.append(child)
        if len(resting) == len(self._config.spoolers_of(number)):
            self._wait(number)

    def close(self) -> None:
        """Start nobody any more."""
        for number in list(self._all):
            self._forget(number)
        self._all.clear()

    def _wait(self, number: int) -> None:
        try:
            where = self._objects.where
            signals = [fifos.open_fifo(where.fifo(f"spool{each}")) for each in (0, number)]
            self._watched[number] = (self._spools.descriptor(number), *signals)
        except (OSError, posix_ipc.Error):
            self._start(number)
            return
        self._changed[number] = self._version(number)
        for each in self._watched[number]:
            self._loop.watch(each, lambda: self._start(number))
        self._look(number)

    def _look(self, number: int) -> None:
        cells = self._objects.table.cells
        due = [cells[self._objects.table.spooler(child.number) + table.S_NEXT] for child in self._all[number]]
        nearest = min((each for each in due if each), default=0)
        # The clock may be set: never wait for it for longer than a spooler would.
        left = (nearest - time.time_ns()) / 1e9 if nearest else self._frequency
        looked = cells[self._objects.table.spool(number) + table.D_LOOK]
        if left <= 0 or looked or self._version(number) != self._changed[number]:
            self._start(number)
            return
        self._timers[number] = self._loop.later(min(left, self._frequency), lambda: self._look(number))

    @property
    def _frequency(self) -> float:
        return float(self._objects.table.cells[table.H_FREQUENCY] / 1e9) or self._config.spooler_frequency

    def _version(self, number: int) -> int:
        try:
            return os.stat(self._config.spooled[number - 1].directory).st_mtime_ns
        except OSError:
            return 0

    def _start(self, number: int) -> None:
        self._forget(number)
        for child in self._all.pop(number, []):
            child.resting = False
            self._spawn(child)

    def _forget(self, number: int) -> None:
        timer = self._timers.pop(number, None)
        if timer is not None:
            timer.cancel()
        watched = self._watched.pop(number, ())
        for each in watched:
            self._loop.forget(each)
        for each in watched[1:]:
            os.close(each)
