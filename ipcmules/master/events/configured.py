"""The events of the configuration: --signal-timer, --signal-rbtimer, --touch-signal and --fs-signal.

They stand in the book beside what processes register, with the master as owner and no generation of code: a
reload leaves them alone unless it brings another configuration.
"""

from __future__ import annotations

import hashlib

from ipcmules.bus.config import SignalEvent
from ipcmules.events import texts
from ipcmules.kernel import processes
from ipcmules.master.events.catalogue import Book, Event


class Configured:
    """Puts a configuration's events into the book, and takes those out that the next one has not."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._known: frozenset[str] = frozenset()

    def replace(self, wanted: tuple[SignalEvent, ...]) -> None:
        """Have these events, and no others. One that stays as it is keeps its phase and its counts."""
        events = {each.digest: each for each in _events(wanted)}
        for digest in self._known - events.keys():
            event = self._book.get(digest)
            if event is not None:
                self._book.remove(event)
        for each in events.values():
            self._book.add(each)
        self._known = frozenset(events)


def _events(wanted: tuple[SignalEvent, ...]) -> list[Event]:
    ours = processes.current()
    counts: dict[tuple[str, int, str], int] = {}
    found = []
    for each in wanted:
        what = (each.kind, each.signal, each.path)
        counts[what] = occurrence = counts.get(what, 0) + 1
        text = "\0".join(("option", each.kind, str(each.signal), each.path, str(occurrence)))
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
        found.append(Event(digest, texts.spec_of(each), each.signal, 0, False, ours))
    return found
