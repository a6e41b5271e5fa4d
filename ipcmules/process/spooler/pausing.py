"""What is paused of a spooler's directory; a cell of the table tells when that changes. Knows the file."""

from __future__ import annotations

from ipcmules.bus import log, table
from ipcmules.member.membership import Membership
from ipcmules.spooler import pauses


class Pausing:
    """Of one directory. number: its number, from 1."""

    def __init__(self, member: Membership, number: int, directory: str) -> None:
        #: True while no task at all is begun.
        self.everything = False
        #: Functions whose tasks are not begun.
        self.functions: frozenset[str] = frozenset()
        self._directory = directory
        self._cells = member.table.cells
        self._cell = member.table.spool(number) + table.D_PAUSES
        self._seen = -1

    def has_changed(self) -> bool:
        """True if it is to be read again."""
        return self._cells[self._cell] != self._seen

    def forget(self) -> None:
        """Have it read again, also where the master has not told."""
        self._seen = -1

    def read(self) -> None:
        """Read it, and say in the log what is different for the whole directory."""
        self._seen = self._cells[self._cell]
        found = pauses.read(self._directory)
        before, self.everything = self.everything, bool(found.everything)
        self.functions = frozenset(found.functions)
        if self.everything != before:
            text = "is paused: no task is begun" if self.everything else "is resumed"
            log.event("info", f"spool directory {self._directory} {text}")
