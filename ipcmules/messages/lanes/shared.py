"""A receiver's end of the lanes behind a queue that several receive from: one record at a time, claimed.

Knows the directory, chains, counts (kernel/atomics.py) and a thread's hand. Beside each record is a count of
1: whoever takes it away has the record. Before he tries he says so in his thread's cell of the in-flight
slots, and when the record is safe in his hand he marks it as done: claims.py is how the claims of the dead
are told from those of the living.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from time import monotonic
from typing import Protocol

from ipcmules.kernel import atomics, linux
from ipcmules.messages.lanes import cells, chain
from ipcmules.messages.lanes.chain import END, LENGTH, S_COUNT, S_WORD, SHARED, Segment
from ipcmules.messages.lanes.directory import (
    L_CHAIN,
    L_FIRST,
    L_PRIORITY,
    L_TAKEN,
    L_TAKEN_BYTES,
    Directory,
)
from ipcmules.messages.lanes.lock import locked
from ipcmules.messages.lanes.readers import Readers
from ipcmules.messages.lanes.tally import Tally

_STRIDE = SHARED.stride
_SLOT = _STRIDE * 8

#: Records that are looked at with one look at most, and for how long they may be taken then, seconds.
MOST = 512
_WHILE = 0.001


#: Of no segment.
_NO_CELLS, _NO_MEMORY = memoryview(b""), mmap.mmap(-1, 1)

#: One record that a thread may have claimed: its segment, its slot, how a thread's cell names it (with the
#: queue), and its lane's number. A plain tuple: one is made for each message.
Record = tuple[Segment, int, int, int]

#: What atomics.take() said (0: it is ours), and of which record.
Claim = tuple[int, Record]


def _first(segment: Segment, at: int, end: int, cell: int, there: bool) -> int:
    """The first slot from `at` on where a cell is not 0, or with there=False where it is; else `end`.

    It is so in all slots behind that one, too: records are published in order, and claimed in order, as who
    goes past one has tried to claim it. So few slots are read: others store into them at this moment.
    """
    cells = segment.cells
    while at < end:
        middle = (at + end) >> 1
        if (cells[middle * _STRIDE + cell] != 0) is there:
            end = middle
        else:
            at = middle + 1
    return at


class Claiming(Protocol):
    """A thread's hand, as it claims records (messages/receive/hand.py)."""

    cells: memoryview
    ref: int
    won: list[Claim]


