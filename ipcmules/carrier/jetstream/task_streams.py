"""What must exist on the servers for spoolers of the cluster: streams, and a consumer for each priority.

The tasks of a spooler are a work queue with a subject a task: so one can be found and removed, and a
version of it can be put after another one alone. Knows the client and names.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig

from ipcmules.carrier.engine import Refused
from ipcmules.carrier.jetstream.connection import Foreign
from ipcmules.carrier.jetstream.task_names import TaskNames
from ipcmules.carrier.names import FORMAT, FORMAT_KEY

#: As streams.REMEMBERED, seconds.
_REMEMBERED = 600
#: A consumer for each priority that was ever used.
MOST_PRIORITIES = 32
#: Servers from that version on forget single messages by time.
_OLDEST = (2, 11)


class TaskStreams:
    """Those of the spoolers that this host knows. deadline: seconds."""

    def __init__(self, names: TaskNames, spoolers: tuple[str, ...], deadline: float, replicas: int) -> None:
        self.names = names
        self.spoolers = spoolers
        self._deadline = deadline
        self._replicas = replicas
        #: By spooler: the priorities that have a consumer, '' for none.
        self.priorities: dict[str, set[str]] = defaultdict(set)
        #: Set when there is one more, and then another one's.
        self.changed = asyncio.Event()

    def note(self, spooler: str, priority: str) -> None:
        """A priority has a consumer."""
        if priority not in self.priorities[spooler]:
            self.priorities[spooler].add(priority)
            before, self.changed = self.changed, asyncio.Event()
            before.set()

    async def make(self, context: JetStreamContext, client: Client) -> None:
        """All of them. Raises Foreign, nats.errors.Error."""
        if not self.spoolers:
            return
        version = client.connected_server_version
        if (version.major, version.minor) < _OLDEST:
            least, found = ".".join(map(str, _OLDEST)), f"{version.major}.{version.minor}"
            raise Foreign(f"--cluster-spooler needs nats-server {least} or newer, this is {found}")
        names = self.names
        for each in self.spoolers:
            await self._stream(
                context, names.stream(each), names.task(each, "*", "*"), RetentionPolicy.WORK_QUEUE
            )
            for consumer in await context.consumers_info(names.stream(each)):
                self.note(each, names.priority_of(consumer.name))
            if "" not in self.priorities[each]:
                await self.add(context, each, "")
        await self._stream(context, names.states, names.state("*", "*"), RetentionPolicy.LIMITS)
        await self._stream(context, names.dead_stream, names.dead("*", "*"), RetentionPolicy.LIMITS)

    async def add(self, context: JetStreamContext, spooler: str, priority: str) -> None:
        """Have a consumer for a priority. Raises Refused where there are too many, nats.errors.Error."""
        known, names = self.priorities[spooler], self.names
        if len(known) > MOST_PRIORITIES:
            raise Refused(
                f"spooler {spooler!r} of the cluster has tasks of {MOST_PRIORITIES} priorities already: "
                f"priority {priority} would be one more; use fewer"
            )
        await context.add_consumer(
            names.stream(spooler),
            ConsumerConfig(
                durable_name=names.consumer(priority),
                filter_subject=names.task(spooler, priority, "*"),
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._deadline,
                max_deliver=-1,
                max_waiting=16384,
                max_ack_pending=-1,  # those for later are pending until then
            ),
        )
        self.note(spooler, priority)

    async def _stream(
        self, context: JetStreamContext, stream: str, subject: str, retention: RetentionPolicy
    ) -> None:
        try:
            found = await context.stream_info(stream)
        except nats.js.errors.NotFoundError:
            found = await context.add_stream(
                StreamConfig(
                    name=stream,
                    subjects=[subject],
                    retention=retention,
                    storage=StorageType.FILE,
                    num_replicas=self._replicas,
                    duplicate_window=_REMEMBERED,
                    # Not for tasks: after a SIGKILL of the server what this limit had removed may be back.
                    max_msgs_per_subject=-1 if retention == RetentionPolicy.WORK_QUEUE else 1,
                    allow_msg_ttl=True,
                    metadata={FORMAT_KEY: FORMAT},
                )
            )
        metadata = found.config.metadata or {}
        if metadata.get(FORMAT_KEY) != FORMAT or found.config.subjects != [subject]:
            raise Foreign(
                f"stream {stream} is somebody else's, or another version's: give the cluster another "
                "--cluster-name, or remove it there"
            )
