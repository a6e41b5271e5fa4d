"""Records of the lanes behind shared queues, from a claim into a thread's hand.

Knows a thread's hand and the lanes; not when records may be taken (intake.py). A claim and the note of it are
one step of C code; from the note a message goes into the hand in a stretch without calls. So wherever a
signal handler raises, the next receive goes on from there (ipcmules.kernel.interruption).
"""

from __future__ import annotations

import sys
from typing import Protocol

from ipcmules.kernel import linux
from ipcmules.messages import frames
from ipcmules.messages.lanes.cells import CLAIM, FROM_LANE, OWN, REFERENCE, SLOT_SHIFT
from ipcmules.messages.lanes.chain import DONE, LARGE, LENGTH, S_START, S_WORD, SHARED
from ipcmules.messages.lanes.tally import Tally
from ipcmules.messages.receive.hand import Hand

_STRIDE = SHARED.stride
_FROM_LANE = OWN | FROM_LANE
#: From one record's name to that of the one behind it; from its being in hand, without its length, to its
#: claim.
_NEXT, _CLAIMED = 1 << SLOT_SHIFT, CLAIM - _FROM_LANE
#: Whether threads change, and handlers run, where a condition jumps, as in CPython 3.10.
_JUMPS_LOOK = sys.version_info < (3, 11)


class Count(Protocol):
    """The handout: the threads' cells, and how many messages were taken of each queue."""

    cells: memoryview
    tallies: dict[int, Tally]


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
    start, done, tally = hand.area, DONE + slot, count.tallies[named >> 32 & 0xFFFF]
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
            tally.taken += 1
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


def next_record(count: Count, hand: Hand) -> bytes | None:
    """Claim the next record of the lane that the thread had the last one of, put it in hand, mark it as done.

    Returns it. For a hand that owes nothing, while nothing is loaded and `hand.until` is not over. None where
    a look around is needed: SharedLanes.take() and take_claim() are the long way, which does the same.
    """
    position = hand.position
    while position is not None:
        # From here to the return no call and no loop, but for a step of position.claims, which is the claim;
        # and, for CPython 3.10, no condition that jumps. So `at` is where those steps are.
        at = position.at
        if at < position.end:
            cells, claims, named = position.cells, position.claims, position.mark
            first = at * _STRIDE
            size = cells[first + S_WORD] - 1
            if size < LENGTH:
                start = cells[first + S_START]
                data: bytes = position.memory[start : start + size]
                start = hand.area
                ref = named + (size - _CLAIMED)
                if cells[first]:
                    hand.cells[hand.ref] = named
                    for result in claims:
                        # Before the condition, which jumps where another receiver was faster.
                        position.at = at + 1
                        position.mark = named + _NEXT
                        if not result:
                            hand.memory[start : start + size] = data
                            hand.cells[hand.ref] = ref
                            position.memory[DONE + at] = 1
                            position.tally.taken += 1
                            return data
                        hand.cells[hand.ref] = 0
                        break
                    else:
                        position.end = 0
                elif (
                    _JUMPS_LOOK
                ):  # another thread may have gone on by now: whose the next step is is not known
                    position.end = 0
                    return None
                else:  # another receiver has it
                    for _ in claims:
                        position.at = at + 1
                        position.mark = named + _NEXT
                        break
                    else:
                        position.end = 0
                continue
        return None
    return None
