"""Coroutines of several tasks at once in one spooler (--spooler-async), in turns of one event loop.

The spooler itself is no coroutine: between its tasks, and while it sleeps, it has the loop go on for a while
(turn()). Each task has its lock, its hand, its limits. What has ended is told outside of the loop, so hooks
run as for every other task. Knows asyncio, hands and deadlines; not what becomes of a task.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from ipcmules.errors import SoftTimeout
from ipcmules.functions import coroutines
from ipcmules.process import child, harakiri
from ipcmules.process.spooler import manners
from ipcmules.process.spooler.driven import Driven
from ipcmules.process.spooler.run import Run
from ipcmules.spooler import calls, cancelling
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.manner import NONE
from ipcmules.spooler.task import Task

#: How often is looked whether a task is to be cancelled, seconds.
_ASK = 0.2
#: Of a coroutine that does not end when its time is over the process is killed after so many seconds.
_MERCY = 5.0

#: The run whose coroutine this is, and of all that it starts.
_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("ipcmules_task", default=None)


class _Flying(NamedTuple):
    """A coroutine that goes on, and what is to be taken back when it has ended."""

    run: Run
    task: Task
    driven: Driven
    timers: list[asyncio.TimerHandle]


class Together:
    """Of one spooler. most: so many at once. directory: of their hands."""

    def __init__(self, most: int, directory: str) -> None:
        self._most = most
        self._directory = directory
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flying: dict[asyncio.Task[Any], _Flying] = {}
        self._landed: list[asyncio.Task[Any]] = []
        #: Hands of tasks that have ended; and all there are.
        self._free: list[Hand] = []
        self._hands: list[Hand] = []
        self._late: set[asyncio.Task[Any]] = set()
        self._asking: asyncio.TimerHandle | None = None
        self._told = False

    def __bool__(self) -> bool:
        return bool(self._flying)

    @property
    def is_full(self) -> bool:
        """True while no other may begin."""
        return len(self._flying) >= self._most

    @property
    def goes_on(self) -> bool:
        """True if there is a loop, which may have something to do also where no task runs."""
        return self._loop is not None

    def now(self) -> Run | None:
        """The run whose coroutine asks."""
        return _run.get()

    def name(self) -> str:
        """The name of one that runs, "" for none."""
        return next((each.run.name for each in self._flying.values()), "")

    def begin(
        self, run: Run, task: Task, env: calls.Env, current: CurrentTask, limit: float
    ) -> BaseException | None:
        """Begin a task's coroutine. Returns what its function, or a hook before it, raised at once.

        limit: seconds it may take, 0 for ever.
        """
        run.hand = self._free.pop() if self._free else self._new_hand()
        run.hand.take(run.name, run.policy)
        try:
            awaited, result = manners.begin(run.function, env, current)
        except BaseException as error:
            self.give_back(run)
            return error
        loop = self._loop = self._loop or asyncio.new_event_loop()
        driven = Driven(awaited)

        async def drive() -> int:
            _run.set(run)
            run.returned = await coroutines.surrounded(driven)
            return calls.as_result(run.returned if result is None else result)

        flies = loop.create_task(drive())
        flies.add_done_callback(self._ends)
        self._flying[flies] = _Flying(run, task, driven, list(self._limits(flies, run, driven, limit)))
        if self._asking is None:
            self._asking = loop.call_later(_ASK, self._ask)
        return None

    def _new_hand(self) -> Hand:
        hand = Hand(self._directory)
        self._hands.append(hand)
        if self._told:  # after: the handler of the signal may have come in between
            hand.tell()
        return hand

    def _limits(
        self, flies: asyncio.Task[Any], run: Run, driven: Driven, limit: float
    ) -> Iterator[asyncio.TimerHandle]:
        assert self._loop is not None
        name, soft = run.function.name, (run.function.manner or NONE).soft_timeout
        if soft:
            error = SoftTimeout(f"{name}() takes longer than its soft_timeout of {soft:g} s")
            yield self._loop.call_later(soft, driven.interrupt, flies, error)
        if limit:

            def is_late() -> None:
                self._late.add(flies)
                driven.interrupt(flies)

            harakiri.arm(limit + _MERCY, run)
            yield self._loop.call_later(limit, is_late)

    def _ends(self, flies: asyncio.Task[Any]) -> None:
        assert self._loop is not None
        if os.getpid() != self._pid:
            error = None if flies.cancelled() else flies.exception()
            child.end(f"task {self._flying[flies].run.name}", error)
        self._landed.append(flies)
        self._loop.stop()

    def _ask(self) -> None:
        """Cancel what somebody asked to cancel."""
        assert self._loop is not None
        self._asking = self._loop.call_later(_ASK, self._ask) if self._flying else None
        for flies, flying in self._flying.items():
            if not flies.done() and cancelling.is_asked(flying.task.path):
                flying.driven.interrupt(flies)

    def turn(self, seconds: float, descriptor: int = -1) -> None:
        """Have the coroutines go on, until one has ended or the descriptor is readable, at most so long."""
        loop = self._loop
        assert loop is not None
        if self._landed:
            return
        timer = loop.call_later(seconds, loop.stop) if seconds > 0 else loop.call_soon(loop.stop)
        if descriptor >= 0:
            loop.add_reader(descriptor, loop.stop)
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # of a coroutine: asyncio passes it on before it is told
            loop.call_soon(loop.stop)
            loop.run_forever()
            if not self._landed:
                raise
        finally:
            timer.cancel()
            if descriptor >= 0:
                loop.remove_reader(descriptor)

    def ended(self) -> Iterator[tuple[Run, Task, int | BaseException]]:
        """The runs that have ended, and what their functions came to, or raised."""
        landed, self._landed = self._landed, []
        for each in landed:
            flying = self._flying.pop(each)
            for timer in flying.timers:
                timer.cancel()
            harakiri.disarm(flying.run)
            yield flying.run, flying.task, self._result_of(each, flying.run)

    def _result_of(self, flies: asyncio.Task[Any], run: Run) -> int | BaseException:
        late = flies in self._late
        self._late.discard(flies)
        if flies.cancelled():
            limit = f"{run.function.name}() takes longer than it may (timeout, --spooler-harakiri)"
            return TimeoutError(limit) if late else asyncio.CancelledError("it was cancelled")
        error = flies.exception()
        return int(flies.result()) if error is None else error

    def give_back(self, run: Run) -> None:
        """What became of a run is written down: its hand is free."""
        self._free.append(run.hand)

    def tell(self) -> None:
        """This process was told to end. Safe in a signal handler."""
        self._told = True
        for each in self._hands:
            each.tell()

    def renew(self) -> None:
        """The directory may have been removed and made anew."""
        for each in self._free:
            each.renew()

    def close(self) -> None:
        """The process ends in order: what still runs is cut off, and no attempt of its task."""
        for each in self._hands:
            each.close()
        for flies in self._flying:
            flies.remove_done_callback(self._ends)
        if self._loop is not None and not self._loop.is_running():
            _finish(self._loop)
            self._loop = None


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what coroutines have left behind, and close the loop."""
    left = asyncio.all_tasks(loop)
    for each in left:
        each.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=1.0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
