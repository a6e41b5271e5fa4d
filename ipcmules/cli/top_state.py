"""What `ipcmules top` has looked at last, and what its user has chosen. Knows the snapshot."""

from __future__ import annotations

from ipcmules.bus.places import Places
from ipcmules.snapshot import Snapshot, take
from ipcmules.snapshot.ages import Ages
from ipcmules.snapshot.rates import Rates, between


class State:
    """One per run of the command."""

    def __init__(self, where: Places, order: str, page: int) -> None:
        """order: a key of ORDERS. page: a place in PAGES."""
        self.order = order
        self.page = page
        #: The key of the line that is looked into, '' for none.
        self.inside = ""
        self.rates = Rates()
        self._ages = Ages()
        self._where = where
        self.seen: Snapshot = Snapshot(where.bus, "absent", 0.0, where.runtime)

    def look(self) -> None:
        """Take another snapshot. Raises as take()."""
        found = take(self._where, events=self.page == EVENTS and not self.inside)
        before, self.seen = self.seen, self._ages.of(found)
        self.rates = between(before, self.seen)


#: The page for which the master is asked for its events (PAGES in top_lines.py).
EVENTS = 2
