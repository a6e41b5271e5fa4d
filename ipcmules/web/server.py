"""The HTTP server: uvicorn at sockets that are there, which sleeps while nobody connects.

uvicorn's own loop wakes up ten times a second to see whether it is to end. This one ends with its process,
and gives a client that says nothing only so long.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ipcmules.web.guard import Application

#: Connections at a time; who comes then gets 503.
_MOST = 64
#: A request must be there within so many seconds, and the next one within so many.
_PATIENCE, _KEEP = 5.0, 20


class _Server(uvicorn.Server):
    async def main_loop(self) -> None:
        """For ever."""
        await asyncio.Event().wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are who started this process's."""
        yield


class _Protocol(H11Protocol):
    """uvicorn's, that hangs up on a connection whose first request does not come."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.loop.call_later(_PATIENCE, self._hang_up)

    def _hang_up(self) -> None:
        if not self.headers:  # of the first request
            self.transport.close()


def serve(
    application: Application, sockets: Sequence[socket.socket], beside: Coroutine[Any, Any, None]
) -> None:
    """Answer at listening sockets for ever. beside: what runs in the same loop."""
    config = uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        # Whoever can connect could fill the log with what it says of requests that are none.
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=_MOST,
        timeout_keep_alive=_KEEP,
        backlog=1024,
    )

    async def both() -> None:
        running = asyncio.ensure_future(beside)
        try:
            await _Server(config).serve(list(sockets))
        finally:
            running.cancel()

    asyncio.run(both())
