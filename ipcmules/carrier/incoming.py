"""What comes in: messages of the cluster's farms, from the engine to idle members of this bus.

A delivery is held while a member works on it (its deadline begins anew each third of it), acknowledged when
the member is done, handed back where it died. One that came too often becomes a dead letter. Knows the
engine, the members and the bus's queues.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.table import H_STATE, READY, STARTING
from ipcmules.carrier.asking import Asking
from ipcmules.carrier.engine import Away, Engine, Taken, Taker
from ipcmules.carrier.hand import ARRIVING, DONE, HERE, Delivery, Hand
from ipcmules.carrier.members import Members
from ipcmules.cluster import addresses, letters
from ipcmules.cluster.letters import Letter
from ipcmules.errors import IpcMulesError
from ipcmules.member.membership import Membership
from ipcmules.options.values import Farm

#: So many messages that are done are remembered: one that the cluster delivers again is acknowledged again.
_REMEMBERED = 10_000
#: After trouble a seat waits so long, seconds.
_PAUSE = 0.2


class Incoming:
    """All farms of which this bus has members, and all its addresses."""

    def __init__(self, member: Membership, engine: Engine, hand: Hand, host: str) -> None:
        self._member = member
        self._engine = engine
        self._hand = hand
        config = member.description.config
        #: By the name of a farm, or by an address of this host.
        self.farms = {each.name: Members(member, each) for each in config.cluster_farms if each.mules}
        for name, address in addresses.of(config).items():
            at = f"{name}@{host}"
            self.farms[at] = Members(member, Farm(at, address.mules), address.endpoint)
        self._deadline = config.cluster_deadline
        self._most = config.cluster_max_deliveries
        self._done: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seats: list[asyncio.Task[None]] = []
        self._asking = Asking()
        #: How many messages members have done, and how many came again.
        self.finished = self.again = 0

    def begin(self) -> None:
        """Go on with what a predecessor had, and take what comes."""
        for token, delivery in self._hand.read().items():
            if delivery.how == DONE:
                self._remember(delivery.place)
                self._go(self._confirm(token))
            elif delivery.how == ARRIVING or delivery.farm not in self.farms:
                self._go(self._return(token))
            else:
                self._go(self._hold(self.farms[delivery.farm], token))
        for members in self.farms.values():
            taker = self._engine.taker(members.farm.name)
            self._seats += [asyncio.ensure_future(self._seat(members, taker)) for _ in members.farm.mules]

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _seat(self, members: Members, taker: Taker) -> None:
        """One message after the other, for one member."""
        while not self._asking.is_over:
            try:
                taken = await self._ask(members, taker)
                if taken is not None:
                    await self._take(members, taken)
            except Exception:
                log.exception(f"taking a message of farm {members.farm.name!r}:")
                await asyncio.sleep(_PAUSE)

    async def _ask(self, members: Members, taker: Taker) -> Taken | None:
        with self._asking.waits():
            await members.room()
            members.asked(1)
            try:
                return await taker.take()
            finally:
                members.asked(-1)

    async def _take(self, members: Members, taken: Taken) -> None:
        farm = members.farm
        if taken.place in self._done:
            await self._engine.done(taken.token)  # its acknowledgement came too late
            return
        if any(each.place == taken.place and each.how == HERE for each in self._hand.deliveries.values()):
            return  # the cluster did not hear of it for too long: a member is at it, which the next word says
        if not self._is_open():
            await self._engine.back(taken.token)
            await asyncio.sleep(_PAUSE)
            return
        self.again += taken.deliveries > 1
        if taken.deliveries > self._most:
            await self._bury(farm, taken)
        elif self._deliver(members, taken):
            await self._hold(members, taken.token)
        else:
            await self._return(taken.token)
            await asyncio.sleep(_PAUSE)

    def _is_open(self) -> bool:
        return self._member.table.cells[H_STATE] in (STARTING, READY) and not self._member.ended()

    async def _bury(self, farm: Farm, taken: Taken) -> None:
        times = taken.deliveries - 1
        reason = f"delivered {times} times and done by nobody (--cluster-max-deliveries {self._most})"
        try:
            await self._engine.dead(farm.name, taken, reason)
        except Away as error:
            log.event("warning", f"a dead letter of farm {farm.name!r} cannot be stored yet: {error}")
            await self._engine.back(taken.token)
            return
        log.event(
            "warning",
            f"a message of {len(taken.body)} bytes to farm {farm.name!r} is a dead letter: {reason}",
        )

    def _deliver(self, members: Members, taken: Taken) -> bool:
        """Put a message into the queue here. False where that takes nothing. No await in here."""
        farm = members.farm
        letter = Letter(self._member.description.generation, taken.token, taken.deliveries, taken.body)
        delivery = Delivery(farm.name, taken.place, ARRIVING)
        self._hand.note(taken.token, delivery)
        try:
            packed = letters.pack(letter, letters.seal(self._member.where))
            sent = self._member.post.outbox(members.endpoint).send(packed, 0)
        except (IpcMulesError, OSError) as error:
            log.event(
                "warning", f"a message of farm {farm.name!r} cannot be queued here, and goes back: {error}"
            )
            return False
        if sent:
            self._hand.note(taken.token, delivery._replace(how=HERE))
        return sent

    async def _hold(self, members: Members, token: str) -> None:
        """Until a member is done with it, or it is handed back."""
        future = members.came(token)
        try:
            while not future.done():
                done, _ = await asyncio.wait({future}, timeout=self._deadline / 3)
                if not done:
                    await self._engine.extend(token)
        finally:
            members.gone(token)
        if future.result():
            self.finished += 1
            self._go(self._confirm(token))
        else:
            await self._return(token)

    def settle(self, token: str, how: bool) -> None:
        """A delivery is done (True), or nobody here works on it."""
        delivery = self._hand.deliveries.get(token, Delivery("", "", ""))
        if how:
            self._remember(delivery.place)
            self._hand.note(token, delivery._replace(how=DONE))
        members = self.farms.get(delivery.farm)
        if members is None or not members.settle(token, how):
            self._go(self._confirm(token) if how else self._return(token))

    def _remember(self, place: str) -> None:
        self._done[place] = None
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    async def _confirm(self, token: str) -> None:
        await self._engine.done(token)
        self._hand.forget(token)

    async def _return(self, token: str) -> None:
        delivery = self._hand.deliveries.get(token)
        if delivery is not None:  # from now on it may come again
            self._hand.note(token, delivery._replace(how=ARRIVING))
        await self._engine.back(token)
        self._hand.forget(token)

    # The end

    def stop_asking(self) -> None:
        """Take nothing more; what is here stays."""
        self._asking.end()

    def working(self) -> bool:
        """True while members that live have something of the cluster."""
        return any(each.here and each.alive() for each in self.farms.values())

    async def hand_back(self, seconds: float) -> None:
        """Hand back what is here, and wait so long until the cluster has heard of all."""
        for token, delivery in list(self._hand.deliveries.items()):
            if delivery.how != DONE:
                self._go(self._return(token))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        self._hand.leave()
