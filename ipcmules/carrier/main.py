"""The carrier's life: from joining its bus to the master's end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.places import BUS_VARIABLE, places
from ipcmules.bus.version import __version__
from ipcmules.carrier import login
from ipcmules.carrier.hand import Hand
from ipcmules.carrier.incoming import Incoming
from ipcmules.carrier.jetstream.engine import JetStream
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.jetstream.task_names import TaskNames
from ipcmules.carrier.jetstream.task_streams import TaskStreams
from ipcmules.carrier.names import Names
from ipcmules.carrier.outgoing import Outgoing
from ipcmules.carrier.questions import Questions
from ipcmules.carrier.signals import Signals
from ipcmules.carrier.tasks.spoolers import Spoolers
from ipcmules.cluster import addresses
from ipcmules.errors import ConfigError
from ipcmules.kernel import processes, stray
from ipcmules.member import membership
from ipcmules.member.membership import Membership

#: At the end the cluster has so long to hear of what is handed back, seconds.
_LAST = 3.0
#: So often it is looked whether members have ended, seconds.
_LOOK = 0.02


def main() -> None:
    """Serve until SIGTERM, which the master's death sends too."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    stray.ignore()
    where = places(os.environ[BUS_VARIABLE])
    log.configure()
    log.identify(where.bus, "carrier")
    processes.set_title(f"ipcmules: {where.bus} carrier")
    member = membership.join(where, "attached")
    try:
        carrier = Carrier(member)
    except ConfigError as error:
        log.event("error", str(error))
        raise SystemExit(1) from error
    asyncio.run(carrier.run())


class Carrier:
    """The parts, put together."""

    def __init__(self, member: Membership) -> None:
        self._member = member
        self._config = member.description.config
        self._host = login.host(self._config)
        self._login = login.of(self._config)
        self._is_there = False

    async def run(self) -> None:
        """Until SIGTERM, and then until members that live are done or their mercy is over."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        member, config = self._member, self._config
        streams = Streams(
            Names(config.cluster_name),
            self._host,
            tuple(each.name for each in config.cluster_farms),
            config.cluster_deadline,
            config.cluster_replicas,
        )
        engine = JetStream(
            self._login,
            streams,
            addresses.of(config),
            self._changed,
            self._about,
            TaskStreams(
                TaskNames(config.cluster_name),
                tuple(each.name for each in config.cluster_spoolers),
                streams,
            ),
        )
        self._spoolers = spoolers = Spoolers(member, engine.tasks, self._host)
        self._incoming = incoming = Incoming(
            member, engine, Hand(member.where, member.description.generation), self._host
        )
        generation = member.description.generation
        outgoing = Outgoing(member.where, generation, engine, incoming.settle)
        incoming.begin()
        spoolers.begin()
        signals = Signals(member, engine)
        signals.begin()
        outgoing.tell()
        questions = Questions(member.where, engine, incoming.settle, self._about, spoolers.answers)
        works = [asyncio.ensure_future(each.run()) for each in (engine, outgoing, questions, spoolers)]
        end = asyncio.ensure_future(ended.wait())
        done, _ = await asyncio.wait({*works, end}, return_when=asyncio.FIRST_COMPLETED)
        for each in done - {end}:
            each.result()  # raises: the master starts another carrier
        signals.stop()
        incoming.stop_asking()
        spoolers.stop_asking()
        until = time.monotonic() + config.mercy
        while (incoming.working() or spoolers.working()) and time.monotonic() < until:
            await asyncio.sleep(_LOOK)
        outgoing.tell()
        await asyncio.gather(incoming.hand_back(_LAST), spoolers.hand_back(_LAST))
        await questions.finish(_LAST)
        await engine.close()

    def _changed(self, is_there: bool) -> None:
        self._is_there = is_there
        if is_there:
            text = (
                f"cluster {self._config.cluster_name!r} at {self._login.places}: this is host {self._host!r}"
            )
            log.event("info", text)
        else:
            log.event(
                "warning", f"the cluster at {self._login.places} is away: local work goes on; trying on"
            )

    def _about(self) -> dict[str, Any]:
        farms = {
            name: {"members": len(each.farm.mules), "idle": each.idle(), "in_hand": len(each.here)}
            for name, each in self._incoming.farms.items()
            if addresses.AT not in name
        }
        mules = [name for name in self._incoming.farms if addresses.AT in name]
        return {
            "name": self._config.cluster_name,
            "host": self._host,
            "bus": self._member.where.bus,
            "version": __version__,
            "connected": self._is_there,
            "done": self._incoming.finished,
            "redelivered": self._incoming.again,
            "farms": farms,
            "spoolers": self._spoolers.about(),
            "mules": mules,
        }