class Position:
    """Where this receiver is in one lane: everything before that is claimed by somebody."""

    def __init__(self, directory: Directory, queue: int, lane: int, source: int, tally: Tally) -> None:
        self.lane = lane
        #: Where next_record() counts what it takes here.
        self.tally = tally
        self._directory = directory
        self._queue = queue
        self._source = source
        self.entry = directory.entry(queue, lane)
        self._prefix = directory.prefix(queue, lane)
        self.chain = self.priority = 0
        self.segment: Segment | None = None
        self.at = 0
        #: What the last look found: a segment, and where what is published there ends. In one piece, as
        #: threads share it.
        self.looked: tuple[Segment | None, int] = (None, 0)
        #: Records before this one were there when the kernel's queue was seen to be empty afterwards.
        self.seen = 0
        #: How a thread's cell names the first record of the segment.
        self.named = 0
        #: For next_record() (receive/records.py): each step claims the next record, from `at` to before
        #: `end`; `mark` is how a cell says that a thread is about to. Who moves `at` by other means sets
        #: `end` to 0.
        #: cells, memory: the segment's; a segment that was passed must not stay mapped.
        self.claims: Iterator[int] = iter(())
        self.cells = _NO_CELLS
        self.memory = _NO_MEMORY
        self.end = self.mark = 0
        #: How often another segment was entered.
        self._turns = 0

    def look(self) -> int:
        """How many records there are that may not be claimed, up to MOST; 0: none."""
        table, entry = self._directory.cells, self.entry
        while True:
            if table[entry + L_CHAIN] != self.chain and not self._open():
                return 0
            segment, at = self.segment, self.at
            if segment is None or not segment.cells[at * _STRIDE + S_WORD]:
                return 0
            limit = min(at + MOST, SHARED.slots + 1)
            end = _first(segment, at, limit, S_WORD, there=False)
            word = segment.cells[(end - 1) * _STRIDE + S_WORD]
            if word & END:
                end -= 1
            free = _first(segment, at, end, S_COUNT, there=True)
            if free < end:
                self.looked = segment, end
                self.to(segment, free)
                return end - free
            if word & END:
                self._go_on(segment, end, word & ~END)
                continue
            self.to(segment, end)
            if end < limit:
                return 0

    def to(self, segment: Segment, at: int) -> None:
        """What comes before this record is claimed."""
        if self.segment is segment and at > self.at:
            self.at, self.end = at, 0

    def arm(self) -> None:
        """What may be claimed now, next_record() claims from here on."""
        segment, at, seen = self.segment, self.at, self.seen
        if segment is None or at >= seen:
            return
        addresses = range(segment.base + at * _SLOT, segment.base + seen * _SLOT, _SLOT)
        claims, mark = map(atomics.take, addresses), cells.CLAIM | self.named | at << cells.SLOT_SHIFT
        if self.segment is segment and self.at == at:
            # From here no call and no loop.
            self.claims, self.mark, self.end = claims, mark, seen

    def free(self, segment: Segment, slot: int) -> int:
        """The first record behind a claimed one that nobody has claimed, or the end of what may be taken."""
        return _first(segment, slot + 1, max(self.seen, slot + 1), S_COUNT, there=True)

    def _open(self) -> bool:
        """The lane has a chain that it did not have, or this does not know where it is. False: it has none.

        Where another thread has just found out, that stands.
        """
        table, entry, turn = self._directory.cells, self.entry, self._turns
        number, first, segment = 0, 0, None
        while table[entry + L_CHAIN]:
            before = number, first
            number = int(table[entry + L_CHAIN])
            linux.order()
            first = int(table[entry + L_FIRST])
            if (number, first) == before:
                return False  # its first segment is not there: nobody can read it
            try:
                segment = chain.open_patiently(self._prefix, first, SHARED)
                break
            except FileNotFoundError:
                pass  # it has just been taken and removed, after the lane was told which one is the first now
        priority = int(table[entry + L_PRIORITY])
        self._enter(turn, segment, number if segment else 0, priority)
        return segment is not None

    def _enter(self, turn: int, segment: Segment | None, number: int, priority: int) -> None:
        named = self._source << 32 | cells.record(segment.number, self.lane, 0) if segment else 0
        there, memory = (segment.cells, segment.memory) if segment else (_NO_CELLS, _NO_MEMORY)
        if self._turns == turn:
            # From here no call and no loop.
            self._turns = turn + 1
            self.at = self.seen = self.end = 0
            self.segment, self.named, self.cells, self.memory = segment, named, there, memory
            self.chain, self.priority = number, priority

    def _go_on(self, segment: Segment, count: int, number: int) -> None:
        """All of this segment is claimed: to the next one. It goes when all of it is done."""
        turn, of, priority = self._turns, self.chain, self.priority
        following: Segment | None = None
        try:
            following = chain.open_patiently(self._prefix, number, SHARED)
        except FileNotFoundError:
            of = 0  # that is taken and removed as well: look where the lane is now
        self.retire(segment, count, following)
        if self.segment is segment:
            self._enter(turn, following, of, priority)

    def retire(self, segment: Segment, count: int, following: Segment | None = None) -> None:
        """This segment has an end: remove the lane's first segments, as far as all their records are done."""
        # Numbers grow: what comes before the first one has been removed by another receiver.
        if self._directory.cells[self.entry + L_FIRST] <= segment.number and segment.all_done(count):
            with locked(self._directory) as held:
                if held:
                    retire(self._directory, self._queue, self.lane, segment, following)


