"""What a thread's cell of the in-flight slots says of a record of a lane (messages/slots.py has the rest).

Numbers alone: a record is the last 12 bits of its segment's number, its lane and its slot.
"""

from __future__ import annotations

#: In its own area: OWN | maybe REFERENCE | source << 32 | length.
OWN = 1 << 62
#: And that is a reference to a large message.
REFERENCE = 1 << 61
#: And it comes from the lane of a shared queue: record() is in there, and the length has LANE_LENGTH bits.
FROM_LANE = 1 << 60
LANE_LENGTH = (1 << 14) - 1
#: Without FROM_LANE, in the first mule's first cell: no mule has it. A master that saves the queue of that
#: source has just received it.
SAVING = 1 << 59
#: It is about to claim a record: CLAIM | source << 32 | record().
CLAIM = 1 << 63


#: A record's slot stands from this bit on, below the bits of its lane.
SLOT_SHIFT = 14


def record(segment: int, lane: int, slot: int) -> int:
    """A record as it stands in a cell."""
    return (segment & 0xFFF) << 48 | lane << 24 | slot << SLOT_SHIFT


def record_of(ref: int) -> tuple[int, int, int]:
    """The inverse of record(): the last 12 bits of the segment's number, lane, slot."""
    return ref >> 48 & 0xFFF, ref >> 24 & 0xFF, ref >> SLOT_SHIFT & 0x3FF


def source_of(ref: int) -> int:
    """The number of the queue in a cell: 0 its own, 1 the pool, then the farms."""
    return ref >> 32 & 0xFFFF
