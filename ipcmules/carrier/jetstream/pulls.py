"""Taking messages one at a time, by pulls: a request that waits at the server until there is one.

Each pull has an inbox of its own, so that what the server says of a former one is not taken for it. Knows the
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.msg import Msg

from ipcmules.carrier.engine import Taken
from ipcmules.carrier.jetstream.connection import Connection

#: A pull waits so long at the server, and the server says so often that it still waits, seconds.
_PULL, _BEAT = 60.0, 3.0
#: After trouble, seconds.
_PAUSE = 0.1
#: So long is waited for a message that is on its way to a pull that nobody waits for any more, seconds.
_DRAIN = 1.0
#: Header of a message whose body is elsewhere (large.py).
LARGE = "Ipcmules-Large"


T = TypeVar("T")


class Pull(Generic[T]):
    """See engine.Taker; what is taken is what `read` makes of it."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        consumer: str,
        back: Callable[[str], Awaitable[None]],
        read: Callable[[Msg], T],
    ) -> None:
        """back(token) hands a delivery back."""
        self._read = read
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._back = back

    async def take(self, wait: bool = True) -> T | None:
        """See Taker. None too where nobody says any more that the pull still waits.

        wait: False for what is there now.
        """
        await self._connection.ready.wait()
        client, renewed = self._connection.client, self._connection.renewed
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=arrived.put)
        found: T | None = None
        try:
            wish: dict[str, int] = {"batch": 1}
            if wait:
                wish |= {"expires": int(_PULL * 1e9), "idle_heartbeat": int(_BEAT * 1e9)}
            else:
                wish["no_wait"] = True
            await client.publish(self._subject, json.dumps(wish).encode(), inbox)
            found = await self._wait(arrived, renewed)
            return found
        except (nats.errors.Error, OSError):
            await asyncio.sleep(_PAUSE)
            return None
        finally:
            with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
                if found is None and client.is_connected:
                    # What is on its way is not to be lost until its deadline: it goes back below.
                    drained = subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types here
                    await asyncio.wait_for(drained, _DRAIN)
                else:
                    await subscription.unsubscribe()
            while not arrived.empty():
                message = arrived.get_nowait()
                if not status(message):
                    await self._back(message.reply)

    async def _wait(self, arrived: asyncio.Queue[Msg], renewed: asyncio.Future[None]) -> T | None:
        while True:
            message = await _next(arrived, renewed)
            if message is None:
                return None
            said = status(message)
            if not said:
                return self._read(message)
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


def taken(message: Msg) -> Taken:
    """A message, as engine.Taken."""
    metadata = message.metadata
    place = f"{metadata.stream}-{metadata.sequence.stream}"
    large = (message.headers or {}).get(LARGE, "")
    return Taken(message.reply, place, metadata.num_delivered or 1, message.data, large)
