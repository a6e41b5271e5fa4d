"""A mule that is an asyncio program: it holds connections and sends every message of the bus to all of them.

    ipcmules run --mule=push.py -- python publish.py

No thread: messages, signals and connections all come through the one event loop.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from ipcmules import masterpid
from ipcmules.aio import messages
from ipcmules.decorators import signal

GREET = 1
PATH = Path(tempfile.gettempdir(), f"push-{os.getuid()}-{masterpid()}.sock")
clients: set = set()


@signal(GREET, target="mule1")
async def greet(signum: int) -> None:
    """A handler may be a coroutine: it becomes a task of the loop."""
    await asyncio.gather(*(send(client, b"hello, all " + str(len(clients)).encode()) for client in clients))


async def send(client: asyncio.StreamWriter, text: bytes) -> None:
    client.write(text + b"\n")
    await client.drain()


async def connected(reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    clients.add(client)
    try:
        await send(client, b"welcome")
        await reader.read()  # until the other side closes
    finally:
        clients.discard(client)
        client.close()


async def main() -> None:
    await asyncio.start_unix_server(connected, PATH)
    async for message in messages():  # ends the program when the bus stops
        for client in set(clients):
            await send(client, message)


try:
    asyncio.run(main())
finally:
    PATH.unlink(missing_ok=True)
