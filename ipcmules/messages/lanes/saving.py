"""The end of a bus: what lies in its lanes, in order, and the word to senders how far it was saved.

Knows the directory and chains. Called when the table says that the bus is over and nobody receives any more.
A sender looks at the bells after it has published, and at the table where they have changed: with a barrier
between that word and the look at the lanes, what was published before it saw the word is found here, and what
it published after that it asks about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ipcmules.kernel import atomics, linux
from ipcmules.messages.lanes import chain
from ipcmules.messages.lanes.chain import DONE, END, PRIVATE, SHARED, Segment
from ipcmules.messages.lanes.directory import L_CHAIN, L_FIRST, L_HEAD, L_PRIORITY, L_SAVED, Directory


class Left(NamedTuple):
    """A message that lies in a lane."""

    data: bytes
    is_large: bool  #: data is a reference
    priority: int


def announce(directory: Directory) -> None:
    """The table says that the bus is over: have every sender look there after its next message."""
    barrier()  # who sees the bell sees that word
    cells = directory.cells
    for queue in range(directory.layout.queues):
        row = directory.bells(queue)
        for bell in range(row.start // 8, row.stop // 8):
            cells[bell] += 2
    barrier()


def drain(directory: Directory, queue: int) -> Iterator[Left]:
    """Everything behind a queue: the more urgent first, then lane by lane, each in order.

    Each is taken when the next is asked for: whoever is killed while he saves it finds it again.
    """
    barrier()
    cells = directory.cells
    lanes = [lane for lane in range(directory.used(queue)) if cells[directory.entry(queue, lane) + L_CHAIN]]
    for lane in sorted(lanes, key=lambda each: -cells[directory.entry(queue, each) + L_PRIORITY]):
        yield from _drain(directory, queue, lane)
    for lane in range(directory.used(queue)):
        entry = directory.entry(queue, lane)
        if not cells[entry + L_SAVED]:  # free, or one that a sender began meanwhile: nothing of it is saved
            cells[entry + L_SAVED] = 1


def barrier() -> None:
    """What this process has stored is seen by others before it reads what comes after."""
    if not linux.barrier():
        atomics.fence()


def _drain(directory: Directory, queue: int, lane: int) -> Iterator[Left]:
    cells, entry = directory.cells, directory.entry(queue, lane)
    private = directory.layout.is_private(queue)
    head = int(cells[entry + L_HEAD]) if private else int(cells[entry + L_FIRST]) << 32
    priority = int(cells[entry + L_PRIORITY])
    segment, slot = _open(directory, queue, lane, head >> 32), head & chain.LENGTH
    while segment is not None:
        word = segment.word(slot)
        if not word:
            cells[entry + L_SAVED] = segment.number << 32 | slot
            return
        if word & END:
            following = _open(directory, queue, lane, word & ~END)
            if following is None:
                return
            if private:
                cells[entry + L_HEAD] = following.number << 32
            segment, slot = following, 0
            continue
        if private or not segment.bytes[DONE + slot]:
            yield Left(*segment.record(slot), priority)
        slot += 1
        if private:
            cells[entry + L_HEAD] = segment.number << 32 | slot
        else:
            segment.bytes[DONE + slot - 1] = 1


def _open(directory: Directory, queue: int, lane: int, number: int) -> Segment | None:
    shape = PRIVATE if directory.layout.is_private(queue) else SHARED
    try:
        return chain.open_segment(directory.prefix(queue, lane), number, shape)
    except FileNotFoundError:
        return None


def count(directory: Directory, queue: int) -> int:
    """How many messages lie behind a queue, about: it is looked at while others write and take."""
    found = 0
    private = directory.layout.is_private(queue)
    for lane in range(directory.used(queue)):
        entry = directory.entry(queue, lane)
        if not directory.cells[entry + L_CHAIN]:
            continue
        head = int(directory.cells[entry + (L_HEAD if private else L_FIRST)])
        number, slot = (head >> 32, head & chain.LENGTH) if private else (head, 0)
        segment = _open(directory, queue, lane, number)
        while segment is not None:
            there = segment.count()
            if private:
                found += there - slot
            else:
                found += bytes(segment.bytes[DONE : DONE + there]).count(0)
            word, slot = segment.word(there), 0
            segment = _open(directory, queue, lane, word & ~END) if word & END else None
    return found
