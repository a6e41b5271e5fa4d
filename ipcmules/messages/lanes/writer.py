"""A sender's end of a lane: the segment it writes, and how much of it may be written without a look around.

Knows the directory and chains. One lane a process, queue and priority. What may be interrupted by another
thread or a signal handler is written so that each sees all of it or nothing: between two calls and loops
CPython gives nobody else a turn.
"""

from __future__ import annotations

import mmap
from collections import deque
from typing import NamedTuple, TypeVar

from ipcmules.kernel import atomics, linux, processes
from ipcmules.messages import large
from ipcmules.messages.lanes import chain
from ipcmules.messages.lanes.chain import END, PRIVATE, S_WORD, SHARED, Segment
from ipcmules.messages.lanes.directory import (
    L_CHAIN,
    L_FIRST,
    L_HEAD,
    L_LAST,
    L_PID,
    L_PRIORITY,
    L_SAVED,
    L_SENT,
    L_SENT_BYTES,
    L_START,
    L_TAKEN,
    L_TAKEN_BYTES,
    Directory,
)

_T = TypeVar("_T")


class Bounds(NamedTuple):
    """How much may wait behind one queue, in all of its lanes but for the segments that others write."""

    messages: int
    bytes: int


class _Past(NamedTuple):
    """Where in the lane a segment begins."""

    number: int
    records: int
    bytes: int


