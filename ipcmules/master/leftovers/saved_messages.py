"""Messages that are still queued when a bus ends, saved for its next start.

Saved as kept messages that wait to be queued again (kept.Kept.again), one file each: a master that is
killed between saving and queueing loses nothing. Used at a stop, and when a dead bus of the same name is
taken over. feeder.py queues them again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import posix_ipc

from ipcmules.bus import log
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.places import Places
from ipcmules.errors import LimitError
from ipcmules.master.children import in_hand_policy
from ipcmules.messages import frames, in_hand, kept, large, queues
from ipcmules.messages import slots as inflight
from ipcmules.messages.lanes import directory as lanes
from ipcmules.messages.lanes import saving
from ipcmules.messages.lanes.directory import Directory, endpoint_of

#: Nanoseconds that a save goes back before what waits; a message takes one, so there is room for a billion.
_ROOM = 10**9

LEFT = "left in the queue when the bus ended; it is queued again when the bus starts"


def save(where: Places, found: Description) -> int:
    """Save what the bus's in-flight slots, queues and lanes hold, in the order in which it would have been
    received.

    Raises OSError where neither the state directory nor shared memory takes it: what was not saved stays.

    An unnamed bus keeps nothing: its messages are counted and dropped. Returns how many there were.
    """
    directory = _lanes(where)
    if directory is not None:
        saving.announce(directory)
    kept.sweep(where)
    kept.settle(where)
    named = found.config.named
    count = 0 if named else _drop_waiting(where)
    order = _Order(where) if named else None
    for number in range(1, len(found.config.mules) + 1):
        count += _save_in_flight(where, found, number, order)
    for spec in found.queues:
        if not spec.is_spool:
            count += _save_queue(where, found, spec, order)
    if directory is not None:
        count += _save_lanes(where, found, directory, order)
    if count and named:
        log.event("warning", f"{count} queued messages were left; they are queued again at the next start")
    elif count:
        log.event(
            "warning", f"{count} queued messages were left and dropped: the bus has no name to keep them by"
        )
    return count


def _save_queue(where: Places, found: Description, spec: QueueSpec, order: _Order | None) -> int:
    """Save what a queue holds. Where a frame cannot be saved it is in the queue again, or in a slot.

    By way of slots, which keep a frame if this process is killed before all of it is saved: those of the
    mule, or of the first one where the queue is shared.
    """
    count = 0
    try:
        queue = queues.open_queue(spec)
    except posix_ipc.ExistentialError:
        return 0
    number = 1 if spec.shared else int(spec.endpoint.removeprefix("mule"))
    slots = _slots(where, number, spec.size) if order is not None else None
    source = _source(found, spec.endpoint)
    try:
        for frame, priority in _frames(queue):
            if slots is not None and order is not None and len(frame) <= spec.size:
                if not spec.shared:
                    slots.put(frame, priority)
                    count += _save_rest(where, number, order)
                    continue
                if frames.count_of(frame) == 1:
                    slots.hold(frame, priority, source)
                    count += _save_in_flight(where, found, number, order)
                    continue
            try:
                count += _save_frame(where, spec, frame, priority, order)
            except _Unsaved as unsaved:
                _put_back(queue, [(frame, priority), *_frames(queue)])
                assert isinstance(unsaved.__cause__, OSError)
                raise unsaved.__cause__ from None
    finally:
        queue.close()
        if slots is not None:
            slots.close()
    return count


def _slots(where: Places, number: int, size: int) -> inflight.Slots | None:
    """The slots, with room for frames of that size; None where there are none."""
    try:
        slots = inflight.Slots(where, number)
    except (posix_ipc.ExistentialError, inflight.HalfMade):
        return None
    try:
        slots.reserve_for_saving(max(size, 1))
    except LimitError:
        slots.close()
        return None
    return slots


def _source(found: Description, endpoint: str) -> int:
    """The number that a slot has for a shared queue, as in_hand.endpoint_of() reads it."""
    if not endpoint.startswith("farm."):
        return 1
    names = [f"farm.{each.name}" for each in found.config.farms]
    return 2 + names.index(endpoint) if endpoint in names else 1


def _put_back(queue: posix_ipc.MessageQueue, taken: list[tuple[bytes, int]]) -> None:
    """All of what was in the queue, in its order."""
    for frame, priority in taken:
        queue.send(frame, None, priority)


class _Order:
    """Gives what is saved now its place before what waits for the same queue already.

    That came later: it had not been queued yet, or its sender could not put it behind what was.
    """

    def __init__(self, where: Places) -> None:
        self._waiting = kept.listing(where)
        #: By endpoint; None until the first message: there may be many files to open, and nothing to save.
        self._next: dict[str, int] | None = None

    def next(self, endpoint: str) -> int | None:
        """The place of the next message; None where nothing waits: the time will do."""
        if self._next is None:
            self._next = self._look()
        place = self._next.get(endpoint)
        if place is not None:
            self._next[endpoint] = place + 1
        return place

    def _look(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in reversed(self._waiting):
            try:
                waiting = kept.header(path)
            except (OSError, ValueError):
                continue
            if waiting.again:
                found[waiting.endpoint] = kept.place_of(path) - _ROOM
        return found


def _save_in_flight(where: Places, found: Description, number: int, order: _Order | None) -> int:
    """What a mule had in hand goes where --on-mule-death says; what it had not yet comes first next time.

    Returns how many messages the latter are.
    """
    endpoint, process = f"mule{number}", f"mule {number}"
    saved = 0

    def put_away(left: in_hand.Left) -> None:
        nonlocal saved
        if left.saving and order is not None:
            saved += 1
            _store(where, left.endpoint, left.data, left.priority, left.attempts, order)
        else:
            reason = f"{process} ended with it in hand"
            in_hand_policy.put_away(where, found.config, reason, endpoint, left)

    try:
        in_hand.recover(where, number, put_away if found.config.named else None)
        return saved + _save_rest(where, number, order)
    except (posix_ipc.ExistentialError, inflight.HalfMade):
        return 0


def _save_rest(where: Places, number: int, order: _Order | None) -> int:
    """Save what a mule's slots have and it was not handed out. Returns how many messages that was."""
    count = 0
    for data, priority, attempts in in_hand.rest(where, number):
        count += 1
        if order is not None:
            _store(where, f"mule{number}", data, priority, attempts, order)
    return count


