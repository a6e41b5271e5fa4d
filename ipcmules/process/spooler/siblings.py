"""What a spooler says in its record, and the others of its directory: who sleeps beside work is woken.

Knows the table and the directory's queue.
"""

from __future__ import annotations

import os
import time

from ipcmules.bus import table
from ipcmules.member.membership import Membership

#: Another spooler is told of a task that is due soon no more often than this, seconds.
_RARELY = 1.0


class Siblings:
    """The spoolers of one directory, seen by one of them."""

    def __init__(self, member: Membership, number: int) -> None:
        config = member.description.config
        others = (each for each in config.spoolers_of(number) if each != member.number)
        self._states = [member.table.spooler(each) + table.R_STATE for each in others]
        self._cells = member.table.cells
        self._memory = member.table.memory
        self._spools = member.spools
        self._number = number
        self._length = member.table.spooler(member.number) + table.S_TASK
        self._record = member.table.spooler(member.number)
        self._name = self._record * 8 + table.S_TASK_NAME
        self._told = 0.0

    def say_task(self, name: str) -> None:
        """This spooler has a task in hand; it takes that back by S_TASK 0."""
        self.say(name.encode("utf-8", "surrogateescape")[: table.LONGEST_TASK])

    def say(self, name: bytes) -> None:
        """As say_task(), for a name that has room there."""
        length, start = len(name), self._name
        self._memory[start : start + length] = name
        self._cells[self._length] = length

    def say_hand(self, name: str) -> None:
        """The file that says what this spooler runs (spooler/in_hand.py), for the master at its death."""
        data = os.fsencode(name)
        if len(data) > table.LONGEST_HAND:
            data = b""  # found by the next look at the directory
        start = self._record * 8 + table.S_HAND_NAME
        self._memory[start : start + len(data)] = data
        self._cells[self._record + table.S_HAND] = len(data)

    def wake_one(self) -> None:
        """There is more to do than this spooler does: wake one that sleeps."""
        cells = self._cells
        for each in self._states:
            if cells[each] == table.WAITING:
                self._spools.nudge(self._number)
                return

    def tell_of_later(self) -> None:
        """A task is due soon that only this spooler knows of: another may be idle then."""
        now = time.monotonic()
        if self._states and now - self._told > _RARELY:
            self._told = now
            self.wake_one()
