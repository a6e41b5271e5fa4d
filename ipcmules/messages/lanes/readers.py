"""The readers of all lanes behind one queue, for one receiver: each is made when its lane is first seen.

Knows how many lanes a queue has; a reader is whatever its maker makes of a lane's number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ipcmules.messages.lanes.directory import Q_LANES, Directory

_Reader = TypeVar("_Reader")


class Readers(Generic[_Reader]):
    """make: from a lane's number to its reader."""

    def __init__(self, directory: Directory, queue: int, make: Callable[[int], _Reader]) -> None:
        self._cells = directory.cells
        self._lanes = directory.record(queue) + Q_LANES
        self._make = make
        self._known: list[_Reader] = []
        #: By the number of the lane.
        self.of: dict[int, _Reader] = {}

    @property
    def used(self) -> bool:
        """True once there was a lane."""
        return self._cells[self._lanes] > 0

    def all(self) -> list[_Reader]:
        """One for each lane there is by now, by number."""
        known, count = self._known, self._cells[self._lanes]
        if len(known) >= count:
            return known
        # Each under its number, in one step: threads, and a signal handler that receives, meet here.
        while (lane := len(self.of)) < count:
            self.of.setdefault(lane, self._make(lane))
        self._known = known = list(self.of.values())
        return known
