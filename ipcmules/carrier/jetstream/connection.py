"""The one connection to the servers: made, kept, made again; and what is heard of trouble.

Knows the client and what must exist once there is a connection, which it is given as a function.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from ipcmules.bus import log
from ipcmules.carrier.engine import Away
from ipcmules.carrier.login import Login

#: What must exist is seen to so often while it cannot be, seconds.
_AGAIN = 1.0
#: A question of the command line has so long for its answer, seconds.
_QUESTION = 10.0


class Foreign(Exception):
    """A stream of our name that is not ours."""


class _Client(Client):
    """The client, which sends nothing of a login where what it is to be encrypted by is not asked for.

    NATS's servers say in plain text whether they want TLS, and so may somebody in between: the client goes on
    without, if they do not (nats-py 2.16, nats/aio/client.py, _process_connect_init()).
    """

    encrypted = False

    def _connect_command(self) -> bytes:
        if self.encrypted and not self._server_info.get("tls_required"):
            raise nats.errors.Error(
                "the server does not encrypt, and TLS was asked for: nothing is sent to it"
            )
        return super()._connect_command()


class Connection:
    """Connected or not."""

    def __init__(
        self,
        login: Login,
        make: Callable[[JetStreamContext], Awaitable[None]],
        begun: Callable[[Client], Awaitable[None]],
        changed: Callable[[bool], None],
    ) -> None:
        """make(context): what must exist on the servers does then. begun(client): a client is connected for
        the first time. changed(whether the cluster is there) is called when it comes and goes.
        """
        self._login = login
        self._make = make
        self._begun = begun
        self._changed = changed
        self.client: Client = _Client()
        self.ready = asyncio.Event()
        #: Set when the connection is a new one, or what must exist is to be looked at again.
        self.look = asyncio.Event()
        #: What a pull waits for beside its message: done with the next connection.
        self.renewed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: What was last heard of trouble.
        self.trouble = ""
        self._said = ""
        self._closing = False

    @property
    def context(self) -> JetStreamContext:
        """JetStream's calls."""
        return self.client.jetstream(timeout=5)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._connect()
                break
            except (nats.errors.Error, OSError) as error:  # by others than those that are not there
                await self._error(error)
                await asyncio.sleep(_AGAIN)
        await self._begun(self.client)
        self.look.set()
        while True:
            await self.look.wait()
            self.look.clear()
            await self._see_to()

    async def _connect(self) -> None:
        self.client = client = _Client()
        client.encrypted = self._login.encrypted
        await client.connect(
            servers=self._login.servers,
            name="ipcmules",
            error_cb=self._error,
            disconnected_cb=self._lost,
            reconnected_cb=self._found,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type] # it is passed to sleep()
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            **self._login.secrets,
        )

    async def _error(self, error: Exception) -> None:
        """Called with whatever goes wrong: a refusal comes this way alone."""
        text = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            text = error.strerror
        self.trouble = text
        if text == self._said:
            return
        if not self.client.is_connected:
            self._said = text
            log.event("warning", f"the cluster at {self._login.places} cannot be reached: {text}; trying on")
        elif "permissions violation" in text.lower():
            self._said = text
            log.event("error", f"the cluster refuses: {text}: allow this user ipcmules.>, $JS.> and _INBOX.>")

    async def _lost(self) -> None:
        if self.ready.is_set() and not self._closing:
            self.ready.clear()
            self._changed(False)

    async def _found(self) -> None:
        self.look.set()

    async def _see_to(self) -> None:
        """What must exist exists, or is tried again."""
        try:
            await self._make(self.context)
        except (Foreign, nats.errors.Error, asyncio.TimeoutError) as error:
            self.trouble = str(error) or "no answer"
            text = f"the cluster's streams are not there: {self.trouble}"
            if self.client.is_connected and text != self._said:
                self._said = text
                log.event("warning", f"{text}; trying on")
            asyncio.get_running_loop().call_later(_AGAIN, self.look.set)
            return
        self._said = self.trouble = ""
        renewed, self.renewed = self.renewed, asyncio.get_running_loop().create_future()
        if not renewed.done():
            renewed.set_result(None)
        if not self.ready.is_set():
            self.ready.set()
            self._changed(True)

    async def asked(self, question: Coroutine[Any, Any, Any]) -> Any:
        """The answer to a question. Raises Away where there is no connection, or none in time."""
        if not self.ready.is_set():
            question.close()
            raise Away(self.trouble or "the cluster cannot be reached")
        try:
            return await asyncio.wait_for(question, _QUESTION)
        except nats.js.errors.NotFoundError:
            raise
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Away(str(error) or "no answer within the time") from error

    async def close(self) -> None:
        """Send what is still to be sent, and hang up."""
        self._closing = True
        with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
            if self.client.is_connected:
                await self.client.flush(1)
            await asyncio.wait_for(self.client.close(), 2)
