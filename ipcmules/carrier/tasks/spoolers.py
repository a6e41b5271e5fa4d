"""All spoolers of the cluster that a bus knows: what goes out, what is here, and who asks. The parts, put
together."""

from __future__ import annotations

import asyncio

from ipcmules.carrier.tasks.answers import Answers
from ipcmules.carrier.tasks.flows import Flows
from ipcmules.carrier.tasks.out import Out
from ipcmules.carrier.tasks.spooler import ClusterSpooler
from ipcmules.carrier.tasks.values import TaskEngine
from ipcmules.member.membership import Membership


class Spoolers:
    """Of one bus."""

    def __init__(self, member: Membership, engine: TaskEngine, host: str) -> None:
        known = member.description.config.cluster_spoolers
        self._out = [Out(engine, each) for each in known]
        flows = Flows(engine, host)
        self._here = {
            each.name: ClusterSpooler(member, engine, each, host, flows)
            for each in known
            if not each.external
        }
        self.answers = Answers(engine, known, self._here, host, flows)

    def begin(self) -> None:
        """Go on with what a predecessor had, and take what comes."""
        for each in self._here.values():
            each.begin()

    async def run(self) -> None:
        """Publish what processes of the bus enqueue, until cancelled."""
        if self._out:
            await asyncio.gather(*(each.run() for each in self._out))
        else:
            await asyncio.Event().wait()

    def about(self) -> dict[str, dict[str, int]]:
        """What is to be said of this host."""
        return {
            name: {"processes": each.seats, "in_hand": len(each.here), "done": each.finished}
            for name, each in self._here.items()
        }

    def stop_asking(self) -> None:
        """Take nothing more; what is here stays."""
        for each in self._here.values():
            each.stop_asking()

    def working(self) -> bool:
        """True while a spooler that lives has a task of the cluster."""
        return any(each.working() for each in self._here.values())

    async def hand_back(self, seconds: float) -> None:
        """Hand back what is here, and wait so long until the cluster has heard of all."""
        await asyncio.gather(*(each.hand_back(seconds) for each in self._here.values()))
