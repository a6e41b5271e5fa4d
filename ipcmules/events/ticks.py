"""When a timer ticks: the k-th time at start + k * interval, however late anybody looks.

Arithmetic on whole nanoseconds of the monotonic clock: nothing is rounded, so nothing drifts, and a wall
clock that is set does not matter. Knows no clock itself.
"""

from __future__ import annotations


class Ticks:
    """The ticks of one timer. Ask due() when the time it gave has come."""

    __slots__ = ("interval", "left", "next", "start")

    def __init__(self, start: int, interval: int, iterations: int = 0) -> None:
        """start: time.monotonic_ns() when the master has the timer; its first tick comes an interval later.

        interval: nanoseconds; 0 means all iterations at once. iterations: how many ticks in all, 0 for ever.
        """
        self.start = start
        self.interval = interval
        self.left = iterations  #: ticks still to come, 0: no end
        self.next: int | None = start + interval  #: when the next one is due, None: there is none

    def due(self, now: int) -> tuple[int, int | None]:
        """How many ticks to raise now, and when to ask again (None: never, the timer is over).

        Ticks that were missed, because the master was stopped or the machine suspended, are one tick. What
        follows comes at the times it would have come anyway, and a missed tick is no iteration.
        """
        if self.next is None or now < self.next:
            return 0, self.next
        if not self.interval:
            count, self.left = self.left, 0
            self.next = None
            return count, None
        passed = (now - self.start) // self.interval
        self.next = self.start + (passed + 1) * self.interval
        if self.left:
            self.left -= 1
            if not self.left:
                self.next = None
        return 1, self.next
