"""A spooler's looks at its directory: when the next is due, and what one finds.

Fills the agenda, sweeps what dead processes left, and counts the attempts of those. Knows the store and the
table; runs no task.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ipcmules.bus import log, table
from ipcmules.member.membership import Membership
from ipcmules.process.spooler.agenda import Agenda
from ipcmules.process.spooler.running import Runner
from ipcmules.process.spooler.siblings import Siblings
from ipcmules.process.spooler.telling import tell_death
from ipcmules.process.spooler.waking import Waking
from ipcmules.spooler.in_hand import Hand

#: A directory whose modification time is younger than this may change without another time, seconds.
_TICK = 0.1
#: A look is never left out so often in a row, changed directory or not.
_MOST_SKIPPED = 20
#: How long to wait before a directory that could not be read is read again, seconds: at first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class Looking:
    """Of one spooler. number: that of its directory, from 1."""

    def __init__(
        self,
        member: Membership,
        number: int,
        runner: Runner,
        hand: Hand,
        agenda: Agenda,
        siblings: Siblings,
        waking: Waking,
    ) -> None:
        #: When the next look is due (time.monotonic()).
        self.next = 0.0
        #: How long to wait for the directory, seconds; 0.0: it could be read.
        self.unread = 0.0
        self._store = runner.store
        self._runner = runner
        self._hand = hand
        self._agenda = agenda
        self._siblings = siblings
        self._waking = waking
        self._cells = member.table.cells
        spool = member.table.spool(number)
        self._look_cell = spool + table.D_LOOK
        self._numbered_cell = spool + table.D_NUMBERED
        self._seen: tuple[int, float] = (0, 0.0)
        self._skipped = 0

    def frequency(self) -> float:
        """How often the directory is looked at without being told, seconds."""
        return float(self._cells[table.H_FREQUENCY] / 1e9)

    def expect_change(self) -> None:
        """What is next to be seen there makes no other time: look whether it has changed or not."""
        self._skipped = _MOST_SKIPPED

    def look(self) -> None:
        """Read the directory."""
        self._cells[self._look_cell] = 0
        self._waking.drain()
        self._seen = self._version(), time.time()
        self._skipped = 0
        self.next = time.monotonic() + self.frequency()
        runner = self._runner
        if runner.terms.frequency != self.frequency():
            runner.terms = replace(runner.terms, frequency=self.frequency())
        self._hand.renew()
        runner.renew()
        agenda = self._agenda
        known = len(agenda.later)
        try:
            found = self._store.scan(agenda.later)
        except OSError as error:
            # It is not empty for that: what is known stays, and it is read again soon.
            self._read_again(f"{self._store.path}: {error.strerror}")
            return
        if found.unread:
            self._read_again(found.unread)
        elif self.unread:
            self.unread = 0.0
            log.event("info", f"spool directory {self._store.path} can be read again")
        runner.say_refused(found.refused)
        if found.numbered:
            self._cells[self._numbered_cell] = 1
        agenda.found(found.due, found.later, found.more)
        if not found.due and known and len(agenda.later) <= known:
            agenda.incomplete = False  # all that is more is later still
        self._siblings.say_hand(self._hand.prepare())
        runner.sweep_results()
        if found.ours:
            self._see_ours(found.ours)

    def _see_ours(self, ours: list[str]) -> None:
        self._store.sweep(ours)
        for death in self._store.deaths(ours):
            log.event("warning", tell_death(death))
            if death.verdict is not None and death.verdict.due:
                self._agenda.put(death.name, death.verdict.due)

    def look_if_changed(self) -> None:
        """A look is due, and may be left out."""
        version, (seen, when) = self._version(), self._seen
        self._skipped += 1
        if version == seen and version / 1e9 < when - _TICK and self._skipped < _MOST_SKIPPED:
            self.next = time.monotonic() + self.frequency()
            return
        self.look()

    def _read_again(self, problem: str) -> None:
        """Something of the directory could not be read: try again, after growing waits."""
        if not self.unread:
            log.event(
                "warning",
                f"spool directory {problem}: it cannot be read, tasks in it wait until it can (said once)",
            )
        self.unread = min(2 * self.unread, _LONGEST_WAIT, self.frequency()) or _FIRST_WAIT
        self.next = time.monotonic() + self.unread
        self.expect_change()

    def _version(self) -> int:
        try:
            return os.stat(self._store.path).st_mtime_ns
        except OSError:
            return 0
