"""The receiver's end of the lanes behind a mule's own queue: records, taken many at once.

Knows the directory, chains and frames. There is one receiver, so nothing is claimed: what was taken stands in
one cell, L_HEAD. A batch becomes a frame, as the queue would have carried it; who has stored that in the
in-flight slots moves the head (handout.py), and after a death settle() does.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from functools import partial

from ipcmules.kernel import linux
from ipcmules.messages import frames
from ipcmules.messages.lanes import chain
from ipcmules.messages.lanes.chain import END, LARGE, LENGTH, PRIVATE, Segment
from ipcmules.messages.lanes.directory import (
    L_CHAIN,
    L_HEAD,
    L_PRIORITY,
    L_TAKEN,
    L_TAKEN_BYTES,
    Directory,
)
from ipcmules.messages.lanes.readers import Readers
from ipcmules.messages.sizing import WIDEST

#: Records taken with one look at most.
MOST = 256
#: Passed memory is given back in steps of so many bytes.
_GIVEN = 64 << 10


class Position:
    """Where the receiver is in one lane.

    Any thread may look; records are taken by one at a time. Who looks may have to go on to another segment,
    as several may at once: each changes where this is in one stretch without calls, if it is where he saw it.
    """

    def __init__(self, directory: Directory, queue: int, lane: int) -> None:
        self.lane = lane
        self.entry = directory.entry(queue, lane)
        self._cells = directory.cells
        self._prefix = directory.prefix(queue, lane)
        self.chain = self.priority = 0
        self.segment: Segment | None = None
        self.cells = memoryview(b"")
        self.at = self.end = self._given = 0
        #: How often another segment was entered: the same number, the same segment.
        self._turns = 0

    def look(self) -> int:
        """The word of the next record, 0 if there is none."""
        if self._cells[self.entry + L_CHAIN] != self.chain:
            self._open()
        while True:
            segment, cells, at, turn = self.segment, self.cells, self.at, self._turns
            if segment is None:
                return 0
            word: int = cells[at]
            if not word & END:
                return word
            self._go_on(turn, segment, word & ~END)

    def _open(self) -> None:
        """The lane has a chain now that it did not have."""
        turn, number = self._turns, self._cells[self.entry + L_CHAIN]
        if not number:
            if self._turns == turn:
                # From here no call and no loop.
                self._turns = turn + 1
                self.segment, self.chain = None, 0
            return
        linux.order()
        head, priority = int(self._cells[self.entry + L_HEAD]), int(self._cells[self.entry + L_PRIORITY])
        try:
            segment = chain.open_patiently(self._prefix, head >> 32, PRIVATE)
        except FileNotFoundError:
            return  # freed at this moment: the next look sees that
        at = head & LENGTH
        end, start, cells = segment.end(at), PRIVATE.data, segment.cells
        if self._turns == turn:
            # As above.
            self._turns = turn + 1
            self.at, self.end, self._given = at, end, start
            self.cells, self.segment = cells, segment
            self.priority, self.chain = priority, number

    def _go_on(self, turn: int, old: Segment, number: int) -> None:
        """All of this segment is taken: to the next one, and remove it."""
        try:
            following = chain.open_patiently(self._prefix, number, PRIVATE)
        except FileNotFoundError:
            if self._turns == turn:
                raise
            return  # another thread has gone on, and others have taken all of that one too
        heads, entry, cells = self._cells, self.entry, following.cells
        records, size = following.before
        head, start = number << 32, PRIVATE.data
        if self._turns == turn:
            # As above.
            self._turns = turn + 1
            heads[entry + L_HEAD] = head
            heads[entry + L_TAKEN] = records
            heads[entry + L_TAKEN_BYTES] = size
            self.at, self.end, self._given = 0, start, start
            self.cells, self.segment = cells, following
            old.unlink()

    def is_empty(self) -> bool:
        """True if there is nothing to take."""
        return not self.look()

    def give_back(self) -> None:
        """Give back the memory of what was taken, in large steps (madvise(2), MADV_REMOVE)."""
        segment, given, end = self.segment, self._given, self.end
        if segment is None or end - given < _GIVEN:
            return
        end = end // mmap.PAGESIZE * mmap.PAGESIZE
        try:
            segment.memory.madvise(mmap.MADV_REMOVE, given, end - given)
        except OSError:
            pass  # then with the segment
        if self.segment is segment:
            self._given = end


class Batch:
    """Records that lie one behind the other in a lane, as they were seen at one moment."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.priority = position.priority
        # Where it begins; and where the lane goes on behind it, once frame() was called.
        segment, first, start, cells = position.segment, position.at, position.end, position.cells
        self.segment, self.first, self._start = segment, first, start
        self.at, self.end, self.head = first, start, 0
        words = cells[first : first + MOST].tolist()
        #: Empty if a signal handler has received what was there.
        self.words: list[int] = self._plain(words) if words[0] else words[:0]

    @staticmethod
    def _plain(words: list[int]) -> list[int]:
        """The words up to the first that is none of a message, or a large one alone."""
        first = words[0]
        if first > LENGTH:
            return words[:1] if first & LARGE else []
        if not words[-1]:
            words = words[: words.index(0)]
        if words.count(first) == len(words):  # as they nearly always are where many come
            return words[: max((WIDEST - frames.OVERHEAD) // (first - 1 + frames.EACH), 1)]
        if max(words) > LENGTH:
            words = words[: next(at for at, word in enumerate(words) if word > LENGTH)]
        # A frame fits into its area of the in-flight slots.
        if sum(words) + len(words) > WIDEST - frames.OVERHEAD:
            words = words[: frames.fitting_lengths([word - 1 for word in words], WIDEST)]
        return words

    def frame(self) -> bytes:
        """The records as a frame. Sets head, at and end."""
        assert self.segment is not None
        linux.order()
        words = self.words
        count, first = len(words), (words[0] & LENGTH) - 1
        lengths = None
        if words.count(words[0]) == count:
            size = count * first
        else:
            lengths = [word - 1 for word in words]
            size = sum(lengths)
        self.at, self.end = self.first + count, self._start + size
        self.head = self.segment.number << 32 | self.at
        data = self.segment.memory[self._start : self.end]
        if words[0] & LARGE:
            return frames.large(data)
        return frames.alike(count, first, data) if lengths is None else frames.join(lengths, data)

    def shorten(self, capacity: int) -> bool:
        """Take only what fits into a frame of so many bytes. False if that is all of it."""
        fitting = frames.fitting_lengths([(word & LENGTH) - 1 for word in self.words], capacity)
        if fitting >= len(self.words):
            return False
        self.words = self.words[:fitting]
        return True


class PrivateLanes:
    """All lanes behind one mule's own queue."""

    def __init__(self, directory: Directory, mule: int) -> None:
        self._readers = Readers(directory, mule, partial(Position, directory, mule))
        self._next = 0

    @property
    def used(self) -> bool:
        """True once there was a lane."""
        return self._readers.used

    def look(self) -> bool:
        """True if there is something to take."""
        return any(each.look() for each in self._readers.all())

    def batch(self, above: int = -1) -> Batch | None:
        """What there is: of the lanes with the highest priority above `above` the next one in turn."""
        positions = self._readers.all()
        if not positions:
            return None
        self._next = (self._next + 1) % len(positions)
        best: Position | None = None
        for each in (*positions[self._next :], *positions[: self._next]):
            if each.look() and each.priority > above and (best is None or each.priority > best.priority):
                best = each
        found = None if best is None else Batch(best)
        return found if found is not None and found.words else None


def settle(directory: Directory, mule: int, heads: Iterable[tuple[int, int]]) -> None:
    """After a mule's death: what its slots have is taken. heads: (lane, position behind it), as slots say."""
    for lane, head in heads:
        cell = directory.entry(mule, lane) + L_HEAD
        directory.cells[cell] = max(int(directory.cells[cell]), head)
