"""What the command line asks: dead letters, backlogs, hosts. Knows the connection and names."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from ipcmules.carrier.engine import Refused
from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.jetstream.large import Gone, Large, Reference
from ipcmules.carrier.jetstream.pulls import LARGE, status
from ipcmules.carrier.names import MEMBERS, Names

#: Headers of a dead letter.
FARM, REASON, DELIVERIES = "Ipcmules-Farm", "Ipcmules-Reason", "Ipcmules-Deliveries"
#: Answers of other hosts are awaited so long, seconds.
_HOSTS = 0.5


def dead_headers(farm: str, place: str, reason: str, deliveries: int) -> dict[str, str]:
    """Those of a message to a farm or address that is made a dead letter. place: engine.Taken's."""
    return {"Nats-Msg-Id": f"dead-{place}", FARM: farm, REASON: reason, DELIVERIES: str(deliveries)}


def _size(large: str, body: bytes) -> int:
    try:
        return Reference.of(large).size if large else len(body)
    except Gone:
        return 0


class Looking:
    """Answers as engine.Engine says."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        farms: tuple[str, ...],
        large: Large,
        about: Callable[[], dict[str, Any]],
    ) -> None:
        """about() says of this host what others may know."""
        self._connection = connection
        self._large = large
        self._names = names
        self._farms = farms
        self._about = about

    # Dead letters

    async def letters(self, most: int) -> list[dict[str, Any]]:
        """See Engine."""
        stream, context = self._names.dead_stream, self._connection.context
        state = (await context.stream_info(stream)).state
        found: list[dict[str, Any]] = []
        at = state.first_seq
        while len(found) < most and at <= state.last_seq:
            try:
                raw = await context.get_msg(stream, at, next=True, subject=self._names.dead("*", "*"))
            except nats.js.errors.NotFoundError:
                break
            headers = raw.headers or {}
            found.append(
                {
                    "id": raw.seq,
                    "farm": headers.get(FARM, ""),
                    "reason": headers.get(REASON, ""),
                    "deliveries": int(headers.get(DELIVERIES, "0")),
                    "time": raw.time.timestamp() if raw.time else 0.0,
                    "length": _size(headers.get(LARGE, ""), raw.data or b""),
                }
            )
            at = (raw.seq or at) + 1
        return found

    async def letter(self, number: int) -> tuple[str, bytes]:
        """See Engine."""
        try:
            raw = await self._connection.context.get_msg(self._names.dead_stream, number)
        except nats.js.errors.NotFoundError as error:
            raise Refused(f"the cluster has no dead letter {number}") from error
        headers = raw.headers or {}
        if large := headers.get(LARGE, ""):
            try:
                return headers.get(FARM, ""), await self._large.fetch(large)
            except Gone as error:
                raise Refused(f"dead letter {number}: {error}") from error
        return headers.get(FARM, ""), raw.data or b""

    async def drop(self, number: int) -> None:
        """See Engine."""
        context = self._connection.context
        try:
            headers = (await context.get_msg(self._names.dead_stream, number)).headers or {}
            await context.delete_msg(self._names.dead_stream, number)
        except nats.js.errors.APIError as error:
            raise Refused(f"the cluster has no dead letter {number}") from error
        with contextlib.suppress(Gone):
            if large := headers.get(LARGE, ""):
                await self._large.drop(Reference.of(large).subject)

    # The whole

    async def watch(self) -> dict[str, Any]:
        """See Engine."""
        context = self._connection.context
        farms = {}
        for farm in self._farms:
            stream = self._names.stream(farm)
            info = await context.consumer_info(stream, MEMBERS)
            state = (await context.stream_info(stream)).state
            counts = {"stored": state.messages, "waiting": info.num_pending, "in_hand": info.num_ack_pending}
            farms[farm] = counts
        dead = (await context.stream_info(self._names.dead_stream)).state.messages
        return {"hosts": await self._hosts(), "farms": farms, "signals": await self._lags(), "dead": dead}

    async def _lags(self) -> dict[str, int]:
        """Signals that wait, by the consumer that is to take them: 'any', 'host-NAME'."""
        found: dict[str, int] = {}
        for stream in (self._names.broadcasts, self._names.signals):
            for each in await self._connection.context.consumers_info(stream):
                waiting = (each.num_pending or 0) + (each.num_ack_pending or 0)
                found[each.name] = found.get(each.name, 0) + waiting
        return found

    async def _hosts(self) -> list[dict[str, Any]]:
        """Those that answer now."""
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        client = self._connection.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=arrived.put)
        await client.publish(self._names.hosts, b"", inbox)
        await asyncio.sleep(_HOSTS)
        await subscription.unsubscribe()
        found = []
        while not arrived.empty():
            message = arrived.get_nowait()
            if not status(message):
                found.append(json.loads(message.data))
        return sorted(found, key=lambda each: str(each.get("host")))

    async def begun(self, client: Client) -> None:
        """Answer others that ask who is there."""
        await client.subscribe(self._names.hosts, cb=self._answer)

    async def _answer(self, message: Msg) -> None:
        with contextlib.suppress(nats.errors.Error):
            await message.respond(json.dumps(self._about()).encode())

    async def forget(self, host: str) -> bool:
        """See Engine."""
        names, context, known = self._names, self._connection.context, False
        for stream in (names.broadcasts, names.signals):
            with contextlib.suppress(nats.js.errors.NotFoundError):
                known |= await context.delete_consumer(stream, names.of_host(host))
        await context.purge_stream(names.signals, subject=names.raised_at(host))
        return known
