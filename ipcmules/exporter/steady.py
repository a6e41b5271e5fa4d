"""Counters that never go down within a life of the bus, whatever is read while somebody writes."""

from __future__ import annotations

import threading
from collections.abc import Hashable


class Steady:
    """Remembers the highest number of each counter; forgets all of them with a new life of the bus."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._generation = 0
        self._highest: dict[Hashable, float] = {}
        #: Of numbers that begin anew with each process: which process it was, and what those before it had.
        self._before: dict[Hashable, tuple[int, float, float]] = {}
        #: Of numbers that go up and down: the last one, and by how much it went up in all.
        self._up: dict[Hashable, tuple[float, float]] = {}

    def begin(self, generation: int) -> None:
        """What follows is of this life."""
        with self._turn:
            if generation != self._generation:
                self._generation = generation
                self._highest.clear()
                self._before.clear()
                self._up.clear()

    def value(self, key: Hashable, number: float) -> float:
        """The number, or the highest there was: some have several writers (docs/formats-table.md)."""
        with self._turn:
            highest = self._highest[key] = max(number, self._highest.get(key, 0))
            return highest

    def up(self, key: Hashable, number: float) -> float:
        """By how much the number has gone up in all, as far as it was seen here; first the number itself."""
        with self._turn:
            last, up = self._up.get(key, (0.0, 0.0))
            up += max(number - last, 0.0)
            self._up[key] = number, up
            return up

    def added(self, key: Hashable, pid: int, number: float) -> float:
        """The number and those of the processes before it, as far as they were seen here."""
        with self._turn:
            known, before, last = self._before.get(key, (pid, 0.0, 0.0))
            if known != pid:
                before += last
                last = 0.0
            self._before[key] = pid, before, max(number, last)
            return before + max(number, last)
