"""A mule's or spooler's own record in the shared table, and the word to the master that it changed.

Knows the table's cells and the notify FIFO.
"""

from __future__ import annotations

import time

from ipcmules.bus import table
from ipcmules.kernel import processes
from ipcmules.kernel.notify import tell_master
from ipcmules.member.membership import Membership
from ipcmules.signals import running


class Record:
    """The record of the mule or spooler that this process is."""

    def __init__(self, member: Membership) -> None:
        self._member = member
        self._cells = member.table.cells
        self._first = member.table.record(member.role, member.number)

    def open(self) -> None:
        """Say that this process is it now, and is loading. It counts anew, as its uptime does."""
        cells, first, me = self._cells, self._first, processes.current()
        cells[first + table.R_READER] = 0
        cells[first + table.R_ENTERED] = 0
        cells[first + table.R_DEADLINE] = 0
        cells[first + table.R_DOING] = cells[first + table.R_SENDING] = 0
        running.open_record(cells, first)
        cells[first + table.R_CHANGED] = time.monotonic_ns()
        cells[first + table.R_LAUNCHED] = 1
        cells[first + table.R_STATE] = table.LOADING
        cells[first + table.R_START] = me.start
        cells[first + table.R_PID] = me.pid

    def entered(self) -> None:
        """Say that everything is loaded and the program or the wait loop begins."""
        now = time.monotonic_ns()
        self._cells[self._first + table.R_ENTERED] = now
        self._cells[self._first + table.R_CHANGED] = now
        self._cells[self._first + table.R_STATE] = table.ENTERED
        tell_master(self._member.where.notify)

    def serving(self) -> None:
        """Say that this process is in its wait loop, with something to do until the loop says otherwise."""
        self._cells[self._first + table.R_STATE] = table.BUSY

    @property
    def is_reloaded(self) -> bool:
        """True if the master replaces this process: what is queued is for its successor and the others."""
        return bool(self._cells[self._first + table.R_LEAVING] == table.LEAVES_FOR_RELOAD)

    @property
    def state(self) -> int:
        """R_STATE."""
        return int(self._cells[self._first + table.R_STATE])
