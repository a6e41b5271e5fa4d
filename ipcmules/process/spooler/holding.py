"""Tasks that a spooler has seen and may not run yet: their function is paused, or as many run as may.

By what holds them, so that one look tells it for all of them. Values only.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

#: So many names are kept; others are tried again now and then.
LIMIT = 250_000
#: A time that does not come.
NEVER = 9e9


class Hold(NamedTuple):
    """What holds tasks: places of a key, a rate (when is known then), a pause of a function; a chain or group
    its parts."""

    kind: str
    key: str
    concurrency: int = 0


#: Values of Hold.kind.
PLACES, BEGUN, PAUSED, PARTS = "places", "begun", "paused", "parts"


class Holding:
    """Names relative to the directory, in the order in which they were held; times in seconds since 1970."""

    def __init__(self) -> None:
        self._names: dict[Hold, deque[str]] = {}
        self._times: dict[Hold, float] = {}
        self._heap: list[tuple[float, Hold]] = []
        self._count = 0
        #: What next() gave last, which goes to the front if it is held again.
        self._last: str = ""

    def __bool__(self) -> bool:
        return self._count > 0

    def hold(self, name: str, by: Hold, until: float) -> bool:
        """A task may not run before `until`, when to ask again. False where it is not kept here."""
        if self._count >= LIMIT:
            return False
        waiting = self._names.setdefault(by, deque())
        if name == self._last:
            waiting.appendleft(name)
        else:
            waiting.append(name)
        self._count += 1
        if name == self._last or by not in self._times:
            self._ask(by, until)
        return True

    def next(self, now: float, is_free: Callable[[Hold], float]) -> str | None:
        """A task that may run now. is_free: 0.0, or when to ask again."""
        while self._heap and self._heap[0][0] <= now:
            when, by = heapq.heappop(self._heap)
            if self._times.get(by) != when:
                continue
            again = is_free(by)
            if again:
                self._ask(by, again)
                continue
            waiting = self._names[by]
            self._last = waiting.popleft()
            self._count -= 1
            if waiting:
                self._ask(by, now)
            else:
                del self._names[by], self._times[by]
            return self._last
        return None

    def free(self, matches: Callable[[Hold], bool]) -> None:
        """Ask at once for those that match."""
        for by in [each for each in self._names if matches(each)]:
            self._ask(by, 0.0)

    def free_place(self, by: Hold) -> None:
        """This process has given back a place."""
        if by in self._names:
            self._ask(by, 0.0)

    def due(self) -> float:
        """When to ask next; 0.0 for never."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or self._heap[0][0] >= NEVER:
            return 0.0
        return max(self._heap[0][0], 1e-9)

    def _ask(self, by: Hold, when: float) -> None:
        self._times[by] = when
        heapq.heappush(self._heap, (when, by))
