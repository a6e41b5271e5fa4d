"""What must exist on the servers for spoolers of the cluster: streams, and a consumer for each priority.

The tasks of a spooler are a work queue with a subject a task: so one can be found and removed, and a
version of it can be put after another one alone. Knows the client and names.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy

from ipcmules.carrier.engine import Refused
from ipcmules.carrier.jetstream.connection import Foreign
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.jetstream.task_names import TaskNames

#: A consumer for each priority that was ever used.
MOST_PRIORITIES = 32
#: Servers from that version on forget single messages by time.
_OLDEST = (2, 11)


class TaskStreams:
    """Those of the spoolers that this host knows."""

    def __init__(self, names: TaskNames, spoolers: tuple[str, ...], streams: Streams) -> None:
        """streams: those of its cluster; these are made as they are."""
        self.names = names
        self.spoolers = spoolers
        self._streams = streams
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
        await self._streams.consumer(
            context,
            names.stream(spooler),
            names.consumer(priority),
            names.task(spooler, priority, "*"),
            most_pending=-1,  # those for later are pending until then
        )
        self.note(spooler, priority)

    async def _stream(
        self, context: JetStreamContext, stream: str, subject: str, retention: RetentionPolicy
    ) -> None:
        # No limit for tasks: after a SIGKILL of the server what it had removed may be back.
        most = -1 if retention == RetentionPolicy.WORK_QUEUE else 1
        await self._streams.stream(context, stream, [subject], retention, most_a_subject=most, ttl=True)
