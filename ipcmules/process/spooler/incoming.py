"""The names that come to a spooler by its directory's queue: the next to try, or, by priority, put among the
others.

Where the queue could not take all names (the cell D_LOOK) the directory is looked at instead. Knows the queue
and what is known of the directory's tasks; runs none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ipcmules.bus import table
from ipcmules.member.membership import Membership
from ipcmules.process.spooler.agenda import Agenda
from ipcmules.process.spooler.left import Left
from ipcmules.process.spooler.looking import Looking
from ipcmules.process.spooler.waking import Waking
from ipcmules.spooler import names

#: By priority: the directory is read again beside work no more often, seconds.
_RARELY = 0.05


class Incoming:
    """Of one spooler. number: that of its directory, from 1. is_sorted: its tasks are taken by priority."""

    def __init__(
        self,
        member: Membership,
        number: int,
        is_sorted: bool,
        waking: Waking,
        looking: Looking,
        left: Left,
        agenda: Agenda,
    ) -> None:
        #: True once tasks are taken by priority.
        self.is_sorted = is_sorted
        self._cells = member.table.cells
        spool = member.table.spool(number)
        self._look_cell = spool + table.D_LOOK
        self._numbered_cell = spool + table.D_NUMBERED
        self._waking = waking
        self._looking = looking
        self._left = left
        self._agenda = agenda
        #: By priority: when to read the directory again though there is work (time.monotonic()).
        self._next_look = 0.0
        if is_sorted:
            self._cells[self._numbered_cell] = 1

    def must_look(self) -> bool:
        """True if there is more than the queue tells."""
        return self._cells[self._look_cell] != 0

    def next(self) -> str | None:
        """The next task to try where the agenda has none; None if there is nothing to do now."""
        if self._cells[self._look_cell] or self._agenda.incomplete:
            return self._look()
        for name in self._names():
            if not name or self._cells[self._look_cell]:  # what the queue did not take is older
                return self._look()
            if self._left.is_news(name):
                return name
        return None

    def gather(self) -> None:
        """By priority: put what has come among what is known, as it may have to be run first."""
        if not self._cells[self._numbered_cell]:
            return
        if not self.is_sorted:
            self.is_sorted = True
            self._agenda.sort(names.order_key)
        now = time.monotonic()
        if self._cells[self._look_cell] and now >= self._next_look:
            self._looking.look()
            after = time.monotonic()
            self._next_look = after + max(_RARELY, 10 * (after - now))
        if self._cells[self._look_cell]:
            return
        for name in self._names():
            if not name:
                self._cells[self._look_cell] = 1
            elif self._left.is_news(name):
                self._agenda.add(name)
            if self._cells[self._look_cell]:
                return

    def _look(self) -> str | None:
        self._looking.look()
        return self._agenda.next(time.time())

    def _names(self) -> Iterator[str]:
        """What the queue says; "" to look at the directory."""
        while (told := self._waking.receive()) is not None:
            yield told.decode("utf-8", "surrogateescape")