class Lane:
    """A lane that this process writes. Build it with owning.claim()."""

    # Sending reads and stores a dozen of these for each message: slots take half the time.
    __slots__ = (
        "_bounds",
        "_cells",
        "_directory",
        "_entry",
        "_larges",
        "_past",
        "_prefix",
        "_reserved",
        "at",
        "cells",
        "end",
        "lane",
        "memory",
        "priority",
        "queue",
        "registered",
        "room",
        "segment",
        "shape",
        "stop",
    )

    def __init__(self, directory: Directory, queue: int, lane: int, priority: int, bounds: Bounds) -> None:
        self.priority = priority
        self.queue = queue
        self.lane = lane
        self.shape = PRIVATE if directory.layout.is_private(queue) else SHARED
        self._directory = directory
        self._cells = directory.cells
        self._entry = directory.entry(queue, lane)
        self._bounds = bounds
        self._prefix = directory.prefix(queue, lane)
        #: Whether other processes' barriers reach this one; else it needs a fence of its own a message.
        self.registered = linux.register_for_barriers()
        # What the common path reads (outbox.py). at, end: of the next record; stop, room: how far they may go
        # without a look around, both 0 while the lane is not in use.
        self.segment: Segment
        self.memory: mmap.mmap
        self.cells = memoryview(b"")
        self.at = self.end = self.stop = self.room = 0
        self._reserved = 0
        self._past: deque[_Past] = deque()
        #: Which records name large messages, and how many bytes those are.
        self._larges: deque[tuple[int, int]] = deque()

    # Beginning

    def begin(self, spare: list[Segment]) -> None:
        """With the lock held: go on behind what is in the lane. Raises OSError where memory is full.

        spare: what chain.prepare() made, if anything; not in it any more if the lane has it.
        """
        cells, entry = self._cells, self._entry
        last = self._last() if cells[entry + L_CHAIN] else None
        if last is None:
            last = self._new(*spare[:1])
            cells[entry + L_PRIORITY] = self.priority
            cells[entry + L_HEAD] = last.number << 32
            cells[entry + L_FIRST] = last.number
            cells[entry + L_TAKEN] = cells[entry + L_TAKEN_BYTES] = 0
            cells[entry + L_SENT] = cells[entry + L_SENT_BYTES] = 0
            # From here no call and no loop.
            cells[entry + L_CHAIN] = last.number
            del spare[:]
        first = self._first()
        if first != last.number:
            self._past.append(_Past(first, cells[entry + L_TAKEN], cells[entry + L_TAKEN_BYTES]))
        self._past.append(_Past(last.number, *last.before))
        cells[entry + L_SENT], cells[entry + L_SENT_BYTES] = last.before
        self._enter(last)
        me = processes.current()
        cells[entry + L_START] = me.start
        cells[entry + L_PID] = me.pid

    def _first(self) -> int:
        """The number of the oldest segment that may not be taken."""
        cells, entry = self._cells, self._entry
        return int(cells[entry + L_HEAD]) >> 32 if self.shape is PRIVATE else int(cells[entry + L_FIRST])

    def _last(self) -> Segment | None:
        """The last segment of the chain; None if it cannot be found.

        The receiver of a mule's own queue goes on meanwhile: it says which segment is the first one now, and
        removes the one before. So one that is missing may have been the first when this began to look.
        """
        first = number = self._first()
        while True:
            try:
                found = chain.open_segment(self._prefix, number, self.shape)
            except FileNotFoundError:
                before, first = first, self._first()
                if first == before:
                    return None
                number = first
                continue
            word = found.word(found.count())
            if not word & END:
                return found
            number = word & ~END

    def _new(self, prepared: Segment | None = None) -> Segment:
        """A segment with a number that no other has, not even one that a signal handler makes meanwhile."""
        cells, cell = self._cells, self._entry + L_LAST
        # From here to the store no call and no loop.
        number = cells[cell] + 1
        cells[cell] = number
        if prepared is None:
            made = chain.make(self._prefix, number, self.shape)
        else:
            chain.name(made := prepared, self._prefix, number)
        chain.populate(made, 0, self.shape.data + self.shape.first)
        return made

    def _enter(self, segment: Segment) -> None:
        """Write in this segment from now on."""
        at = segment.count()
        end, reserved = segment.end(at), self.shape.data + self.shape.first
        reserved = max(reserved, end)
        # From here no call and no loop.
        self.segment, self.memory, self.cells = segment, segment.memory, segment.cells
        self.at, self.end, self._reserved = at, end, reserved
        self.stop = self.room = 0

    # Looking around

    def is_empty(self) -> bool:
        """True if everything in it was taken."""
        cells, entry = self._cells, self._entry
        if self.shape is PRIVATE:
            return bool(cells[entry + L_HEAD] == self.segment.number << 32 | self.at)
        if not self.at:
            return bool(cells[entry + L_FIRST] == self.segment.number)
        return not self.cells[(self.at - 1) * self.shape.stride] & chain.LENGTH

    @staticmethod
    def fence() -> None:
        """For a process that other processes' barriers do not reach:

        what it has stored is seen from here on.
        """
        atomics.fence()

    def rest(self) -> None:
        """The common path is not to use the lane: its receivers are faster than messages come."""
        self.stop = self.room = 0

    def has_room(self, size: int) -> bool:
        """See to it that a record of so many bytes can be written; False if as much waits as may.

        Raises OSError where memory is full. With the outbox's lock held.
        """
        left = self._left()
        if left <= 0:
            return False
        if self.at >= self.shape.slots or self.end + size > self.shape.size:
            before = self.segment
            self._roll()
            if self.segment is before:
                return False
        if self.end + size > self._reserved:
            self._reserve(size)
        stop, room = min(self.shape.slots, self.at + left), self._reserved
        self.stop, self.room = stop, room
        return True

    def _left(self) -> int:
        """How many more records may be written: none if there are too many bytes."""
        first, past, larges = self._first(), self._past, self._larges
        while len(past) > 1:
            oldest = past[0]
            if oldest.number >= first:
                break
            _remove_first(past, oldest)
        here, taken = past[-1], past[0].records
        others, bytes_of_others = self._directory.waiting(self.queue, self.lane)
        if self.shape is PRIVATE:
            taken += int(self._cells[self._entry + L_HEAD]) & chain.LENGTH
        elif first == here.number:
            taken += self._done(self.segment, self.at)
        elif here.records + self.at - taken >= self._bounds.messages - others or larges:
            taken += self._done_in(first)
        while larges:
            large_one = larges[0]
            if large_one[0] >= taken:
                break
            _remove_first(larges, large_one)
        # Of small ones whole segments are counted: so at least as many as promised fit, and some more.
        size = here.bytes + self.end - past[0].bytes - self.shape.size + sum(each for _, each in list(larges))
        left = self._bounds.messages - others - (here.records + self.at - taken)
        return left if size + bytes_of_others < self._bounds.bytes else 0

    @staticmethod
    def _done(segment: Segment, count: int) -> int:
        """How many of a segment's first records are done, without a gap."""
        done = segment.memory.find(b"\0", chain.DONE, chain.DONE + count)
        return count if done < 0 else done - chain.DONE

    def _done_in(self, number: int) -> int:
        """As _done(), of a segment that has an end."""
        try:
            segment = chain.open_segment(self._prefix, number, self.shape)
        except FileNotFoundError:
            return 0  # it has been removed just now: the next look sees that
        return self._done(segment, segment.count())

    def weighs(self, size: int) -> None:
        """The record that was appended last names a large message of so many bytes."""
        self._larges.append((self._past[-1].records + self.at - 1, size))

    def _reserve(self, size: int) -> None:
        segment, start = self.segment, self._reserved
        end = min(start + max(size, self.shape.step), self.shape.size)
        chain.reserve(segment, start, end)
        chain.populate(segment, start, end)
        reserved = max(self._reserved, end)
        if self.segment is segment:  # a signal handler's send may have gone on to the next; no call from here
            self._reserved = reserved

    def _roll(self) -> None:
        """Go on in a new segment."""
        old, at, end, stride = self.segment, self.at, self.end, self.shape.stride
        made, here = self._new(), self._past[-1]
        records, size = here.records + at, here.bytes + end
        made.follows(records, size)
        past = [_Past(made.number, records, size)]
        sent = self._entry + L_SENT
        cell = at * stride + (S_WORD if stride > 1 else 0)
        link, reserved, start = END | made.number, self.shape.data + self.shape.first, self.shape.data
        if self.segment is old and self.at == at:
            # From here no call and no loop.
            self._past += past
            self.stop = self.room = 0
            self._cells[sent] = records
            self._cells[sent + 1] = size
            old.cells[cell] = link
            self.segment, self.memory, self.cells = made, made.memory, made.cells
            self.at, self.end, self._reserved = 0, start, reserved
        else:  # a signal handler's send was here meanwhile
            made.unlink()

    @property
    def position(self) -> int:
        """Where the next record comes, as L_HEAD and L_SAVED have it."""
        return self.segment.number << 32 | self.at

    def saved(self) -> int:
        """How far the lane was saved when the bus ended; 0 while nobody has."""
        return int(self._cells[self._entry + L_SAVED])

    def record(self, position: int) -> tuple[bytes, int]:
        """The message at a position of the lane, whole, and its priority. A large one is removed."""
        number, slot = position >> 32, position & chain.LENGTH
        segment = self.segment
        if segment.number != number:
            segment = chain.open_segment(self._prefix, number, self.shape)
        data, is_large = segment.record(slot)
        return (large.load(data) if is_large else data), self.priority


def _remove_first(items: deque[_T], item: _T) -> None:
    """Remove an item from the front, unless a signal handler's send has."""
    if items and items[0] is item:  # from here no call and no loop
        del items[0]