def _save_frame(where: Places, spec: QueueSpec, frame: bytes, priority: int, order: _Order | None) -> int:
    """Save the messages of a frame that was received, without a slot. Returns how many there were."""
    stored: list[str] = []
    count = 0
    try:
        for data, attempts in _contents(frame, order is not None):
            count += 1
            if order is not None:
                stored.append(_store(where, spec.endpoint, data, priority, attempts, order))
    except OSError as error:
        for path in stored:  # the frame goes back as a whole
            os.unlink(path)
        raise _Unsaved from error
    return count


class _Unsaved(Exception):
    """Internal: a frame could not be saved, and is nowhere any more."""


def _lanes(where: Places) -> Directory | None:
    try:
        return Directory(where)
    except (posix_ipc.ExistentialError, lanes.HalfMade):
        return None


def _save_lanes(where: Places, found: Description, directory: Directory, order: _Order | None) -> int:
    """Save what lies in the lanes behind the queues. Returns how many messages that was.

    Where a message cannot be saved it stays in its lane.
    """
    count = 0
    for queue in range(directory.layout.queues):
        endpoint = endpoint_of(found.config, queue)
        for left in saving.drain(directory, queue):
            count += 1
            frame = frames.large(left.data) if left.is_large else frames.SINGLE + left.data
            for data, attempts in _contents(frame, order is not None):
                if order is not None:
                    _store(where, endpoint, data, left.priority, attempts, order)
    return count


def _store(where: Places, endpoint: str, data: bytes, priority: int, attempts: int, order: _Order) -> str:
    place = order.next(endpoint)
    return kept.store(
        where,
        data,
        endpoint,
        LEFT,
        priority=priority,
        attempts=attempts,
        again=True,
        place=place,
        patience=0,
    )


def _drop_waiting(where: Places) -> int:
    """Remove what an unnamed bus had still to queue again. Returns how many messages that was."""
    waiting = [path for path in kept.listing(where) if kept.header(path).again]
    for path in waiting:
        os.unlink(path)
    return len(waiting)


def _frames(queue: posix_ipc.MessageQueue) -> Iterator[tuple[bytes, int]]:
    """Each frame of a queue, taken out of it, and its priority."""
    while True:
        try:
            frame, priority = queue.receive()
        except (posix_ipc.BusyError, posix_ipc.ExistentialError):
            return
        if frame != frames.WAKE:
            yield frame, priority


def _contents(frame: bytes, named: bool) -> Iterator[tuple[bytes, int]]:
    """The messages of a frame. A large one is removed when the next one is asked for: it is saved then."""
    try:
        parts = frames.unpack(frame)
        if not frames.is_large(frame):
            yield from ((data, 0) for data in parts)
            return
        yield large.peek(parts[0]) if named else b"", large.attempts_of(parts[0])
        large.discard(parts[0])
    except (frames.FrameError, OSError, ValueError) as error:
        log.event("error", f"a queued frame of {len(frame)} bytes could not be read: {error}")
