"""How many messages one process has taken of one queue, counted in its memory.

Knows nothing. An attribute, as it stands in the stretches of a receive that have no call. What others see of
it is told in the directory of lanes (receive/behind.py).
"""

from __future__ import annotations


class Tally:
    """Of one queue, by one process."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0
