"""What a spooler knows of the tasks of its directory that have not been run: those due, and those due later.

Values only, and bounded: of what is due later the nearest are kept, the rest is found again by a look at the
directory.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

#: As many later tasks are kept, some 300 bytes each.
LIMIT = 250_000
#: So many tasks of its own a spooler takes before it looks for those of the others.
_WINDOW = 32
#: With --spooler-ordered; order holds but for so many of each.
_ORDERED_WINDOW = 4
#: In a list that is not longer, all is tried that others may have taken.
_FEW = 1024


class Agenda:
    """Names relative to the directory; times in seconds since 1970."""

    def __init__(
        self,
        limit: int = LIMIT,
        share: int = 0,
        shares: int = 1,
        order: Callable[[str], bytes] | None = None,
    ) -> None:
        """share, shares: which of how many spoolers this is: each begins with other tasks (stagger).

        order: the key by which add()'s names and those due now are put among the others; None: they are not.
        """
        self._limit = limit
        self._share, self._shares = share, shares
        #: The tasks of the last look that are due, the first one last; '' ends a spooler's part of a window.
        self._ready: list[str] = []
        self._order = order
        self._window = _WINDOW if order is None else _ORDERED_WINDOW
        #: True if what next() gave last comes from a look at the directory.
        self.looked = True
        #: What add() gave, by its key.
        self._told: list[tuple[bytes, str]] = []
        self._heap: list[tuple[float, str]] = []
        #: Names of later tasks and when they are due; the heap may hold older times of them too.
        self.later: dict[str, float] = {}
        #: True if the directory has more than is known here.
        self.incomplete = False
        self._skips = False

    def found(self, due: list[str], later: Iterable[tuple[float, str]], more: bool) -> None:
        """Take what a look at the directory found; `due` in order."""
        self._ready = due if self._shares == 1 else stagger(due, self._share, self._shares, self._window)
        self._skips = self._shares > 1 and len(due) > _FEW
        self._ready.reverse()
        self._told.clear()  # a look finds them too
        self.incomplete = more
        for when, name in later:
            self.put(name, when)

    def add(self, name: str) -> None:
        """A task has come, to be run in its order."""
        assert self._order is not None
        heapq.heappush(self._told, (self._order(name), name))

    def put(self, name: str, when: float) -> None:
        """A task is due later."""
        if len(self.later) >= self._limit and name not in self.later:
            self._drop_farthest()
        self.later[name] = when
        heapq.heappush(self._heap, (when, name))

    def hold(self, name: str, until: float) -> None:
        """A task is somebody else's to remember: a look does not bring it."""
        self.later[name] = until

    def unhold(self, name: str) -> None:
        """It is known here no longer."""
        self.later.pop(name, None)

    def sort(self, order: Callable[[str], bytes]) -> None:
        """Keep to an order from now on, with what is known."""
        self._order = order
        self._window = _ORDERED_WINDOW
        self._ready = sorted(filter(None, self._ready), key=order, reverse=True)

    def ready(self) -> bool:
        """True if there are tasks of the last look."""
        return bool(self._ready or self._told)

    def next(self, now: float) -> str | None:
        """The next task that is due, which is forgotten here; None if there is none."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, name = heapq.heappop(heap)
            if self.later.get(name) == when:
                del self.later[name]
                if self._order is None:
                    return name
                self.add(name)
        ready = self._ready
        while ready and not ready[-1]:
            ready.pop()
        self.looked = not (self._told and (not ready or self._is_before(ready)))
        if not self.looked:
            return heapq.heappop(self._told)[1]
        return ready.pop() if ready else None

    def _is_before(self, ready: list[str]) -> bool:
        """True if the first that add() gave comes before the first of the last look."""
        assert self._order is not None
        return self._told[0][0] < self._order(ready[-1])

    def plain(self, now: float) -> list[str]:
        """The tasks of the last look, the next one last, where they are all that is next; else none."""
        if self._order is not None or (self._heap and self._heap[0][0] <= now):
            return []
        return self._ready

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


def stagger(names: list[str], share: int, shares: int, size: int = _WINDOW) -> list[str]:
    """The same names, a window's every shares-th first: spoolers that read one directory don't fight over
    each task. '' follows each part, and the parts of the others stand from their ends.

    What one does not come to the others find at the end of the window, so that order holds but for a window.
    """
    found: list[str] = []
    for start in range(0, len(names), size * shares):
        window = names[start : start + size * shares]
        found += window[share::shares]
        found.append("")
        for turn in range(1, shares):
            found += reversed(window[(share + turn) % shares :: shares])
            found.append("")
    return found
