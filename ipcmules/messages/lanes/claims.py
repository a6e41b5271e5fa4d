"""What a dead receiver of a shared queue had claimed and not yet in hand.

Knows the directory and chains; threads' cells are read by whoever asks (messages/slots.py). A record whose
count is 0 and that is not done was claimed by one of those whose cells name it. A living one of them goes on
within microseconds: it either had the record, and then it is done, or it had not, and then its cell names it
no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ipcmules.kernel import linux
from ipcmules.messages.lanes import chain
from ipcmules.messages.lanes.chain import DONE, END, LARGE, LENGTH, S_START, S_WORD, SHARED, Segment
from ipcmules.messages.lanes.directory import L_CHAIN, L_FIRST, Directory

#: How long a living process is waited for that has claimed the same record, seconds. One that is stopped
#: keeps it longer: then the record stays in the lane, and is saved when the bus ends.
_PATIENCE = 0.05


def queue_of(directory: Directory, source: int) -> int:
    """The number of a shared queue in the directory, from that in the slots: 1 the pool, 2.. the farms."""
    return 0 if source == 1 else directory.layout.mules + source - 1


def _find(directory: Directory, queue: int, low: int, lane: int) -> Segment | None:
    """The segment whose number ends in these 12 bits; None if it is gone, as all of it is done.

    Receivers remove the first ones meanwhile, after the entry says which one is the first then.
    """
    entry, prefix = directory.entry(queue, lane), directory.prefix(queue, lane)
    first = number = int(directory.cells[entry + L_FIRST])
    while directory.cells[entry + L_CHAIN]:
        try:
            segment = chain.open_segment(prefix, number, SHARED)
        except FileNotFoundError:
            before, first = first, int(directory.cells[entry + L_FIRST])
            if first == before:
                return None
            number = first
            continue
        if number & 0xFFF == low:
            return segment
        word = segment.word(segment.count())
        if not word & END:
            return None
        number = word & ~END
    return None


def mark_done(directory: Directory, source: int, record: tuple[int, int, int]) -> None:
    """A record is put away: nobody need look for it. record: as slots.record_of() gives it."""
    low, lane, slot = record
    segment = _find(directory, queue_of(directory, source), low, lane)
    if segment is not None:
        segment.bytes[DONE + slot] = 1


def orphan(
    directory: Directory, source: int, record: tuple[int, int, int], others: Callable[[], bool]
) -> tuple[bytes, bool] | None:
    """What a dead process had claimed: bytes, and whether they are a reference; None: it had not.

    others() tells whether another process names the record. Ends with mark_done(), once that is put away.
    """
    low, lane, slot = record
    segment = _find(directory, queue_of(directory, source), low, lane)
    if segment is None:
        return None
    first = slot * SHARED.stride
    deadline = time.monotonic() + _PATIENCE
    while True:
        # In this order: a living claimer sets its cell before it takes, and the mark before it empties the
        # cell.
        if segment.cells[first] & LENGTH:
            return None
        linux.barrier()
        named = others()
        linux.barrier()
        if segment.bytes[DONE + slot]:
            return None
        if not named:
            word, start = segment.cells[first + S_WORD], segment.cells[first + S_START]
            return bytes(segment.bytes[start : start + (word & LENGTH) - 1]), bool(word & LARGE)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.0005)
