"""What the cluster is told of a task that was given to spoolers here: it runs, is over, runs again, or goes
back.

In an order in which whoever is killed in between leaves nothing undone: the cluster first, then the file in
`taken`,
then the task. Knows the engine and the files.
"""

from __future__ import annotations

import time

from ipcmules.bus import log
from ipcmules.carrier.tasks.hand import HandDir, Here
from ipcmules.carrier.tasks.values import State, Stored, Superseded, TaskEngine
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import cancelling, claim
from ipcmules.spooler.claim import Held

#: What is said of a task that runs is kept so long, seconds.
_RUNS = 3600.0
#: One try to put a task back, seconds.
_TRY = 10.0


class Busy(Exception):
    """A spooler has the task."""


class Telling:
    """Of one spooler on one host."""

    def __init__(self, engine: TaskEngine, hand: HandDir, spooler: str, host: str) -> None:
        self._engine = engine
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
        if grave is not None:
            await self.bury(Stored(self.name, name, grave[0], 0.0, grave[1], here.until, here.place))
        if end is not None and grave is None:
            await engine.say(self.name, name, State("ended", self._host, here.place, data=end[0]), end[1])
        else:
            self._say_nothing(here)
        await engine.done(here.token)
        if grave is not None:
            hand.drop_grave(name)
        self.finished += 1

    def _say_nothing(self, here: Here) -> None:
        self._engine.say_soon(self.name, here.name, State("", self._host, here.place), 1.0)

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
            task = Stored(self.name, here.name, self._hand.read(held), due, record, here.until, here.place)
            self._say_nothing(here)
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

    async def is_ours(self, here: Here) -> bool:
        """False where another host was given it since: to hand it back would have a third one run it."""
        state = await self._engine.state(self.name, here.name)
        return state is None or state.what != "runs" or (state.host, state.place) == (self._host, here.place)
