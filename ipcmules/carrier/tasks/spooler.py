"""One spooler of the cluster on this host: tasks are taken for idle spoolers, and what became of each is
told.

A task is asked for when a spooler is free for it, held while it is here (its deadline begins anew each
third of it), and acknowledged when it is over. One that is to run again goes back with its failures and its
time. Knows the engine, the files and the bus's queues.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from inotify_simple import flags

from ipcmules.bus import log
from ipcmules.bus.table import H_STATE, READY, STARTING
from ipcmules.carrier.asking import Asking
from ipcmules.carrier.engine import Away, Refused
from ipcmules.carrier.tasks.before import Before
from ipcmules.carrier.tasks.flows import Flows, kin_of
from ipcmules.carrier.tasks.hand import AGAIN, ELSEWHERE, GONE, RUNS, WAITS, HandDir, Here
from ipcmules.carrier.tasks.telling import Busy, Telling
from ipcmules.carrier.tasks.values import FREE, Delivery, Stored, TaskEngine
from ipcmules.kernel import inotify
from ipcmules.kernel.printable import for_people
from ipcmules.member.membership import Membership
from ipcmules.options.values import SpoolDir
from ipcmules.spooler import cancelling, outcomes, pauses
from ipcmules.spooler.attempts import Policy, Record
from ipcmules.spooler.manner import STARTED

#: After trouble a seat waits so long; while all is paused it looks so often, seconds.
_PAUSE, _PAUSED = 0.2, 0.5
#: A task that a spooler has opened and left as it was goes back when its master had so long to count a
#: death, and comes again so much later, to whoever is free, seconds.
_GRACE, _LATER = 2.0, 5.0
#: What is said of a task that runs is said anew so often, seconds: it is forgotten after three times that.
_SAY = 1200.0
#: One try to tell the cluster, seconds.
_TRY = 10.0
#: Where the directory cannot be watched it is looked at so often, seconds.
_LOOK = 0.1


class Seat:
    """A task that is here, and who waits for its end."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.changed = asyncio.Event()
        #: When a spooler gave it back without a word (time.monotonic()), 0.0 if none did.
        self.touched = 0.0
        #: No spooler has it any more.
        self.is_over = False


