"""An event is due: its signal is raised as any process raises one, or the tick is skipped. Never waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipcmules.bus import log, table
from ipcmules.errors import BusStopped, SignalError
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.overlap import Overlap
from ipcmules.master.objects.objects import Objects
from ipcmules.signals.raiser import Raiser

if TYPE_CHECKING:
    from ipcmules.master.events.ticks_of_cluster import TickNames


class Firing:
    """Raises the signals of events. While the bus stops nothing fires."""

    def __init__(self, objects: Objects, raiser: Raiser) -> None:
        self._cells = objects.table.cells
        self._raiser = raiser
        self._overlap = Overlap(objects)
        self._ticks: TickNames | None = None
        if objects.description.config.cluster:
            from ipcmules.master.events.ticks_of_cluster import TickNames

            self._ticks = TickNames(objects.table)

    def fire(self, event: Event, count: int = 1, due: float = 0.0) -> None:
        """The event is due so many times: raise its signal, unless it is paused.

        due: of a cron, when it was, in seconds since the epoch.
        """
        if event.paused:
            event.skips += count
        else:
            self.run(event, count, due)

    def run(self, event: Event, count: int = 1, due: float | None = None) -> None:
        """Raise the event's signal so many times. due: as in fire(); None where it is no tick."""
        if self._cells[table.H_STATE] not in (table.STARTING, table.READY):
            return
        for _ in range(count):
            if not event.spec.overlap and self._overlap.is_going(event.signal):
                event.skips += 1
                continue
            try:
                if self._ticks is None or due is None:
                    self._raiser.raise_signal(event.signal)
                else:
                    self._raiser.raise_once(event.signal, self._ticks.of(event, due))
            except (BusStopped, SignalError, OSError) as error:
                log.event("error", f"signal {event.signal} ({event.spec.describe()}) was not raised: {error}")
                return
            event.ticks += 1
            event.last = time.time()
