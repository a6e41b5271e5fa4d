"""JetStream as the carrier's engine: publishing, and the words by which a delivery ends.

What NATS promises, and its traps, stand in docs/cluster.md. Knows the connection and what is beside it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from ipcmules.carrier.engine import Raised, Taken, Taker
from ipcmules.carrier.jetstream import publishing
from ipcmules.carrier.jetstream.calling import Answering, Calling
from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.jetstream.fetching import Fetching, unpack
from ipcmules.carrier.jetstream.large import Large, Place, Reference
from ipcmules.carrier.jetstream.looking import Looking, dead_headers
from ipcmules.carrier.jetstream.mules import Mules
from ipcmules.carrier.jetstream.pulls import LARGE, Pull, taken
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.jetstream.task_names import TaskNames
from ipcmules.carrier.jetstream.task_streams import TaskStreams
from ipcmules.carrier.jetstream.tasks import Tasks
from ipcmules.carrier.login import Login
from ipcmules.carrier.names import ANY, MEMBERS, WHOLE

#: One try of an acknowledgement takes so long, seconds; between two tries.
_TRY, _PAUSE = 2.0, 0.1
#: An acknowledgement that no server has confirmed for so long is given up, seconds.
_GIVE_UP = 600.0


class JetStream:
    """See engine.Engine."""

    def __init__(
        self,
        login: Login,
        streams: Streams,
        addresses: Iterable[str],
        changed: Callable[[bool], None],
        about: Callable[[], dict[str, Any]],
        task_streams: TaskStreams | None = None,
    ) -> None:
        """addresses: NAMEs of this host's. changed(whether it is there) is called when the cluster comes and
        goes; about() says of this host what others may know.
        """
        self._streams = streams
        self._mules = Mules(streams, addresses)
        self._names = streams.names
        self._host = streams.host
        self._deadline = streams.deadline
        self._connection = Connection(login, self._make, self._begun, changed)
        #: See carrier/tasks/values.py.
        spooled = task_streams or TaskStreams(TaskNames(""), (), streams)
        self.tasks = Tasks(self._connection, spooled, self._host, self._confirmed)
        self._calling = Calling(self._connection, streams.names, streams.host)
        self._large = Large(self._connection, streams, self._publish)
        self._looking = Looking(self._connection, self._names, streams.farms, self._large, about)

    async def _make(self, context: JetStreamContext) -> None:
        await self._streams.make(context)
        await self._large.make(context)
        await self._mules.make(context)
        await self.tasks.make(context)

    async def _begun(self, client: Any) -> None:
        await self._looking.begun(client)
        await self._calling.begun(client)
        await self.tasks.begun(client)

    async def run(self) -> None:
        """See Engine."""
        names = self._names
        places = [Place(farm, names.stream(farm), names.subject(farm, "*")) for farm in self._streams.farms]
        for address in self._mules.addresses:
            at = f"{address}@{self._host}"
            places.append(Place(at, names.mules, names.mule(address, self._host, "*")))
        sweeping = asyncio.ensure_future(self._large.sweep_now_and_then(places))
        try:
            await self._connection.run()
        finally:
            sweeping.cancel()

    async def close(self) -> None:
        """See Engine."""
        await self._connection.close()

    # Publishing

    async def publish(self, farm: str, name: str, body: bytes, seconds: float) -> None:
        """See Engine."""
        if "@" in farm:
            return await self._publish_to(farm, name, body, seconds)
        await self._publish_any(farm, name, lambda large: self._names.subject(farm, large), body, seconds)

    async def _publish_any(
        self, at: str, name: str, subject: Callable[[str], str], body: bytes, seconds: float
    ) -> None:
        until = time.monotonic() + seconds
        if not self._connection.ready.is_set():  # what servers take is known then
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._connection.ready.wait(), seconds)
        left = until - time.monotonic()
        if self._large.is_needed(body):
            return await self._large.publish(at, name, subject(name), body, left)
        await self._publish(subject(WHOLE), body, {"Nats-Msg-Id": name}, left)

    async def _publish_to(self, address: str, name: str, body: bytes, seconds: float) -> None:
        until = time.monotonic() + seconds
        connection, names = self._connection, self._names
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(connection.ready.wait(), seconds)
        await connection.asked(self._mules.check(connection.context, address))
        left = until - time.monotonic()
        at = address.split("@")
        await self._publish_any(address, name, lambda large: names.mule(at[0], at[1], large), body, left)

    async def publish_signal(self, raised: Raised, name: str, seconds: float) -> None:
        """See Engine."""
        body = json.dumps([raised.signal, raised.target, raised.handler]).encode()
        await self._publish(self._names.raised(raised.hosts), body, {"Nats-Msg-Id": name}, seconds)

    @staticmethod
    def raised(taken: Taken) -> Raised | None:
        """See Engine."""
        try:
            signal, target, handler = json.loads(taken.body)
            return Raised(int(signal), str(target), str(handler))
        except (ValueError, TypeError):
            return None

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str], seconds: float) -> None:
        await publishing.publish(self._connection, subject, body, headers, seconds)

    # Taking

    def taker(self, farm: str) -> Taker:
        """See Engine."""
        names = self._names
        where = (names.mules, names.at(*farm.split("@"))) if "@" in farm else (names.stream(farm), MEMBERS)
        pull = Pull(self._connection, *where, self.back, taken)

        async def bury(taken: Taken, why: str) -> None:
            await self.dead(farm, taken, why)

        return Fetching(pull, self._large, self.extend, self.back, bury)

    def signal_takers(self) -> list[Taker]:
        """See Engine."""
        names, host = self._names, self._names.of_host(self._host)
        places = ((names.broadcasts, host), (names.signals, host), (names.signals, ANY))
        return [Pull(self._connection, *each, self.back, taken) for each in places]

    # Calls

    async def call(self, host: str, data: bytes, seconds: float) -> bytes:
        """See Engine."""
        return await self._calling.call(host, data, seconds)

    def serve_calls(self, answer: Answering) -> None:
        """See Engine."""
        self._calling.answer = answer

    # The ends of deliveries

    async def extend(self, token: str) -> None:
        """See Engine."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._connection.client.publish(unpack(token)[0], b"+WPI")

    async def done(self, token: str) -> None:
        """See Engine."""
        await self._confirmed(token, b"+ACK")
        if subject := unpack(token)[1]:
            await self._large.drop(subject)

    async def back(self, token: str) -> None:
        """See Engine."""
        await self._confirmed(token, b"-NAK")

    async def _confirmed(self, token: str, word: bytes) -> None:
        token, until = unpack(token)[0], time.monotonic() + _GIVE_UP
        while time.monotonic() < until:
            await self._connection.ready.wait()
            try:
                await self._connection.client.request(token, word, timeout=_TRY)
                return
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                await asyncio.sleep(_PAUSE)

    async def dead(self, farm: str, taken: Taken, reason: str) -> None:
        """See Engine."""
        headers = dead_headers(farm, taken.place, reason, taken.deliveries - 1)
        if taken.large:  # its pieces stay where they are
            headers[LARGE] = taken.large
        name = Reference.of(taken.large).subject.rpartition(".")[2] if taken.large else WHOLE
        body = b"" if taken.large else taken.body
        await self._publish(self._names.dead(farm, name), body, headers, self._deadline)
        await self._confirmed(taken.token, b"+TERM")

    # Looking

    async def letters(self, most: int) -> list[dict[str, Any]]:
        """See Engine."""
        found: list[dict[str, Any]] = await self._connection.asked(self._looking.letters(most))
        return found

    async def letter(self, number: int) -> tuple[str, bytes]:
        """See Engine."""
        found: tuple[str, bytes] = await self._connection.asked(self._looking.letter(number))
        return found

    async def drop(self, number: int) -> None:
        """See Engine."""
        await self._connection.asked(self._looking.drop(number))

    async def watch(self) -> dict[str, Any]:
        """See Engine."""
        found: dict[str, Any] = await self._connection.asked(self._looking.watch())
        found["mules"] = await self._connection.asked(self._mules.lags(self._connection.context))
        return found

    async def forget(self, host: str) -> bool:
        """See Engine."""
        known = bool(await self._connection.asked(self._looking.forget(host)))
        retired = self._mules.retire(self._connection.context, host)
        return bool(await self._connection.asked(retired)) or known
