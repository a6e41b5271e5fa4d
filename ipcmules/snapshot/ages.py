"""For how long the first message of each queue has been waiting, as who looks again and again can see it.

Values and arithmetic only. Messages have no times of their own: a store or a clock a message would cost more
than all of this tells. But a queue is taken from in the order in which it was filled. So when a look has seen
that N messages had come in all, and a later one that fewer than N were taken, then the first of those that
wait now was there at that look.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ipcmules.snapshot.values import Queue
from ipcmules.snapshot.whole import Snapshot

#: So many looks are remembered of a queue; of more every second one.
_KEPT = 256


class Ages:
    """What one onlooker has seen of a bus. Not for several threads at once."""

    def __init__(self) -> None:
        self._generation = 0
        #: By endpoint: when a look was, and how many messages had come by then; the first look that saw the
        #: first of those that wait stands first.
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def of(self, seen: Snapshot) -> Snapshot:
        """The snapshot, the queues' `oldest` of which knows all looks before."""
        if seen.generation != self._generation:
            self._generation = seen.generation
            self._seen.clear()
        return replace(seen, queues=tuple(self._queue(each, seen.time) for each in seen.queues))

    def _queue(self, queue: Queue, now: float) -> Queue:
        looks = self._seen.setdefault(queue.endpoint, deque())
        while looks and not (looks[0][1] > queue.taken and looks[0][0] <= now):
            looks.popleft()
        if not queue.left:
            return queue
        if len(looks) >= _KEPT:
            self._seen[queue.endpoint] = looks = deque([each for at, each in enumerate(looks) if not at % 2])
        looks.append((now, queue.come))
        return replace(queue, oldest=max(queue.oldest or 0.0, round(now - looks[0][0], 3)))