class ClusterSpooler:
    """See above. spool: its directory, in which `hand` is that of the spoolers."""

    def __init__(
        self, member: Membership, engine: TaskEngine, spool: SpoolDir, host: str, flows: Flows
    ) -> None:
        config = member.description.config
        self.name = spool.name
        self._member = member
        self._engine = engine
        self._host = host
        self._hand = HandDir(spool.directory)
        self._deadline = config.cluster_deadline
        self._before = Before(engine, spool.name, self._deadline)
        self._telling = Telling(engine, self._hand, spool.name, host, flows)
        self._flows = flows
        flows.here[spool.name] = self._wake
        self._policy = Policy(config.spooler_max_attempts)
        self.seats = (spool.processes or config.spooler_processes) * config.spooler_async
        self.here: dict[str, Seat] = {}
        self._asking = Asking()
        self._asked = 0
        self._freed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._takers: list[asyncio.Task[None]] = []
        self._watched = False

    @property
    def finished(self) -> int:
        """How many tasks were done here."""
        return self._telling.finished

    def begin(self) -> None:
        """Go on with what a predecessor had, and take what comes."""
        self._watch()
        for here in self._hand.known():
            here.woken = here.is_whole  # what the predecessor was told it did not write down
            seat = self.here[here.name] = Seat(here)
            if self._hand.left(here):
                self._go(self._hand_on(seat))
            else:
                self._hand.came(here)
                self._go(self._hold(seat))
        self._takers = [asyncio.ensure_future(self._seat()) for _ in range(self.seats)]

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.event("error", f"spooler {self.name!r} of the cluster: {task.exception()!r}")

    def _watch(self) -> None:
        try:
            watcher = inotify.open_inotify()
            watcher.add_watch(
                self._hand.directory, flags.CLOSE_WRITE | flags.DELETE | flags.MOVED_FROM | flags.ATTRIB
            )
        except OSError as error:
            log.event("warning", f"{self._hand.directory} cannot be watched ({inotify.reason(error)})")
            return

        def look() -> None:
            for event in watcher.read(0):
                seat = self.here.get(event.name)
                if seat is not None:
                    if event.mask & flags.CLOSE_WRITE:
                        seat.touched = time.monotonic()
                    seat.changed.set()

        asyncio.get_running_loop().add_reader(watcher.fileno(), look)
        self._watched = True

    # Taking

    async def _seat(self) -> None:
        """One task after the other, for one spooler."""
        taker = self._engine.taker(self.name)
        while not self._asking.is_over:
            try:
                delivery = await self._ask(taker)
                if delivery is not None:
                    await self._take(delivery)
            except Exception:
                log.exception(f"taking a task of spooler {self.name!r}:")
                await asyncio.sleep(_PAUSE)

    async def _ask(self, taker: Any) -> Delivery | None:
        with self._asking.waits():
            while not self._may_ask():
                self._freed.clear()
                await asyncio.sleep(0)
                if not self._may_ask():
                    try:
                        await asyncio.wait_for(self._freed.wait(), _PAUSED)
                    except asyncio.TimeoutError:
                        pass
            self._asked += 1
            try:
                found: Delivery | None = await taker.take()
                return found
            finally:
                self._asked -= 1

    def _may_ask(self) -> bool:
        return (
            self._busy() + self._asked < self._living()
            and self._is_open()
            and not pauses.read(self._hand.directory).everything
        )

    def _living(self) -> int:
        """As seats, of the spoolers that run: one whose app does not load gets nothing."""
        config, table = self._member.description.config, self._member.table
        if config.spooler_cheap:  # the master starts one where there is something to do
            return self.seats
        number = 1 + [each.directory for each in config.spooled].index(self._hand.directory)
        lives = sum(table.lives(table.spooler(each)) for each in config.spoolers_of(number))
        return lives * config.spooler_async

    def _busy(self) -> int:
        return sum(not each.is_over for each in self.here.values())

    def _is_open(self) -> bool:
        return self._member.table.cells[H_STATE] in (STARTING, READY) and not self._member.ended()

    async def _take(self, delivery: Delivery) -> None:
        engine, task = self._engine, delivery.task
        if task is None:
            await self._before.bury_nonsense(delivery)
            return
        if not self._is_open():
            await engine.back(delivery.token)
            await asyncio.sleep(_PAUSE)
            return
        wait = task.due - time.time()
        if wait > 0:
            await engine.back(delivery.token, wait)
            return
        mine = self.here.get(task.name)
        if mine is not None:
            await self._again_while_here(mine, delivery)
            return
        if delivery.deliveries > 1 and await self._before.is_old(task):
            await engine.done(delivery.token)
            return
        if task.until == STARTED:
            await self._free(delivery, task)
            return
        kin = kin_of(task.data)
        end = await self._before.end(task) if any(kin) else None
        if end is not None:
            await self._telling.ended(task.name, delivery.token, *kin, end)
            return
        given = task.record
        if delivery.deliveries > 1:
            given = await self._before.failures(task)
            if self._policy.exhausted(given.attempts) and given != task.record:
                await self._telling.bury(replace(task, record=given))
                await engine.done(delivery.token)
                if kin[1]:
                    await self._flows.over(self.name, task.name, kin[1], False)
                return
        await self._give(delivery, task, given, kin)

    async def _give(self, delivery: Delivery, task: Stored, given: Record, kin: tuple[bool, str]) -> None:
        if self._asking.is_over:
            await self._engine.back(delivery.token)
            return
        here = Here(task.name, delivery.token, delivery.place, task.due, task.until, task.record, given)
        here.is_whole, here.whole = kin
        seat = self.here[task.name] = Seat(here)
        self._telling.runs(here)
        try:
            self._hand.put(here, task.data)
        except OSError as error:
            log.event("warning", f"task {for_people(task.name)} cannot be given to a spooler here: {error}")
            del self.here[task.name]
            await self._engine.back(delivery.token, _LATER)
            await asyncio.sleep(_PAUSE)
            return
        self._member.spools.wake(self._hand.directory, task.name)
        await self._hold(seat)

    async def _again_while_here(self, mine: Seat, delivery: Delivery) -> None:
        """The cluster did not hear of it for too long; or another host has put it back since."""
        here = mine.here
        if here.place == delivery.place:
            here.token = delivery.token
            self._hand.note(here)
        else:
            await self._engine.back(delivery.token, _PAUSE if mine.is_over else _LATER)

    async def _free(self, delivery: Delivery, task: Stored) -> None:
        """Another of its key may be enqueued from now on."""
        try:
            await self._engine.store(replace(task, until=FREE), _TRY)
        except Away:
            await self._engine.back(delivery.token, _LATER)
            return
        await self._engine.done(delivery.token)

    # Holding

    async def _hold(self, seat: Seat) -> None:
        """Until no spooler here has it; what is to be told then is told beside."""
        extended = said = time.monotonic()
        while self._is_here(seat):
            seat.changed.clear()
            how = self._hand.how(seat.here)
            if how in (GONE, AGAIN, ELSEWHERE) or (how == WAITS and self._asking.is_over):
                break
            now = time.monotonic()
            rest = self._deadline / 3 if self._watched else min(self._deadline / 3, _LOOK)
            if how == RUNS:
                seat.touched = 0.0
            elif seat.touched:
                if now - seat.touched > _GRACE:
                    break
                rest = min(rest, _GRACE + 0.1)
            if now - extended >= self._deadline / 3:
                await self._engine.extend(seat.here.token)
                extended = now
            if now - said >= _SAY:
                self._telling.runs(seat.here)
                said = now
            try:
                await asyncio.wait_for(seat.changed.wait(), rest)
            except asyncio.TimeoutError:
                pass
        seat.is_over = True
        self._freed.set()
        self._go(self._end(seat))

    def _is_here(self, seat: Seat) -> bool:
        """False once it was handed back: that its file is gone does not mean that it is done then."""
        return self.here.get(seat.here.name) is seat

    async def _end(self, seat: Seat) -> None:
        """Tell the cluster what became of a task, until it has heard."""
        while not await self._tell(seat):
            if self._asking.is_over:
                return  # who starts next does it
            await asyncio.sleep(_PAUSE)
            await self._engine.extend(seat.here.token)

    async def _tell(self, seat: Seat) -> bool:
        here = seat.here
        try:
            how = self._hand.how(here) if self._is_here(seat) else ELSEWHERE
            if how == ELSEWHERE:
                self._forget(seat, False)
                return True
            if how == GONE:
                await self._telling.over(here)
            elif how == AGAIN:
                await self._telling.put_back(here)
            elif how == WAITS:
                await self._telling.give_back(here, 0.0 if self._asking.is_over else _LATER)
            else:
                raise Busy
        except Busy:  # a spooler has taken it meanwhile
            seat.is_over = False
            self._go(self._hold(seat))
            return True
        except (Away, OSError) as error:
            if not isinstance(error, Away):
                log.event("warning", f"task {for_people(here.name)}: {error}; tried again")
            return False
        except Refused as error:
            log.event("error", f"task {for_people(here.name)}: {error}")
            return False
        except Exception:
            log.exception(f"telling what became of task {for_people(here.name)}:")
            return False
        self._forget(seat)
        return True

    def _forget(self, seat: Seat, ours: bool = True) -> None:
        """Nothing is to be done about a task any more. ours: False where another carrier answers for it."""
        if self._is_here(seat):
            if ours:
                self._telling.forget(seat.here)
            del self.here[seat.here.name]
            if seat.here.woken:  # it may have been told so after it was put back
                self._go(self._flows.wake(self.name, seat.here.name))
        self._freed.set()

    async def _hand_on(self, seat: Seat) -> None:
        """A bus ended with it in hand: that is no word of its own, so it counts as the death that it was."""
        seat.is_over = True
        while not self._asking.is_over:
            try:
                if await self._telling.is_ours(seat.here):
                    await self._engine.back(seat.here.token)
                break
            except Away:
                await asyncio.sleep(_PAUSE)
        self._forget(seat)

    def _wake(self, name: str) -> bool:
        """A chain or group is to be run again, at once; False where it is not here."""
        seat = self.here.get(name)
        if seat is not None:
            seat.here.woken = True
        return seat is not None

    def cancel(self, name: str) -> None:
        """Somebody asked to cancel a task that is here."""
        if name not in self.here:
            return
        try:
            if not cancelling.take(self._hand.directory, name):
                cancelling.request(self._hand.directory, name)
        except OSError:
            pass  # it has just ended

    def progress(self, name: str) -> dict[str, Any] | None:
        """How far a task that runs here says it is."""
        return outcomes.progress_of(self._hand.directory, name) if name in self.here else None

    # The end

    def stop_asking(self) -> None:
        """Take nothing more; what is here stays."""
        self._asking.end()

    def working(self) -> bool:
        """True while a spooler that lives has a task of the cluster."""
        return any(self._hand.how(each.here) == RUNS for each in self.here.values())

    async def hand_back(self, seconds: float) -> None:
        """Hand back what is here, and wait so long until the cluster has heard of all."""
        for each in list(self.here.values()):
            if not each.is_over:
                each.is_over = True
                self._go(self._end(each))
        while self._tasks and seconds > 0:
            before = time.monotonic()
            await asyncio.wait(set(self._tasks), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            seconds -= time.monotonic() - before
