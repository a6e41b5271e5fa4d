"""An event is due: its signal is raised as any process raises one, or the tick is skipped. Never waits."""

from __future__ import annotations

import time

from ipcmules.bus import log, table
from ipcmules.errors import BusStopped, SignalError
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.overlap import Overlap
from ipcmules.master.objects.objects import Objects
from ipcmules.signals.raiser import Raiser


class Firing:
    """Raises the signals of events. While the bus stops nothing fires."""

    def __init__(self, objects: Objects, raiser: Raiser) -> None:
        self._cells = objects.table.cells
        self._raiser = raiser
        self._overlap = Overlap(objects)

    def fire(self, event: Event, count: int = 1) -> None:
        """The event is due so many times: raise its signal, unless it is paused."""
        if event.paused:
            event.skips += count
        else:
            self.run(event, count)

    def run(self, event: Event, count: int = 1) -> None:
        """Raise the event's signal so many times."""
        if self._cells[table.H_STATE] not in (table.STARTING, table.READY):
            return
        for _ in range(count):
            if not event.spec.overlap and self._overlap.is_going(event.signal):
                event.skips += 1
                continue
            try:
                self._raiser.raise_signal(event.signal)
            except (BusStopped, SignalError, OSError) as error:
                log.event("error", f"signal {event.signal} ({event.spec.describe()}) was not raised: {error}")
                return
            event.ticks += 1
            event.last = time.time()
