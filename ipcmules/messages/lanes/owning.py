"""Who writes which lane: taking one, giving it up, and what the dead have left.

Knows the directory, and writer.py for what is in a lane. The lock of the lanes is held for the entry alone:
what takes time (making a segment, asking whether a process lives) comes before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipcmules.kernel import atomics, linux
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.processes import ProcessId
from ipcmules.messages.lanes import chain
from ipcmules.messages.lanes.chain import PRIVATE, SHARED, Segment
from ipcmules.messages.lanes.directory import (
    L_CHAIN,
    L_FIRST,
    L_HEAD,
    L_LAST,
    L_PID,
    L_PRIORITY,
    L_START,
    LANES,
    Directory,
)
from ipcmules.messages.lanes.lock import locked
from ipcmules.messages.lanes.shared import retire
from ipcmules.messages.lanes.writer import Bounds, Lane


def claim(directory: Directory, queue: int, priority: int, bounds: Bounds, patience: float) -> Lane | None:
    """A lane of a queue for this process: that of a process that has ended, or a new one.

    patience: how long to wait for others that are at this just now, seconds. None if there is no lane.
    Raises OSError where memory is full.
    """
    shape = PRIVATE if directory.layout.is_private(queue) else SHARED
    left = _left_behind(directory, queue, priority)
    spare: list[Segment] = []
    try:
        if left is None or not directory.cells[directory.entry(queue, left) + L_CHAIN]:
            noted(spare, chain.prepare, directory.prefix(queue, 0), shape)
        with locked(directory, patience) as held:
            if not held:
                return None
            number = _find(directory, queue, priority, left)
            if number is None:
                return None
            made = Lane(directory, queue, number, priority, bounds)
            made.begin(spare)
            # Who was about to sleep and has not seen that there are lanes: its bell is seen from here on.
            if not linux.barrier():
                atomics.fence()
            return made
    finally:
        for each in spare:
            each.unlink()


def _left_behind(directory: Directory, queue: int, priority: int) -> int | None:
    """Without the lock: a lane that its sender gave up, or else one of a dead sender."""
    for lane in _usable(directory, queue, priority):
        if not directory.cells[directory.entry(queue, lane) + L_PID]:
            return lane
    # Whether there is a process of that number takes a tenth of the time of whether it is the same one.
    for alive in (ProcessId.exists, ProcessId.alive):
        for lane in _usable(directory, queue, priority):
            if not alive(owner(directory, queue, lane)):
                return lane
        if directory.used(queue) < LANES:
            return None
    return None


def _find(directory: Directory, queue: int, priority: int, left: int | None) -> int | None:
    """With the lock held: a lane to take, that was seen to be left behind if it is still; None: none is left.

    Raises OSError where there is no memory for one more.
    """
    cells = directory.cells
    for lane in _usable(directory, queue, priority):
        if not cells[directory.entry(queue, lane) + L_PID]:
            return lane
    usable = left is not None and left in _usable(directory, queue, priority)
    if left is not None and usable and not owner(directory, queue, left).alive():
        return left
    return directory.add(queue)


def _usable(directory: Directory, queue: int, priority: int) -> Iterator[int]:
    """The lanes that are free, or have something of this priority."""
    cells = directory.cells
    for lane in range(directory.used(queue)):
        entry = directory.entry(queue, lane)
        if not cells[entry + L_CHAIN] or cells[entry + L_PRIORITY] == priority:
            yield lane


def owner(directory: Directory, queue: int, lane: int) -> ProcessId:
    """Who writes a lane; pid 0: nobody."""
    cells, entry = directory.cells, directory.entry(queue, lane)
    return ProcessId(int(cells[entry + L_PID]), int(cells[entry + L_START]))


def leave(directory: Directory, lane: Lane) -> None:
    """Nobody of this process writes in a lane any more; an empty one is freed."""
    with locked(directory) as held:
        if held and lane.is_empty():
            free(directory, lane.queue, lane.lane)
        directory.cells[directory.entry(lane.queue, lane.lane) + L_PID] = 0
    if not held and directory.is_gone():
        lane.segment.unlink()  # it was made after the bus's own end, and what is in it is kept


def free(directory: Directory, queue: int, lane: int) -> None:
    """With the lock held: free an empty lane."""
    cells, entry = directory.cells, directory.entry(queue, lane)
    private = directory.layout.is_private(queue)
    number = int(cells[entry + L_HEAD]) >> 32 if private else int(cells[entry + L_FIRST])
    cells[entry + L_CHAIN] = 0
    for each in range(number, int(cells[entry + L_LAST]) + 1):
        chain.remove(f"{directory.prefix(queue, lane)}{each}")


def free_of_the_dead(directory: Directory, queue: int) -> None:
    """Free the empty lanes whose senders have ended, unless somebody else is at this just now."""
    cells = directory.cells
    for lane in range(directory.used(queue)):
        entry = directory.entry(queue, lane)
        if not cells[entry + L_CHAIN] or owner(directory, queue, lane).alive():
            continue
        with locked(directory) as held:
            if not held or owner(directory, queue, lane).alive():
                continue
            if not directory.layout.is_private(queue):
                retire(directory, queue, lane)  # who has marked the last of a segment may have gone on before
            if _is_all_taken(directory, queue, lane):
                free(directory, queue, lane)
                cells[entry + L_PID] = 0


def _is_all_taken(directory: Directory, queue: int, lane: int) -> bool:
    """True if a lane is empty, of which nobody writes or claims anything any more."""
    cells, entry = directory.cells, directory.entry(queue, lane)
    private = directory.layout.is_private(queue)
    head = int(cells[entry + L_HEAD]) if private else int(cells[entry + L_FIRST]) << 32
    try:
        segment = chain.open_segment(
            directory.prefix(queue, lane), head >> 32, PRIVATE if private else SHARED
        )
    except OSError:
        return False  # gone, or there is no descriptor to look with
    count = segment.count()
    if segment.word(count):
        return False  # it goes on
    return head & chain.LENGTH == count if private else segment.all_done(count)


def sweep(directory: Directory) -> None:
    """Remove segments that nobody knows, as who made them was killed meanwhile."""
    for path, pid in chain.prepared(directory.path):
        if not ProcessId(pid, 0).exists():
            chain.remove(path)
