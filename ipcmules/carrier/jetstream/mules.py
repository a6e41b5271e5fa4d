"""Messages to a mule, the pool or a farm of one host: one stream, and on it a consumer for each address.

The consumers are also what says which hosts and mules there are, whether they are up or not: so a message for
nobody is refused where it is sent. Knows the client, names and how streams are made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, RetentionPolicy

from ipcmules.bus import log
from ipcmules.carrier.engine import Unknown
from ipcmules.carrier.jetstream.looking import dead_headers
from ipcmules.carrier.jetstream.pulls import LARGE
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.names import Names

#: An address that was found is believed for so long, seconds.
_BELIEVED = 10.0
#: So many are named where one is unknown.
_NAMED = 12


class Mules:
    """The stream, as one host sees it."""

    def __init__(self, streams: Streams, addresses: Iterable[str]) -> None:
        """addresses: NAMEs of this host's."""
        self._streams = streams
        self._names: Names = streams.names
        self.addresses = tuple(addresses)
        self._found: dict[str, float] = {}

    async def make(self, context: JetStreamContext) -> None:
        """What must exist for this host: as Streams.make()."""
        names, host = self._names, self._streams.host
        stream = names.mules
        await self._streams.stream(context, stream, [names.mule("*", "*", "*")], RetentionPolicy.WORK_QUEUE)
        for each in self.addresses:
            await self._streams.consumer(context, stream, names.at(each, host), names.mule(each, host, "*"))
        await self.retire(context, host, self.addresses)

    async def retire(self, context: JetStreamContext, host: str, but: Iterable[str] = ()) -> bool:
        """A host has no other addresses than these any more: what waits for others becomes dead letters.

        Returns whether there were others.
        """
        names = self._names
        kept = {names.at(each, host) for each in but}
        gone = [
            each
            for each in await self._consumers(context)
            if each.partition("@")[2] == names.at("", host)[1:] and each not in kept
        ]
        for consumer in gone:
            await self._bury_all(context, consumer)
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await context.delete_consumer(names.mules, consumer)
            self._found.pop(consumer, None)
        return bool(gone)

    async def _bury_all(self, context: JetStreamContext, consumer: str) -> None:
        names, at, count = self._names, 1, 0
        subject, address = names.mule_of(consumer), names.spoken(consumer)
        while True:
            try:
                raw = await context.get_msg(names.mules, at, next=True, subject=subject)
            except nats.js.errors.NotFoundError:
                break
            at = (raw.seq or at) + 1
            headers = dead_headers(address, f"{names.mules}-{raw.seq}", f"{address} is there no more", 0)
            # Not by the engine, which waits until all this exists.
            if large := (raw.headers or {}).get(LARGE):
                headers[LARGE] = large
            subject_of_it = names.dead(address, (raw.subject or "").rpartition(".")[2])
            await context.publish(subject_of_it, raw.data or b"", headers=headers)
            with contextlib.suppress(nats.js.errors.APIError):  # done meanwhile
                await context.delete_msg(names.mules, raw.seq or 0)
            count += 1
        if count:
            log.event("warning", f"{count} messages to {address}, which is there no more, are dead letters")

    async def check(self, context: JetStreamContext, target: str) -> None:
        """Raise Unknown where no host has this address (NAME@HOST)."""
        name, _, host = target.partition("@")
        consumer = self._names.at(name, host)
        if time.monotonic() - self._found.get(consumer, -_BELIEVED) < _BELIEVED:
            return
        try:
            await context.consumer_info(self._names.mules, consumer)
        except nats.js.errors.NotFoundError:
            raise Unknown(await self._why(context, name, host)) from None
        self._found[consumer] = time.monotonic()

    async def lags(self, context: JetStreamContext) -> dict[str, int]:
        """Messages that wait or are in hand, by address; those that have some."""
        found = {}
        for each in await self._infos(context):
            count = (each.num_pending or 0) + (each.num_ack_pending or 0)
            if count:
                found[self._names.spoken(each.name)] = count
        return found

    async def _why(self, context: JetStreamContext, name: str, host: str) -> str:
        known = [self._names.spoken(each) for each in await self._consumers(context)]
        there = sorted(each.partition("@")[0] for each in known if each.partition("@")[2] == host)
        if there:
            return (
                f"host {host!r} has no {name!r} that other hosts can send to, it has {_list(there)}: "
                "start it with --cluster-mules"
            )
        hosts = sorted({each.partition("@")[2] for each in known})
        return (
            f"the cluster knows no host {host!r} with mules that other hosts can send to, it knows "
            f"{_list(hosts)}: start it there with --cluster-mules"
        )

    async def _consumers(self, context: JetStreamContext) -> list[str]:
        return [each.name for each in await self._infos(context)]

    async def _infos(self, context: JetStreamContext) -> list[ConsumerInfo]:
        found: list[ConsumerInfo] = []
        while page := await context.consumers_info(self._names.mules, offset=len(found)):
            found += page
        return found


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more or "none"