def retire(directory: Directory, queue: int, lane: int, *known: Segment | None) -> None:
    """With the lock held: remove a lane's first segments, as far as all their records are done.

    known: some of its segments that need not be opened once more.
    """
    table, entry, prefix = directory.cells, directory.entry(queue, lane), directory.prefix(queue, lane)
    opened = {each.number: each for each in known if each is not None}
    while table[entry + L_CHAIN]:
        first = int(table[entry + L_FIRST])
        try:
            segment = opened.get(first) or chain.open_segment(prefix, first, SHARED)
        except OSError:
            return  # gone, or there is no descriptor: whoever passes the next one removes this one too
        table[entry + L_TAKEN], table[entry + L_TAKEN_BYTES] = segment.before
        count = segment.count()
        word = segment.word(count)
        if not word & END or not segment.all_done(count):
            return
        table[entry + L_FIRST] = word & ~END
        segment.unlink()


class SharedLanes:
    """All lanes behind one shared queue, for one receiver."""

    def __init__(self, directory: Directory, queue: int, source: int, tally: Tally) -> None:
        self._readers = Readers(
            directory, queue, lambda lane: Position(directory, queue, lane, source, tally)
        )
        self._next = 0
        #: The lanes whose records may be taken, in this order, and until when.
        self.ready: list[Position] = []
        self.until = 0.0

    @property
    def used(self) -> bool:
        """True once there was a lane."""
        return self._readers.used

    def look(self) -> bool:
        """True if there may be something to take."""
        return any(each.look() for each in self._readers.all())

    def see(self) -> list[tuple[Position, Segment, int]]:
        """What there is now, for allow()."""
        found = []
        for each in self._readers.all():
            count = each.look()
            segment, end = each.looked
            if count and segment is not None:
                found.append((each, segment, end))
        return found

    def allow(self, seen: list[tuple[Position, Segment, int]]) -> None:
        """The kernel's queue was found empty after see(): for a millisecond what lay in the lanes may be
        taken.

        Longer it may not: something more urgent may have come.
        """
        for each, segment, end in seen:
            if each.segment is segment and each.seen < end:
                each.seen = end
        self._next += 1
        turn = self._next % len(seen)
        ready = [each for each, _, _ in (*seen[turn:], *seen[:turn])]
        if len(ready) > 1:
            ready.sort(key=_urgency)
        linux.order()
        self.ready = ready
        self.until = monotonic() + _WHILE

    def take(self, hand: Claiming) -> bool:
        """Claim one of the records that allow() let be taken.

        True if hand.won has it (receive/records.py).
        """
        if not self.ready or monotonic() > self.until:
            return False
        for each in list(self.ready):
            while True:
                segment, slot, named = each.segment, each.at, each.named
                if segment is None or slot >= each.seen:
                    break
                first = slot * _STRIDE
                if not segment.cells[first + S_WORD]:
                    break
                following = slot + 1
                if not segment.cells[first] & LENGTH:
                    following = each.free(segment, slot)
                else:
                    named |= slot << cells.SLOT_SHIFT
                    address = (segment.base + slot * _SLOT,)
                    record = ((segment, slot, named, each.lane),)
                    hand.cells[hand.ref] = cells.CLAIM | named
                    # In one step with the note of it: a signal handler sees both or neither.
                    hand.won += zip(map(atomics.take, address), record)  # noqa: B905
                if each.segment is segment and each.at == slot:
                    each.at, each.end = following, 0
                if hand.won:
                    if hand.won[-1][0] == 0:
                        return True
                    # From here no call and no loop. Nothing is there if a handler has received meanwhile.
                    hand.cells[hand.ref] = 0
                    del hand.won[:]
            if self.ready and self.ready[0] is each:
                del self.ready[0]
        return False

    @staticmethod
    def has_more(seen: list[tuple[Position, Segment, int]]) -> bool:
        """True if not all that see() has found was claimed."""
        return any(each.segment is segment and each.at < end for each, segment, end in seen)

    def forget(self) -> None:
        """Nothing may be taken before allow() is called again."""
        self.ready = []

    def after_fork(self) -> None:
        """In a forked child: nothing is to be taken."""
        self.forget()

    def passed(self, record: Record) -> None:
        """A record is done: with it all of its segment may be."""
        segment = record[0]
        each = self._readers.of[record[3]]
        if each.segment is not segment:
            # It has been passed, so it has an end.
            each.retire(segment, segment.count())


def _urgency(position: Position) -> int:
    return -position.priority
