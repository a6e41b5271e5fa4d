"""Queues messages again that wait in files: left at the last stop, or by dead mules or senders.

As the queues have room, in order; a file is removed when its message is in the queue, so what does not fit
until the end, or a killed master had not come to, stays for the next start. There may be a great many files,
most of them dead letters: they are looked at in slices, a slice a turn of the loop, each of them once.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import time
from collections import deque
from collections.abc import Iterator
from functools import partial

import posix_ipc

from ipcmules.bus import log
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.places import Places
from ipcmules.bus.table import R_URGENT, Table
from ipcmules.errors import LimitError
from ipcmules.kernel import exhaustion
from ipcmules.master.loop.selector import WRITE, Loop
from ipcmules.messages import frames, kept, large, queues, spill
from ipcmules.messages.kept import Kept

#: Messages that are read from their files for one frame.
_MOST = 50
#: In one turn of the loop at most so many names are read, files opened, frames sent.
NAMES, HEADERS, FRAMES = 2000, 50, 20
#: So many turns are taken at once at the start, where nobody waits for an answer: what was left is queued
#: before anything new, unless it is very much.
_TURNS = 100
#: A directory that has changed so shortly ago may change again without another time, seconds.
_TICK = 0.1


class Feeder:
    """One a run of a bus. Everything happens in the loop's callbacks."""

    def __init__(self, loop: Loop, where: Places, found: Description, shared: Table) -> None:
        self._loop = loop
        self._where = where
        self._found = found
        self._table = shared
        self._queues: dict[str, _Queue] = {}
        #: Names that have been looked at: not to be queued again, or waiting here already.
        self._seen: set[str] = set()
        #: The look that is going on, and whether another one was asked for meanwhile.
        self._look: Iterator[None] | None = None
        self._again = False
        self._added: list[str] = []
        self._version = 0

    def begin(self) -> None:
        """The first look, before anybody else can send."""
        self._look = self._look_around()
        self._loop.attempt(partial(self._run, _TURNS))

    def look(self) -> None:
        """Queue what senders have left since: what fits now, and the rest when there is room."""
        if self._look is not None:
            self._again = True
        elif self._changed():
            self._look = self._look_around()
            self._loop.attempt(partial(self._run, 1))

    def add(self, path: str) -> None:
        """Queue one more message, behind what waits for its queue already."""
        if self._look is not None:
            self._added.append(path)
            return
        self._loop.attempt(partial(self._add, kept.name_of(path)))

    def _add(self, name: str) -> None:
        if name in self._seen:
            return
        found = self._header(name)
        if found is not None and self._found.queue(found.endpoint) is not None:
            self._queue(found.endpoint).waiting.append(found)
            self._seen.add(name)
            self._loop.attempt(partial(self._feed, found.endpoint))
        self._seen.add(name)

    def _changed(self) -> bool:
        """False if the directory is as it was at the last look, and nothing new is in shared memory."""
        version = self._version_now()
        return not version or version != self._version or not self._seen.issuperset(spill.names(self._where))

    def _version_now(self) -> int:
        """The directory's modification time, 0 if that says nothing."""
        try:
            version = os.stat(self._where.kept).st_mtime_ns
        except OSError:
            return 0
        return version if version / 1e9 < time.time() - _TICK else 0

    def _run(self, turns: int) -> None:
        """Go on with the look, for so many turns; the rest follows in others."""
        for _ in range(turns):
            if self._look is None:
                return
            try:
                over = next(self._look, self) is self
            except OSError:
                self._look = self._look_around()  # from its beginning, when the loop calls this again
                raise
            if over:
                self._look = None
                self._end_of_look()
        if self._look is not None:
            self._loop.later(0.0, partial(self._run, 1))

    def _end_of_look(self) -> None:
        added, self._added = self._added, []
        for path in added:
            self.add(path)
        if self._again:
            self._again = False
            self._loop.later(0.0, self.look)

    def _look_around(self) -> Iterator[None]:
        """Find what is new and begin to feed it; a turn ends at each yield."""
        version = self._version_now()
        there: set[str] = set()
        runs: list[list[str]] = []
        for names in kept.batches(self._where, NAMES):
            there.update(names)
            runs.append(sorted(name for name in names if name not in self._seen))
            yield
        self._seen &= there
        new: set[str] = set()
        lost: list[str] = []
        # As they would have been received: the more urgent ones first, and the older of equals.
        waiting: dict[int, list[Kept]] = {}
        for number, name in enumerate(heapq.merge(*runs), 1):
            if name in new:
                continue  # in both places: who moved it was killed before the last step
            each = self._header(name)
            new.add(name)
            if each is not None and each.again:
                if self._found.queue(each.endpoint) is None:
                    lost.append(each.endpoint)
                else:
                    waiting.setdefault(each.priority, []).append(each)
            if number % HEADERS == 0:
                yield
        for endpoint in {each.endpoint for some in waiting.values() for each in some}:
            self._queue(endpoint)
        # Until here it may be refused a descriptor, and begins anew.
        self._seen |= new
        _say_lost(lost)
        yield from self._begin_to_feed(waiting)
        self._version = version

    def _begin_to_feed(self, waiting: dict[int, list[Kept]]) -> Iterator[None]:
        for priority in sorted(waiting, reverse=True):
            for number, each in enumerate(waiting.pop(priority), 1):
                self._queue(each.endpoint).waiting.append(each)
                if number % NAMES == 0:
                    yield
        for endpoint in list(self._queues):
            if not self._queues[endpoint].watched:
                self._loop.attempt(partial(self._feed, endpoint))

    def _header(self, name: str) -> Kept | None:
        path = kept.path_of(self._where, name)
        try:
            return kept.header(path)
        except FileNotFoundError:
            return None  # dropped meanwhile
        except (OSError, ValueError) as error:
            if exhaustion.refused(error):
                raise
            log.event("error", f"the kept message {path} cannot be read: {error}")
            return None

    def close(self) -> None:
        """Stop feeding."""
        self._look = None
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
        """Queue as much as there is room for, some frames a turn, and wait for room if there is more.

        Raises OSError where the system refuses a descriptor to read a file by: then it is to be called again.
        """
        queue = self._queues.get(endpoint)
        if queue is None:
            return
        for _ in range(FRAMES):
            if not queue.waiting:
                self._close(endpoint)
                return
            count = queue.send(self._where)
            if not count:
                break
            sent = [queue.waiting.popleft() for _ in range(count)]
            for each in sent:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
            if sent[0].priority and endpoint.startswith("mule"):
                self._table.cells[self._table.mule(int(endpoint[4:])) + R_URGENT] = 1
        if not queue.watched:
            queue.watched = True
            self._loop.watch(queue.handle.mqd, partial(self._feed, endpoint), WRITE)

    def _close(self, endpoint: str) -> None:
        queue = self._queues.pop(endpoint)
        if queue.watched:
            self._loop.forget(queue.handle.mqd)
        queue.handle.close()


def _say_lost(endpoints: list[str]) -> None:
    """Whom saved messages are for that this bus does not have."""
    if endpoints:
        names = ", ".join(sorted(set(endpoints)))
        log.event(
            "warning", f"{len(endpoints)} saved messages are for {names}, which this bus does not have: kept"
        )


class _Queue:
    """One queue that messages wait for."""

    def __init__(self, handle: posix_ipc.MessageQueue, spec: QueueSpec) -> None:
        self.handle = handle
        self.waiting: deque[Kept] = deque()
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
            self.waiting.popleft()
            return 0
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and exhaustion.no_descriptor(error):
                raise
            log.event("error", f"the saved message {first.path} cannot be read: {error}")
            self.waiting.popleft()
            return 0
        if frames.is_large(frame):
            large.publish(frame[frames.OVERHEAD :])
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
        size = first.length
        for each in itertools.islice(self.waiting, 1, 1 if self._spec.shared else _MOST):
            size += each.length
            if each.attempts or each.priority != first.priority or size > self._spec.size:
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
