"""Messages that are still queued when a bus ends, saved for its next start.

Saved as kept messages that wait to be queued again (kept.Kept.again), one file each: a master that is
killed between saving and queueing loses nothing. Used at a stop, and when a dead bus of the same name is
taken over. feeder.py queues them again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import posix_ipc

from ipcmules import log
from ipcmules.description import Description, QueueSpec
from ipcmules.errors import LimitError
from ipcmules.master import casualties
from ipcmules.messages import frames, inflight, kept, large, queues
from ipcmules.places import Places

#: Nanoseconds that a save goes back before what waits; a message takes one, so there is room for a billion.
_ROOM = 10**9

LEFT = "left in the queue when the bus ended; it is queued again when the bus starts"


def save(where: Places, found: Description) -> int:
    """Save what the bus's in-flight slots and queues hold, in the order in which it would have been received.

    An unnamed bus keeps nothing: its messages are counted and dropped. Returns how many there were.
    """
    kept.sweep(where)
    named = found.config.named
    count = 0 if named else _drop_waiting(where)
    order = _Order(where) if named else None
    for number in range(1, len(found.config.mules) + 1):
        count += _save_in_flight(where, found, number, order)
    for spec in found.queues:
        if spec.is_spool:
            continue
        for frame, priority in _frames(spec):
            count += _save_frame(where, spec, frame, priority, order)
    if count and named:
        log.event("warning", f"{count} queued messages were left; they are queued again at the next start")
    elif count:
        log.event(
            "warning", f"{count} queued messages were left and dropped: the bus has no name to keep them by"
        )
    return count


class _Order:
    """Gives what is saved now its place before what waits for the same queue already.

    That came later: it had not been queued yet, or its sender could not put it behind what was.
    """

    def __init__(self, where: Places) -> None:
        self._next: dict[str, int] = {}
        for path in reversed(kept.listing(where)):
            try:
                waiting = kept.header(path)
            except (OSError, ValueError):
                continue
            if waiting.again:
                self._next[waiting.endpoint] = kept.place_of(path) - _ROOM

    def next(self, endpoint: str) -> int | None:
        """The place of the next message; None where nothing waits: the time will do."""
        place = self._next.get(endpoint)
        if place is not None:
            self._next[endpoint] = place + 1
        return place


def _save_in_flight(where: Places, found: Description, number: int, order: _Order | None) -> int:
    """What a mule had in hand goes where --on-mule-death says; what it had not yet comes first next time.

    Returns how many messages the latter are.
    """
    endpoint, process = f"mule{number}", f"mule {number}"
    put_away = partial(casualties.put_away, where, found.config, f"{process} ended with it in hand", endpoint)
    try:
        inflight.recover(where, number, put_away if found.config.named else None)
        return _save_rest(where, number, order)
    except posix_ipc.ExistentialError:
        return 0


def _save_rest(where: Places, number: int, order: _Order | None) -> int:
    """Save what a mule's slots have and it was not handed out. Returns how many messages that was."""
    count = 0
    for data, priority, attempts in inflight.rest(where, number):
        count += 1
        if order is not None:
            _store(where, f"mule{number}", data, priority, attempts, order)
    return count


def _save_frame(where: Places, spec: QueueSpec, frame: bytes, priority: int, order: _Order | None) -> int:
    """Save the messages of a frame that was received. Returns how many there were."""
    if order is not None and not spec.shared:
        # By way of the mule's slots, which keep the frame if this process is killed before all are saved.
        number = int(spec.endpoint.removeprefix("mule"))
        try:
            inflight.put(where, number, frame, priority)
            return _save_rest(where, number, order)
        except (posix_ipc.ExistentialError, LimitError, frames.FrameError):
            pass
    count = 0
    for data, attempts in _contents(frame, order is not None):
        count += 1
        if order is not None:
            _store(where, spec.endpoint, data, priority, attempts, order)
    return count


def _store(where: Places, endpoint: str, data: bytes, priority: int, attempts: int, order: _Order) -> None:
    place = order.next(endpoint)
    kept.store(where, data, endpoint, LEFT, priority=priority, attempts=attempts, again=True, place=place)


def _drop_waiting(where: Places) -> int:
    """Remove what an unnamed bus had still to queue again. Returns how many messages that was."""
    waiting = [path for path in kept.listing(where) if kept.header(path).again]
    for path in waiting:
        os.unlink(path)
    return len(waiting)


def _frames(spec: QueueSpec) -> Iterator[tuple[bytes, int]]:
    """Each frame of a queue, taken out of it, and its priority."""
    try:
        queue = queues.open_queue(spec)
    except posix_ipc.ExistentialError:
        return
    try:
        while True:
            try:
                yield queue.receive()
            except posix_ipc.BusyError:
                return
    finally:
        queue.close()


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
