"""Messages that are still queued when a bus ends, saved for its next start, and queued again there.

Saved as kept messages with a reason of their own (LEFT), one file each: a master that is killed between
saving and queueing loses nothing. Used at a stop, and when a dead bus of the same name is taken over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial

import posix_ipc

from ipcmules import log
from ipcmules.description import Description, QueueSpec
from ipcmules.master.loop import WRITE, Loop
from ipcmules.messages import frames, inflight, kept, large, queues
from ipcmules.places import Places

LEFT = "left in the queue when the bus ended; it is queued again when the bus starts"


def save(where: Places, found: Description) -> int:
    """Save what the bus's in-flight slots and queues hold, in the order in which it would have been received.

    An unnamed bus keeps nothing: its messages are counted and dropped. Returns how many there were.
    """
    count = sum(_save_in_flight(where, found, number) for number in range(1, len(found.config.mules) + 1))
    for spec in found.queues:
        for data in _queued(where, spec, found.config.named):
            count += 1
            if found.config.named:
                kept.store(where, data, spec.endpoint, LEFT)
    if count and found.config.named:
        log.event("warning", f"{count} queued messages were left; they are queued again at the next start")
    elif count:
        log.event(
            "warning", f"{count} queued messages were left and dropped: the bus has no name to keep them by"
        )
    return count


def _save_in_flight(where: Places, found: Description, number: int) -> int:
    """What a mule had in hand is kept; what it was not handed out of its frames comes first next time.

    Returns how many messages the latter are.
    """
    endpoint, process = f"mule{number}", f"mule {number}"
    try:
        in_hand, rest = inflight.recover(where, number), inflight.rest(where, number)
    except posix_ipc.ExistentialError:
        return 0
    if found.config.named:
        for left in in_hand:
            kept.keep(where, left.data, left.endpoint, f"{process} ended with it in hand", endpoint)
        for data, _priority in rest:
            kept.store(where, data, endpoint, LEFT)
    return len(rest)


def _queued(where: Places, spec: QueueSpec, named: bool) -> Iterator[bytes]:
    try:
        queue = queues.open_queue(spec)
    except posix_ipc.ExistentialError:
        return
    try:
        while True:
            try:
                frame, _priority = queue.receive()
            except posix_ipc.BusyError:
                return
            yield from _contents(frame, named)
    finally:
        queue.close()


def _contents(frame: bytes, named: bool) -> Iterator[bytes]:
    """The messages of a frame. A large one is removed when the next one is asked for: it is saved then."""
    try:
        parts = frames.unpack(frame)
        if not frames.is_large(frame):
            yield from parts
            return
        yield large.peek(parts[0]) if named else b""
        large.discard(parts[0])
    except (frames.FrameError, OSError, ValueError) as error:
        log.event("error", f"a queued frame of {len(frame)} bytes could not be read: {error}")


class Feeder:
    """Queues saved messages again, as the queues have room. What does not fit until the end stays saved."""

    def __init__(self, loop: Loop, where: Places, found: Description) -> None:
        self._loop = loop
        self._where = where
        self._waiting: dict[str, list[str]] = {}
        lost: list[str] = []
        for path in kept.listing(where):
            endpoint = _saved_for(path)
            if endpoint is None:
                continue
            if found.queue(endpoint) is None:
                lost.append(endpoint)
            else:
                self._waiting.setdefault(endpoint, []).append(path)
        if lost:
            names = ", ".join(sorted(set(lost)))
            log.event(
                "warning", f"{len(lost)} saved messages are for {names}, which this bus does not have: kept"
            )
        specs = [spec for spec in found.queues if spec.endpoint in self._waiting]
        self._queues = {spec.endpoint: _Queue(queues.open_queue(spec), spec) for spec in specs}

    def start(self) -> None:
        """Queue what fits now, and the rest when there is room."""
        for endpoint, queue in self._queues.items():
            if not self._fill(endpoint):
                self._loop.watch(queue.handle.mqd, partial(self._room, endpoint), WRITE)

    def close(self) -> None:
        """Stop feeding."""
        for endpoint, queue in self._queues.items():
            if self._waiting[endpoint]:
                self._loop.forget(queue.handle.mqd)
            queue.handle.close()
        self._queues.clear()

    def _room(self, endpoint: str) -> None:
        if self._fill(endpoint):
            self._loop.forget(self._queues[endpoint].handle.mqd)

    def _fill(self, endpoint: str) -> bool:
        """Queue as much as there is room for. Returns True if nothing waits any more."""
        waiting, queue = self._waiting[endpoint], self._queues[endpoint]
        while waiting:
            count = queue.send(self._where, waiting)
            if not count:
                return False
            for path in waiting[:count]:
                os.unlink(path)
            del waiting[:count]
        return True


class _Queue:
    """One queue that saved messages go to."""

    def __init__(self, handle: posix_ipc.MessageQueue, spec: QueueSpec) -> None:
        self.handle = handle
        self._spec = spec

    def send(self, where: Places, paths: list[str]) -> int:
        """Send the next frame. Returns how many messages it carried, 0 if the queue is full."""
        if self.handle.current_messages >= self._spec.depth:
            return 0
        messages = [kept.load(path).data for path in paths[: 1 if self._spec.shared else 50]]
        count = 1 if self._spec.shared else frames.fitting(messages, self._spec.size)
        frame = frames.pack(messages[:count])
        if len(frame) > self._spec.size:
            frame = frames.large(large.store(where, messages[0]))
        try:
            self.handle.send(frame)
        except posix_ipc.BusyError:
            return 0
        return count


def _saved_for(path: str) -> str | None:
    """The endpoint of a message that was saved by save(), None for any other kept message."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return str(header["endpoint"]) if header.get("reason") == LEFT else None
