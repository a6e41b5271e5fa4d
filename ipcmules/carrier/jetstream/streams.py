"""What must exist on the servers: streams and the consumers on them, made where they are not there.

A farm is a work queue: a message is removed when it is acknowledged; one consumer on it is shared by all
members of all hosts. Signals for all hosts are kept until each host that is known has them. Knows the client
and names.
"""

from __future__ import annotations

from dataclasses import dataclass

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from ipcmules.carrier.jetstream.connection import Foreign
from ipcmules.carrier.names import ALL, ANY, FORMAT, FORMAT_KEY, MEMBERS, Names

#: A name that was published is remembered so long by the servers, seconds: a repeat within it is dropped.
REMEMBERED = 600


@dataclass(frozen=True)
class Streams:
    """Those of one cluster, as one host needs them. deadline: seconds."""

    names: Names
    host: str
    farms: tuple[str, ...]
    deadline: float
    replicas: int

    async def make(self, context: JetStreamContext) -> None:
        """All of them. Raises Foreign, nats.errors.Error."""
        names, host = self.names, self.names.of_host(self.host)
        for farm in self.farms:
            stream = names.stream(farm)
            await self.stream(context, stream, [names.subject(farm, "*")], RetentionPolicy.WORK_QUEUE)
            await self.consumer(context, stream, MEMBERS)
        await self.stream(context, names.dead_stream, [names.dead("*", "*")], RetentionPolicy.LIMITS)
        await self.stream(context, names.broadcasts, [names.raised(ALL)], RetentionPolicy.INTEREST)
        # What was raised for all before this host was known is not for it.
        await self.consumer(context, names.broadcasts, host, policy=DeliverPolicy.NEW)
        subjects = [names.raised(ANY), names.raised_at("*")]
        await self.stream(context, names.signals, subjects, RetentionPolicy.WORK_QUEUE)
        await self.consumer(context, names.signals, ANY, subjects[0])
        await self.consumer(context, names.signals, host, names.raised_at(self.host))

    async def consumer(
        self,
        context: JetStreamContext,
        stream: str,
        name: str,
        subject: str | None = None,
        policy: DeliverPolicy = DeliverPolicy.ALL,
        most_pending: int = 65536,
    ) -> None:
        """One that is shared by whoever takes under its name. Raises nats.errors.Error.

        most_pending: so many messages may be in hand at once, or put off; -1 for any number.
        """
        await context.add_consumer(
            stream,
            ConsumerConfig(
                durable_name=name,
                filter_subject=subject,
                deliver_policy=policy,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self.deadline,
                max_deliver=-1,  # the end is ours: copied to the dead letters first, then removed
                max_waiting=16384,
                max_ack_pending=most_pending,
            ),
        )

    async def stream(
        self,
        context: JetStreamContext,
        stream: str,
        subjects: list[str],
        retention: RetentionPolicy,
        most_a_subject: int = -1,
        ttl: bool | None = None,
    ) -> None:
        """One of ours. Raises Foreign, nats.errors.Error.

        most_a_subject: so many messages of a subject are kept, -1 for any number. ttl: True where single
        messages say how long they are kept.
        """
        try:
            found = await context.stream_info(stream)
        except nats.js.errors.NotFoundError:
            found = await context.add_stream(
                StreamConfig(
                    name=stream,
                    subjects=subjects,
                    retention=retention,
                    storage=StorageType.FILE,
                    num_replicas=self.replicas,
                    duplicate_window=REMEMBERED,
                    max_msgs_per_subject=most_a_subject,
                    allow_msg_ttl=ttl,
                    metadata={FORMAT_KEY: FORMAT},
                )
            )
        metadata = found.config.metadata or {}
        if metadata.get(FORMAT_KEY) != FORMAT or found.config.subjects != subjects:
            whose = metadata.get(FORMAT_KEY)
            what = f"has format {whose} of another version of ipcmules" if whose else "is somebody else's"
            raise Foreign(
                f"stream {stream} {what}: give the cluster another --cluster-name, or remove it there"
            )
