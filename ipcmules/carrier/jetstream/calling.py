"""Requests from one host to another and their replies, by NATS itself: nothing is stored.

Knows the client, the connection and names.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from ipcmules.carrier.engine import Away, Refused, Unknown
from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.names import Names

Answering = Callable[[bytes], Awaitable[bytes]]


class Calling:
    """Asks others, and answers them once it knows by what."""

    def __init__(self, connection: Connection, names: Names, host: str) -> None:
        self.answer: Answering | None = None
        self._connection = connection
        self._names = names
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, host: str, data: bytes, seconds: float) -> bytes:
        """See Engine."""
        connection, deadline = self._connection, time.monotonic() + seconds
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(connection.ready.wait(), seconds)
        # What is published while there is no connection is sent later: a call would be made too late.
        if not connection.client.is_connected or not connection.ready.is_set():
            raise Away(connection.trouble or "the cluster cannot be reached")
        if len(data) > connection.client.max_payload:
            raise Refused(_too_large("its arguments", data, connection.client.max_payload))
        try:
            left = max(deadline - time.monotonic(), 0.001)
            reply = await connection.client.request(self._names.calls(host), data, timeout=left)
        except nats.errors.NoRespondersError:
            raise Unknown(f"host {host!r} is away") from None
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Away(f"no answer within {seconds:.3g} s") from error
        return reply.data

    async def begun(self, client: Client) -> None:
        """Answer others. One answers, where two buses have this host's name."""
        await client.subscribe(self._names.calls(self._host), queue="host", cb=self._take)

    async def _take(self, message: Msg) -> None:
        task = asyncio.ensure_future(self._respond(message))  # the next one need not wait for it
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, message: Msg) -> None:
        if self.answer is None:
            return
        data, most = await self.answer(message.data), self._connection.client.max_payload
        if len(data) > most:
            data = b'{"said": "nothing", "why": "%s"}\n' % _too_large("its result", data, most).encode()
        with contextlib.suppress(nats.errors.Error, OSError):
            await message.respond(data)


def _too_large(what: str, data: bytes, most: int) -> str:
    return f"{what}, {len(data)} bytes, are more than the cluster's servers take ({most})"
