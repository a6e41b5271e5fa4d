"""A send that waits for room: seen in the table, said after some seconds, an error where that is for ever.

A mule that waits to send to itself is the only one who could make that room. Where mules wait for each other
in a circle nobody can be sure of it (they may have other threads), but who waits for whom is told. Knows the
table and the description; used only where a queue is full already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from ipcmules.bus import alarms, log
from ipcmules.bus.description import Description
from ipcmules.bus.places import places
from ipcmules.bus.table import R_PID, R_SENDING, Table
from ipcmules.errors import StandstillError

#: When a send that waits is mentioned, once, seconds.
PATIENCE = 5.0


class Sender:
    """This process as a sender: where it says what it waits for. One a post."""

    def __init__(
        self, shared: Table, description: Description, record: Callable[[], int], alone: Callable[[], bool]
    ) -> None:
        """record(): the index of this process's record, 0 if it has none. alone(): True if it is a mule whose
        only thread that receives is the calling one."""
        self.bus = description.config.name
        self.cells = shared.cells
        self.table = shared
        self.record = record
        self.alone = alone
        self.endpoints = [each.endpoint for each in description.queues]


class Standstill:
    """One send without room, as a context; look() at each turn of its waiting."""

    def __init__(self, sender: Sender, endpoint: str, readers: list[int], timeout: float | None) -> None:
        """readers: first cells of the records of those who could read that queue. timeout: seconds, None: for
        ever."""
        self._sender = sender
        self._endpoint = endpoint
        self._readers = readers
        self._forever = timeout is None
        self._began = time.monotonic()
        self._record = sender.record()
        self._said = False

    def __enter__(self) -> Standstill:
        record = self._record
        if self._forever and record and self._readers == [record] and self._sender.alone():
            raise StandstillError(
                f"this process waits to send to {in_words(self._endpoint)}, whose queue is full and which "
                "nobody but this thread reads: receive first, send with timeout=, or send to another one"
            )
        if record:
            self._sender.cells[record + R_SENDING] = 1 + self._sender.endpoints.index(self._endpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._record:
            self._sender.cells[self._record + R_SENDING] = 0

    def look(self) -> None:
        """Say once what this send waits for."""
        if self._said or time.monotonic() - self._began < PATIENCE:
            return
        self._said = True
        text = f"a send to {in_words(self._endpoint)} waits for {PATIENCE:g} s by now: its queue is full"
        log.event("warning", f"{text}{self._circle()} (said once a send)")
        where = places(self._sender.bus)
        alarms.tell(where, self._sender.cells, "queue_full", text, queue=self._endpoint)

    def _circle(self) -> str:
        """Whom they wait for who could make room, as far as that is one each."""
        cells, endpoints = self._sender.cells, self._sender.endpoints
        text, readers, seen = "", self._readers, {self._record}
        while len(readers) == 1 and cells[readers[0] + R_PID]:
            waits = cells[readers[0] + R_SENDING]
            if not waits or waits > len(endpoints):
                break
            text += f", and who reads it waits to send to {in_words(endpoints[waits - 1])}"
            seen.add(readers[0])
            readers = readers_of(self._sender.table, endpoints[waits - 1])
            if readers and readers[0] in seen:
                return f"{text}: they wait for each other"
        return text


def readers_of(shared: Table, endpoint: str) -> list[int]:
    """First cells of the records of who could read a queue, where that is one mule; else none."""
    return [shared.mule(int(endpoint[4:]))] if endpoint.startswith("mule") else []


def in_words(endpoint: str) -> str:
    """An endpoint for people: 'mule 3', 'farm mail', 'the pool'."""
    if endpoint.startswith("mule"):
        return f"mule {endpoint[4:]}"
    return f"farm {endpoint[5:]}" if endpoint.startswith("farm.") else "the pool"
