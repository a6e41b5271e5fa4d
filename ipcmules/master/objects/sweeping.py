"""What has expired in the bus's caches is removed, a few hundred keys a turn of the loop.

Readers see at once that an entry has expired; this gives its room back, and makes len() right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipcmules.master.loop.selector import Loop, Timer

if TYPE_CHECKING:
    from ipcmules.caches.owned import Owned

#: How often it is looked whether something has expired, seconds: uWSGI's sweeper has the same.
_EVERY = 3.0


class Sweeping:
    """The sweeper of a bus's caches; nothing where it has none."""

    def __init__(self, loop: Loop, caches: list[Owned]) -> None:
        self._loop = loop
        self._caches = caches
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Look now and then, from now on."""
        if self._caches:
            self._timer = self._loop.later(_EVERY, self._look)

    def close(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, going_on: frozenset[int] = frozenset()) -> None:
        more = frozenset(
            number for number, each in enumerate(self._caches) if each.sweep(going_on=number in going_on)
        )
        self._timer = self._loop.later(0.0 if more else _EVERY, lambda: self._look(more))
