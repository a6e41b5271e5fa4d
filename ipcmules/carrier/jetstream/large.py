"""Bodies that the servers take in no message of theirs (max_payload): in pieces, in a stream of their own.

What goes to the farm then is a *reference*, whose subject ends with the name of the body, so that the servers
can be asked which bodies are referred to. A body is removed when its message is done or dropped. One that
nobody refers to, as its sender died in between, is swept an hour later. Not an object store of NATS: that
keeps a mark of each object for good, and has subjects outside of ours. Specified in docs/formats-cluster.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy

from ipcmules.bus import log
from ipcmules.carrier.engine import Away, Refused
from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.jetstream.pulls import LARGE
from ipcmules.carrier.jetstream.streams import REMEMBERED, Streams
from ipcmules.carrier.names import Names

#: Header of a piece: which one it is.
PIECE = "Ipcmules-Piece"
#: Bytes in one piece, at most; and what a server's max_payload is for besides: headers.
_PIECE, _HEADERS = 512 << 10, 4096
#: The largest body: it is in the memory of carriers, whole.
LARGEST = 256 << 20
#: After so many pieces the delivery's deadline begins anew.
_EXTEND = 16
#: What nobody refers to for so long, seconds, is removed; so often it is looked.
GRACE, _SWEEP = 3600.0, 3600.0

#: Stores a message: (subject, body, headers, seconds). Raises Refused, Away.
Publish = Callable[[str, bytes, dict[str, str], float], Awaitable[None]]


class Gone(Exception):
    """A body's pieces are not there any more, or not whole."""


class Reference(NamedTuple):
    """What a reference's header says. subject: of the pieces."""

    subject: str
    pieces: int
    size: int
    digest: str

    @staticmethod
    def of(header: str) -> Reference:
        """That of a header. Raises Gone where it is none."""
        try:
            found = Reference(*json.loads(header))
            return found._replace(pieces=int(found.pieces), size=int(found.size))
        except (ValueError, TypeError) as error:
            raise Gone(f"it is no reference: {header[:100]!r}") from error


class Place(NamedTuple):
    """Where bodies of one farm or address may be referred to, in this order. at: the farm or address."""

    at: str
    stream: str
    subject: str


class Large:
    """The stream of pieces."""

    def __init__(self, connection: Connection, streams: Streams, publish: Publish) -> None:
        self._connection = connection
        self._streams = streams
        self._names: Names = streams.names
        self._publish = publish

    async def make(self, context: JetStreamContext) -> None:
        """As Streams.make()."""
        names = self._names
        await self._streams.stream(context, names.pieces, [names.piece("*", "*")], RetentionPolicy.LIMITS)

    def is_needed(self, body: bytes) -> bool:
        """True if a body fits into no message."""
        return len(body) > self._connection.client.max_payload - _HEADERS

    # A body goes and comes

    async def publish(self, at: str, name: str, subject: str, body: bytes, seconds: float) -> None:
        """Store a body, then the reference to it at subject. Raises Refused, Away."""
        if len(body) > LARGEST:
            raise Refused(f"{len(body)} bytes are more than {LARGEST}: send a reference to it")
        deadline = time.monotonic() + seconds
        size = min(_PIECE, self._connection.client.max_payload - _HEADERS)
        pieces = self._names.piece(at, name)
        parts = range(0, len(body), size)
        reference = Reference(pieces, len(parts), len(body), hashlib.sha256(body).hexdigest())
        while True:
            for number, start in enumerate(parts):
                headers = {"Nats-Msg-Id": f"{name}-{number}", PIECE: str(number)}
                left = deadline - time.monotonic()
                await self._publish(pieces, body[start : start + size], headers, left)
            headers = {"Nats-Msg-Id": name, LARGE: json.dumps(reference)}
            left = deadline - time.monotonic()
            try:
                # Not for longer than the servers know the pieces' names, and before they are swept.
                return await self._publish(subject, b"", headers, min(left, REMEMBERED / 2))
            except Away:
                if left <= REMEMBERED / 2:
                    raise

    async def fetch(self, header: str, extend: Callable[[], Awaitable[None]] | None = None) -> bytes:
        """The body that a reference's header names. Raises Gone, nats.errors.Error."""
        reference, found = Reference.of(header), dict[int, bytes]()
        at = 1
        while len(found) < reference.pieces:
            try:
                raw = await self._connection.context.get_msg(
                    self._names.pieces, at, next=True, subject=reference.subject
                )
            except nats.js.errors.NotFoundError:
                raise Gone("its parts are not on the cluster's servers any more") from None
            found.setdefault(int((raw.headers or {}).get(PIECE, "-1")), raw.data or b"")
            at = (raw.seq or at) + 1
            if extend is not None and not len(found) % _EXTEND:
                await extend()
        body = b"".join(found[number] for number in sorted(found))
        if len(body) != reference.size or hashlib.sha256(body).hexdigest() != reference.digest:
            raise Gone("its parts are not what they were")
        return body

    async def drop(self, subject: str) -> None:
        """Remove a body: its message is done. Where that fails it is swept."""
        with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
            await self._connection.context.purge_stream(self._names.pieces, subject=subject)

    # What nobody refers to

    async def sweep_now_and_then(self, places: Iterable[Place]) -> None:
        """Until cancelled. Hosts do it at different times."""
        places = tuple(places)
        while True:
            await asyncio.sleep(random.uniform(_SWEEP / 2, _SWEEP))
            try:
                if self._connection.ready.is_set():
                    await self.sweep(places)
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                pass  # the next time

    async def sweep(self, places: Iterable[Place], grace: float = GRACE) -> int:
        """Remove bodies that nobody has referred to for so long, seconds; how many."""
        count = 0
        for place in places:
            pieces = await self._subjects(self._names.pieces, self._names.piece(place.at, "*"))
            old = [each for each in pieces if await self._age(each) >= grace]
            # A message becomes a dead letter first, and then leaves its farm: so the farm is asked first.
            live = await self._last_tokens(place.stream, place.subject) if old else set()
            if old:
                live |= await self._last_tokens(self._names.dead_stream, self._names.dead(place.at, "*"))
            for subject in old:
                if subject.rpartition(".")[2] not in live:
                    await self.drop(subject)
                    count += 1
        if count:
            log.event("info", f"{count} large messages that nobody refers to are removed from the cluster")
        return count

    async def _subjects(self, stream: str, pattern: str) -> list[str]:
        state = (await self._connection.context.stream_info(stream, subjects_filter=pattern)).state
        return list(state.subjects or ())

    async def _last_tokens(self, stream: str, pattern: str) -> set[str]:
        return {each.rpartition(".")[2] for each in await self._subjects(stream, pattern)}

    async def _age(self, subject: str) -> float:
        try:
            raw = await self._connection.context.get_msg(self._names.pieces, subject=subject)
        except nats.js.errors.NotFoundError:
            return -1.0  # removed meanwhile
        now = datetime.datetime.now(datetime.timezone.utc)
        return (now - raw.time).total_seconds() if raw.time else -1.0
