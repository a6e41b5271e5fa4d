"""Large messages that nobody will ever ask for, as their senders died before they were sent.

A sender says in the table (H_STORING) that it stores one; from then on the master looks, until there is none
that is not in a queue. So a bus whose messages are small is never woken for this. Knows large messages and
the table.
"""

from __future__ import annotations

from ipcmules.bus import table
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.messages import large

#: How often they are looked for, seconds.
_LOOK = 0.5


class Strays:
    """Those of one bus."""

    def __init__(self, loop: Loop, objects: Objects) -> None:
        self._loop = loop
        self._objects = objects
        self._timer: Timer | None = None

    def look(self) -> None:
        """Begin to look if somebody stores a large message."""
        if self._timer is None and self._objects.table.cells[table.H_STORING]:
            self._timer = self._loop.later(_LOOK, self._collect)

    def close(self) -> None:
        """Look no more: what is left goes with the bus."""
        if self._timer is not None:
            self._timer.cancel()

    def _collect(self) -> None:
        cells = self._objects.table.cells
        # First the cell: who creates a file afterwards sets it, and who did before is found.
        cells[table.H_STORING] = 0
        if large.collect(self._objects.where):
            cells[table.H_STORING] = 1
        self._timer = None
        self.look()
