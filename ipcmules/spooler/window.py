"""The first of many: what to run next out of a directory that may hold a million files.

Bounded in memory, whatever is put in. Pure.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key", int, bytes)


class Window(Generic[Key]):
    """Keeps the `limit` smallest of the entries that are offered to it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = False  #: True once an entry did not fit
        self._most = limit + limit // 2 + 1
        self._entries: list[tuple[Key, str]] = []
        #: What is not smaller than this is of no interest; None while everything is.
        self._bound: Key | None = None

    def offer(self, entries: list[tuple[Key, str]]) -> None:
        """Offer entries: keys with their names."""
        if self._bound is not None:
            bound = self._bound
            few = [entry for entry in entries if entry[0] < bound]
            self.dropped |= len(few) < len(entries)
            entries = few
        self._entries += entries
        if len(self._entries) >= self._most:
            self._cut()

    def take(self) -> list[str]:
        """The names of the smallest entries, in order; the window is empty then."""
        self._entries.sort()
        if len(self._entries) > self.limit:
            self._cut()
        found = [name for _key, name in self._entries]
        self._entries = []
        return found

    def _cut(self) -> None:
        self._entries.sort()
        del self._entries[self.limit :]
        self.dropped = True
        self._bound = self._entries[-1][0]
