"""What is paused of spoolers on all hosts, heard of: before the cluster counts as there, and at each change.

Knows the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.jetstream.task_streams import TaskStreams
from ipcmules.carrier.tasks.values import PAUSED

#: What was heard to be published is stored after the first of these, seconds; of a slow server after both.
_STORED = (0.1, 2.0)


class Pauses:
    """Of the spoolers that this host knows."""

    def __init__(self, connection: Connection, streams: TaskStreams) -> None:
        #: Called with a spooler and what the cluster has.
        self.heed: Callable[[str, bytes], object] = lambda _spooler, _text: None
        self._connection = connection
        self._streams = streams
        self._soon: set[asyncio.Task[None]] = set()

    async def hear(self, _message: Msg) -> None:
        """Something is being published: it is stored a moment later, or refused, so it is read then."""
        soon = asyncio.ensure_future(self._read_soon())
        self._soon.add(soon)
        soon.add_done_callback(self._soon.discard)

    async def _read_soon(self) -> None:
        for seconds in _STORED:
            await asyncio.sleep(seconds)
            # Where that fails the connection is made anew, and all is read before it is used.
            with contextlib.suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                await self.read(self._connection.context)

    async def read(self, context: JetStreamContext) -> None:
        """Have it heeded as the cluster has it. Raises nats.errors.Error."""
        names = self._streams.names
        for each in self._streams.spoolers:
            text = b""
            with contextlib.suppress(nats.js.errors.NotFoundError):
                found = await context.get_msg(names.states, subject=names.note(each, PAUSED))
                text = found.data or b""
            self.heed(each, text)
