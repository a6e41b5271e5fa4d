"""Taking messages one at a time, by pulls: a request that waits at the server until there is one.

Each pull has an inbox of its own, so that what the server says of a former one is not taken for it. Knows the
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from ipcmules.carrier.engine import Taken
from ipcmules.carrier.jetstream.connection import Connection

#: A pull waits so long at the server, and the server says so often that it still waits, seconds.
_PULL, _BEAT = 60.0, 3.0
#: After trouble, seconds.
_PAUSE = 0.1
#: Header of a message whose body is elsewhere (large.py).
LARGE = "Ipcmules-Large"


class Pull:
    """See engine.Taker."""

    def __init__(
        self, connection: Connection, stream: str, consumer: str, back: Callable[[str], Awaitable[None]]
    ) -> None:
        """back(token) hands a delivery back."""
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._back = back

    async def take(self) -> Taken | None:
        """See Taker. None too where nobody says any more that the pull still waits."""
        await self._connection.ready.wait()
        client, renewed = self._connection.client, self._connection.renewed
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=arrived.put)
        try:
            wish = {"batch": 1, "expires": int(_PULL * 1e9), "idle_heartbeat": int(_BEAT * 1e9)}
            await client.publish(self._subject, json.dumps(wish).encode(), inbox)
            return await self._wait(arrived, renewed)
        except (nats.errors.Error, OSError):
            await asyncio.sleep(_PAUSE)
            return None
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
            while not arrived.empty():
                message = arrived.get_nowait()
                if not status(message):
                    await self._back(message.reply)

    async def _wait(self, arrived: asyncio.Queue[Msg], renewed: asyncio.Future[None]) -> Taken | None:
        while True:
            message = await _next(arrived, renewed)
            if message is None:
                return None
            said = status(message)
            if not said:
                return _taken(message)
            if said in ("404", "408"):
                return None
            if said != "100":  # the consumer is gone or moves; nobody answers
                self._connection.look.set()
                await asyncio.sleep(_PAUSE)
                return None


async def _next(arrived: asyncio.Queue[Msg], renewed: asyncio.Future[None]) -> Msg | None:
    getting = asyncio.ensure_future(arrived.get())
    either: set[asyncio.Future[Any]] = {getting, renewed}
    try:
        await asyncio.wait(either, timeout=2.2 * _BEAT, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        if getting.done():
            arrived.put_nowait(getting.result())  # it goes back
        getting.cancel()
        raise
    if getting.done():
        return getting.result()
    getting.cancel()
    return None


def status(message: Msg) -> str:
    """The number of a word of the server's; '' for a message."""
    return str(message.headers.get("Status", "")) if message.headers else ""


def _taken(message: Msg) -> Taken:
    metadata = message.metadata
    place = f"{metadata.stream}-{metadata.sequence.stream}"
    large = (message.headers or {}).get(LARGE, "")
    return Taken(message.reply, place, metadata.num_delivered or 1, message.data, large)
