"""What the cluster is told of a task that was given to spoolers here: it runs, is over, runs again, or goes
back.

In an order in which whoever is killed in between leaves nothing undone: the cluster first, then the file in
`taken`,
then the task. Knows the engine and the files.
"""

from __future__ import annotations

import time

from ipcmules.bus import log
from ipcmules.carrier.engine import Refused
from ipcmules.carrier.tasks.flows import Flows, has_succeeded
from ipcmules.carrier.tasks.hand import HandDir, Here
from ipcmules.carrier.tasks.values import State, Stored, Superseded, TaskEngine
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import cancelling, claim, outcomes
from ipcmules.spooler.claim import Held
from ipcmules.spooler.clustered import LARGEST

#: What is said of a task that runs is kept so long, seconds.
_RUNS = 3600.0
#: One try to put a task back, seconds.
_TRY = 10.0


class Busy(Exception):
    """A spooler has the task."""


class Telling:
    """Of one spooler on one host."""

    def __init__(self, engine: TaskEngine, hand: HandDir, spooler: str, host: str, flows: Flows) -> None:
        self._engine = engine
        self._flows = flows
        self._hand = hand
        self.name = spooler
        self._host = host
        #: How many tasks were done here.
        self.finished = 0

    def runs(self, here: Here) -> None:
        """A spooler has it."""
        state = State("runs", self._host, here.place, time.time(), here.given)
        self._engine.say_soon(self.name, here.name, state, _RUNS)

    async def bury(self, task: Stored) -> None:
        """It is given up."""
        await self._engine.bury(task)
        reason = for_people(task.record.reason)
        log.event("error", f"task {for_people(task.name)} is given up, and dead in the cluster: {reason}")

    async def over(self, here: Here) -> None:
        """It is over, or given up: what its files say."""
        engine, hand, name = self._engine, self._hand, here.name
        grave, end = hand.grave(name), hand.end(name)
        if grave is not None and await self._has_ended_elsewhere(here):
            await engine.done(here.token)
            hand.drop_grave(name)
            return
        if grave is not None:
            await self.bury(Stored(self.name, name, grave[0], 0.0, grave[1], here.until, here.place))
        if end is not None and grave is None:
            await self._say_end(here, *end)
        else:
            await self._say_nothing(here)
        data = b"" if end is None or grave is not None else end[0]
        await self.ended(name, here.token, here.is_whole, here.whole, data)
        if grave is not None:
            hand.drop_grave(name)
        self.finished += 1

    async def ended(self, name: str, token: str, is_whole: bool, whole: str, data: bytes) -> None:
        """The cluster knows its end, which is `data`: what follows, for the chain or group that it is or
        belongs to."""
        succeeded = bool(data) and has_succeeded(data)
        if is_whole and data and not succeeded:
            await self._flows.cancel_parts(self.name, name)
        await self._engine.done(token)
        if is_whole and succeeded:
            await self._flows.forget(self.name, name)  # not before: who is given it once more finds its end
        if whole:
            await self._flows.over(self.name, name, whole, succeeded)

    async def _say_end(self, here: Here, data: bytes, keep: float) -> None:
        """A value that the servers do not take is left out, as one is that is too large for a file."""
        why = f"what it returned is too large for the cluster, which keeps at most {LARGEST} bytes of it"
        if len(data) <= LARGEST:
            try:
                await self._engine.say(self.name, here.name, self._ended(here, data), keep)
                return
            except Refused as error:
                why = f"what it returned could not be kept: {error}"
        end = outcomes.parsed(data)
        if end is not None:
            data = outcomes.packed(end._replace(reason=why, encoding="", value=b""))
            log.event("warning", f"task {for_people(here.name)}: its result is not kept: {for_people(why)}")
            await self._engine.say(self.name, here.name, self._ended(here, data), keep)

    def _ended(self, here: Here, data: bytes) -> State:
        return State("ended", self._host, here.place, data=data)

    async def _say_nothing(self, here: Here) -> None:
        if await self._has_ended_elsewhere(here):
            return
        self._engine.say_soon(self.name, here.name, State("", self._host, here.place), 1.0)

    async def _has_ended_elsewhere(self, here: Here) -> bool:
        """True for a part whose end another host told, which had it after this one was not heard of: a whole
        goes by that."""
        if not here.whole and not here.is_whole:
            return False
        state = await self._engine.state(self.name, here.name)
        return state is not None and state.what == "ended"

    async def put_back(self, here: Here, wait: float | None = None) -> None:
        """It runs again, here or elsewhere, at its time. wait: seconds, None for what its failure says."""
        held = self._hand.lock(here.name)
        if held is None:
            raise Busy
        try:
            if cancelling.is_asked(held.path):
                cancelling.finish(self._hand.directory, here.name, held)
                raise Busy  # it is gone: what is said of that is told
            record = self._hand.failures(here)
            due = record.time + record.wait if wait is None else time.time() + wait
            due = 0.0 if here.woken else due
            task = Stored(self.name, here.name, self._hand.read(held), due, record, here.until, here.place)
            if not here.is_whole:  # until it is put back, a word of a part's end is to reach this host
                await self._say_nothing(here)
            try:
                await self._engine.put_back(task, _TRY)
            except Superseded:
                log.event("info", f"task {for_people(here.name)} was ended or taken elsewhere meanwhile")
            await self._engine.done(here.token)
        except BaseException:
            claim.release(held)
            raise
        self._let_go(here, held)

    async def give_back(self, here: Here, delay: float) -> None:
        """No spooler here runs it now."""
        if here.given != here.stored:
            await self.put_back(here, delay)
            return
        held = self._hand.lock(here.name)
        if held is None:
            raise Busy
        try:
            if await self.is_ours(here):
                await self._engine.say(self.name, here.name, State("", self._host, here.place), 1.0)
                await self._engine.back(here.token, delay)
        except BaseException:
            claim.release(held)
            raise
        self._let_go(here, held)

    def _let_go(self, here: Here, held: Held) -> None:
        """The cluster has it again. In this order: what is in `taken` without a task counts as done."""
        self._hand.forget(here.name)
        self._hand.remove(held)

    def forget(self, here: Here) -> None:
        """The cluster has heard what became of it."""
        self._hand.forget(here.name)
        if here.is_whole or here.whole:  # what is said of these is kept long, and here nobody asks for it
            self._hand.drop_end(here.name)

    async def is_ours(self, here: Here) -> bool:
        """False where another host was given it since: to hand it back would have a third one run it."""
        state = await self._engine.state(self.name, here.name)
        return state is None or state.what != "runs" or (state.host, state.place) == (self._host, here.place)
