"""What a spooler knows of the tasks of its directory that have not been run: those due, and those due later.

Values only, and bounded: of what is due later the nearest are kept, the rest is found again by a look at the
directory.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

#: As many later tasks are kept, some 300 bytes each.
LIMIT = 250_000
#: So many tasks of its own a spooler takes before it looks for those of the others.
_WINDOW = 32
#: In a list that is not longer, all is tried that others may have taken.
_FEW = 1024


class Agenda:
    """Names relative to the directory; times in seconds since 1970."""

    def __init__(self, limit: int = LIMIT, share: int = 0, shares: int = 1) -> None:
        """share, shares: which of how many spoolers this is: each begins with other tasks (stagger)."""
        self._limit = limit
        self._share, self._shares = share, shares
        #: The tasks of the last look that are due, the first one last; '' ends a spooler's part of a window.
        self._ready: list[str] = []
        self._heap: list[tuple[float, str]] = []
        #: Names of later tasks and when they are due; the heap may hold older times of them too.
        self.later: dict[str, float] = {}
        #: True if the directory has more than is known here.
        self.incomplete = False
        self._skips = False

    def found(self, due: list[str], later: Iterable[tuple[float, str]], more: bool) -> None:
        """Take what a look at the directory found; `due` in order."""
        self._ready = due if self._shares == 1 else stagger(due, self._share, self._shares)
        self._skips = self._shares > 1 and len(due) > _FEW
        self._ready.reverse()
        self.incomplete = more
        for when, name in later:
            self.put(name, when)

    def put(self, name: str, when: float) -> None:
        """A task is due later."""
        if len(self.later) >= self._limit and name not in self.later:
            self._drop_farthest()
        self.later[name] = when
        heapq.heappush(self._heap, (when, name))

    def ready(self) -> bool:
        """True if there are tasks of the last look."""
        return bool(self._ready)

    def next(self, now: float) -> str | None:
        """The next task that is due, which is forgotten here; None if there is none."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, name = heapq.heappop(heap)
            if self.later.get(name) == when:
                del self.later[name]
                return name
        ready = self._ready
        while ready:
            if name := ready.pop():
                return name
        return None

    def missed(self) -> None:
        """Somebody else has, or had, the task that next() gave: leave the rest of that part to them.

        Who owns a part begins with its first task, the others with its last: so where they meet it is done.
        To try each task of the others costs as much as a third of running it. What is left nevertheless (its
        spooler died, one was removed by hand) the look finds that `incomplete` asks for.
        """
        if not self._skips:
            return
        ready = self._ready
        while ready and ready.pop():
            self.incomplete = True

    def due(self) -> float:
        """When the next of the later tasks is due; 0.0 if there is none."""
        heap = self._heap
        while heap and self.later.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else 0.0

    def _drop_farthest(self) -> None:
        nearest = sorted((when, name) for name, when in self.later.items())[: self._limit // 2]
        self._heap = nearest  # sorted, so a heap
        self.later = {name: when for when, name in nearest}
        self.incomplete = True


def stagger(names: list[str], share: int, shares: int) -> list[str]:
    """The same names, a window's every shares-th first: spoolers that read one directory don't fight over
    each task. '' follows each part, and the parts of the others stand from their ends.

    What one does not come to the others find at the end of the window, so that order holds but for a window.
    """
    found: list[str] = []
    for start in range(0, len(names), _WINDOW * shares):
        window = names[start : start + _WINDOW * shares]
        found += window[share::shares]
        found.append("")
        for turn in range(1, shares):
            found += reversed(window[(share + turn) % shares :: shares])
            found.append("")
    return found
