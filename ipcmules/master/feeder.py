"""Queues messages again that wait in files: left at the last stop, or by dead mules or senders.

As the queues have room, in order; a file is removed when its message is in the queue, so what does not fit
until the end, or a killed master had not come to, stays for the next start.
"""

from __future__ import annotations

import os
from functools import partial

import posix_ipc

from ipcmules import log
from ipcmules.description import Description, QueueSpec
from ipcmules.errors import LimitError
from ipcmules.master.loop import WRITE, Loop
from ipcmules.messages import frames, kept, large, queues
from ipcmules.messages.kept import Kept
from ipcmules.places import Places
from ipcmules.table import R_URGENT, Table

#: Messages that are read from their files for one frame.
_MOST = 50


class Feeder:
    """One a run of a bus. Everything happens in the loop's callbacks."""

    def __init__(self, loop: Loop, where: Places, found: Description, shared: Table) -> None:
        self._loop = loop
        self._where = where
        self._found = found
        self._table = shared
        self._queues: dict[str, _Queue] = {}
        #: Files that have been looked at: one that is not to be queued again, or waits here already.
        self._seen: set[str] = set()

    def look(self) -> None:
        """Queue what was left, or senders have left since: what fits now, and the rest when there is room."""
        lost: list[str] = []
        waiting: list[Kept] = []
        there = kept.listing(self._where)
        self._seen &= set(there)
        new = [path for path in there if path not in self._seen]
        self._seen.update(new)
        for each in map(_header, new):
            if each is None or not each.again:
                continue
            if self._found.queue(each.endpoint) is None:
                lost.append(each.endpoint)
            else:
                waiting.append(each)
        if lost:
            names = ", ".join(sorted(set(lost)))
            log.event(
                "warning", f"{len(lost)} saved messages are for {names}, which this bus does not have: kept"
            )
        # As they would have been received: the more urgent ones first, and the older of equals.
        for each in sorted(waiting, key=lambda each: -each.priority):
            self._queue(each.endpoint).waiting.append(each)
        for endpoint in list(self._queues):
            self._feed(endpoint)

    def add(self, path: str) -> None:
        """Queue one more message, behind what waits for its queue already."""
        if path in self._seen:
            return
        self._seen.add(path)
        found = _header(path)
        if found is not None and self._found.queue(found.endpoint) is not None:
            self._queue(found.endpoint).waiting.append(found)
            self._feed(found.endpoint)

    def close(self) -> None:
        """Stop feeding."""
        for endpoint in list(self._queues):
            self._close(endpoint)

    def _queue(self, endpoint: str) -> _Queue:
        queue = self._queues.get(endpoint)
        if queue is None:
            spec = self._found.queue(endpoint)
            assert spec is not None
            queue = self._queues[endpoint] = _Queue(queues.open_queue(spec), spec)
        return queue

    def _feed(self, endpoint: str) -> None:
        """Queue as much as there is room for, and wait for room if there is more."""
        queue = self._queues[endpoint]
        while queue.waiting:
            count = queue.send(self._where)
            if not count:
                if not queue.watched:
                    queue.watched = True
                    self._loop.watch(queue.handle.mqd, partial(self._feed, endpoint), WRITE)
                return
            sent, queue.waiting = queue.waiting[:count], queue.waiting[count:]
            for each in sent:
                os.unlink(each.path)
            if sent[0].priority and endpoint.startswith("mule"):
                self._table.cells[self._table.mule(int(endpoint[4:])) + R_URGENT] = 1
        self._close(endpoint)

    def _close(self, endpoint: str) -> None:
        queue = self._queues.pop(endpoint)
        if queue.watched:
            self._loop.forget(queue.handle.mqd)
        queue.handle.close()


class _Queue:
    """One queue that messages wait for."""

    def __init__(self, handle: posix_ipc.MessageQueue, spec: QueueSpec) -> None:
        self.handle = handle
        self.waiting: list[Kept] = []
        self.watched = False
        self._spec = spec

    def send(self, where: Places) -> int:
        """Send the next frame. Returns how many messages it carried, 0 if there is no room."""
        if self.handle.current_messages >= self._spec.depth:
            return 0
        first = self.waiting[0]
        try:
            frame, count = self._frame(where, first)
        except LimitError as error:
            log.event("error", f"a saved message cannot be queued again now and stays saved: {error}")
            del self.waiting[0]
            return 0
        except (OSError, ValueError) as error:
            log.event("error", f"the saved message {first.path} cannot be read: {error}")
            del self.waiting[0]
            return 0
        try:
            self.handle.send(frame, None, first.priority)
        except posix_ipc.BusyError:
            if frames.is_large(frame):
                large.discard(frame[frames.OVERHEAD :])
            return 0
        return count

    def _frame(self, where: Places, first: Kept) -> tuple[bytes, int]:
        """The next frame, and how many messages it carries: all of one priority, and none that was tried."""
        if first.attempts:
            # Only a message that lies by itself carries how often it was tried (large.attempts_of).
            return frames.large(large.store(where, kept.load(first.path).data, first.attempts)), 1
        alike = [kept.load(first.path).data]
        for each in self.waiting[1 : 1 if self._spec.shared else _MOST]:
            if each.attempts or each.priority != first.priority:
                break
            try:
                alike.append(kept.load(each.path).data)
            except (OSError, ValueError):
                break  # said when it is the first
        count = 1 if self._spec.shared else frames.fitting(alike, self._spec.size)
        frame = frames.pack(alike[:count])
        if len(frame) > self._spec.size:
            frame = frames.large(large.store(where, alike[0]))
        return frame, count


def _header(path: str) -> Kept | None:
    try:
        return kept.header(path)
    except (OSError, ValueError) as error:
        log.event("error", f"the kept message {path} cannot be read: {error}")
        return None
