"""An inbox that ends its mule after a number of messages (--mule-max-msgs).

Knows the inbox it is one of, and the mule's record, where it says that the end is no failure.
"""

from __future__ import annotations

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import LEAVES_BY_COUNT, LEAVES_FOR_RELOAD, R_LEAVING, Table
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.messages.receive.listening import Dispatch
from ipcmules.messages.receive.waiting import Taker


def _nothing_loaded(everything: bool = True) -> bytes | None:
    return None


class CountingInbox(Inbox):
    """After `limit` messages the next receive raises SystemExit; what is queued is left for the successor."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker, limit: int
    ) -> None:
        super().__init__(where, description, shared, number, taker)
        self._remaining = limit
        # Every message is counted: none may come by the short way (membership.ready).
        self.next = _nothing_loaded
        self.ready = None

    def receive(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """As Inbox.receive(), which get() and the flat functions come to."""
        self._end_if_due()
        data = super().receive(timeout, signals, farms, dispatch)
        if data is not None:
            self._remaining -= 1
        return data

    def get_farm(
        self, timeout: float | None, signals: bool, dispatch: Dispatch, name: str | None = None
    ) -> bytes | None:
        """As Inbox.get_farm()."""
        self._end_if_due()
        data = super().get_farm(timeout, signals, dispatch, name)
        if data is not None:
            self._remaining -= 1
        return data

    def _end_if_due(self) -> None:
        # A mule that is told to stop drains what is queued, however much that is.
        if self._remaining > 0 or self._stopping:
            return
        leaving = self._record + R_LEAVING
        if self._cells[leaving] != LEAVES_FOR_RELOAD:
            self._cells[leaving] = LEAVES_BY_COUNT
        self.stop(drain=False)
