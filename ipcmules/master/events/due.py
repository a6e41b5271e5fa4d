"""What is due next: a heap of events, each with one time at most. Pure; knows no clock."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from ipcmules.master.events.catalogue import Event

Time = TypeVar("Time", int, float)


class Due(Generic[Time]):
    """Events by the time at which they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[Time, int, Event]] = []
        #: Which entry of the heap counts; the others are left there until they come to the top.
        self._entries: dict[str, tuple[Time, int]] = {}
        self._order = 0

    def put(self, event: Event, time: Time) -> None:
        """It is due at that time, and at no other."""
        self._order += 1
        self._entries[event.digest] = (time, self._order)
        heapq.heappush(self._heap, (time, self._order, event))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [each for each in self._heap if self._counts(each)]
            heapq.heapify(self._heap)

    def drop(self, event: Event) -> None:
        """It is not due at all."""
        self._entries.pop(event.digest, None)

    def time_of(self, event: Event) -> Time | None:
        """When it is due, None if it is not."""
        entry = self._entries.get(event.digest)
        return entry[0] if entry is not None else None

    def first(self) -> Time | None:
        """The nearest time, None if nothing is due."""
        heap = self._heap
        while heap and not self._counts(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: Time) -> list[tuple[Time, Event]]:
        """What is due by now, in order; it is due no more."""
        found = []
        while (first := self.first()) is not None and first <= now:
            time, _order, event = heapq.heappop(self._heap)
            del self._entries[event.digest]
            found.append((time, event))
        return found

    def _counts(self, entry: tuple[Time, int, Event]) -> bool:
        return self._entries.get(entry[2].digest) == entry[:2]
