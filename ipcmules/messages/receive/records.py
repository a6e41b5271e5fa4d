"""Records of the lanes behind shared queues, from a claim into a thread's hand.

Knows a thread's hand and the lanes; not when records may be taken (intake.py). A claim and the note of it are
one step of C code; from the note a message goes into the hand in a stretch without calls. So wherever a
signal handler raises, the next receive goes on from there (ipcmules.kernel.interruption).
"""

from __future__ import annotations

from typing import Protocol

from ipcmules.kernel import linux
from ipcmules.kernel.atomics import take
from ipcmules.messages import frames
from ipcmules.messages.lanes.cells import CLAIM, FROM_LANE, OWN, REFERENCE, SLOT_SHIFT
from ipcmules.messages.lanes.chain import DONE, LARGE, LENGTH, S_START, S_WORD, SHARED
from ipcmules.messages.lanes.shared import Position
from ipcmules.messages.receive.hand import Hand

_STRIDE = SHARED.stride
_FROM_LANE = OWN | FROM_LANE


class Count(Protocol):
    """The handout: the threads' cells, and how many messages were received."""

    cells: memoryview
    received: int


def take_claim(count: Count, hand: Hand) -> None:
    """What a claim of a record of a lane has brought is put in hand, to be returned.

    A large one goes to what came of a queue.
    """
    claim = hand.won[-1] if hand.won else None
    if claim is None:
        return
    result, (segment, slot, named, _lane) = claim
    if linux.WEAKLY_ORDERED:
        linux.order()
    first = slot * SHARED.stride
    word, begins = segment.cells[first + S_WORD], segment.cells[first + S_START]
    size = (word & LENGTH) - 1
    data = segment.memory[begins : begins + size]
    item = (frames.large(data), 0, named >> 32 & 0xFFFF) if word & LARGE else None
    start, done = hand.area, DONE + slot
    end = start + size
    if result:  # somebody else has it
        if hand.won and hand.won[-1] is claim:
            # From here on no call and no loop; and, for CPython 3.10, no condition that jumps.
            count.cells[hand.ref] = 0
            del hand.won[:]
    elif item is None:
        ref = _FROM_LANE | named | size
        if hand.won and hand.won[-1] is claim:
            # As above.
            hand.memory[start:end] = data
            count.cells[hand.ref] = ref
            segment.bytes[done] = 1
            hand.given = data
            count.received += 1
            del hand.won[:]
    else:
        ref = _FROM_LANE | REFERENCE | named | size
        if hand.won and hand.won[-1] is claim:
            # As above.
            hand.memory[start:end] = data
            count.cells[hand.ref] = ref
            segment.bytes[done] = 1
            hand.came += [item]
            del hand.won[:]


def next_record(count: Count, hand: Hand, position: Position) -> bool:
    """Claim the next record of a lane, put it in hand and mark it as done.

    For a hand that is empty and owes nothing. False where a look around is needed: SharedLanes.take() and
    take_claim() are the long way, which does the same.
    """
    segment, slot, seen = position.segment, position.at, position.seen
    if segment is None:
        return False
    cells = segment.cells
    first = slot * _STRIDE
    while slot < seen and not cells[first] & LENGTH:  # claimed by another receiver
        slot += 1
        first += _STRIDE
    if slot >= seen:
        position.to(segment, slot)
        return False
    size = cells[first + S_WORD] - 1
    if not 0 <= size < LENGTH:
        return False  # a large one, or none
    begins = cells[first + S_START]
    data = segment.memory[begins : begins + size]
    named = position.named | slot << SLOT_SHIFT
    record = (segment, slot, named, position.lane)
    won, start, end, done = hand.won, hand.area, hand.area + size, DONE + slot
    count.cells[hand.ref] = CLAIM | named
    # In one step with the note of it: a signal handler sees both or neither.
    won += zip(map(take, (segment.base + first * 8,)), (record,))  # noqa: B905
    if won and won[-1][1] is record and not won[-1][0]:
        # From here on no call and no loop; and, for CPython 3.10, no condition that jumps.
        hand.memory[start:end] = data
        count.cells[hand.ref] = _FROM_LANE | named | size
        segment.bytes[done] = 1
        hand.given = data
        count.received += 1
        del won[:]
        if position.segment is segment:  # a handler may have gone on meanwhile
            position.at = slot + 1
        return True
    if won and won[-1][1] is record:  # another receiver was faster
        count.cells[hand.ref] = 0
        del won[:]
    return False
