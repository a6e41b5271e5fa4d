"""Running one task: take it, call its function, and hand over what came of that (ending.py).

Needs a directory and the app's functions, no bus: a spooler and `ipcmules tasks run` use it. Knows the store,
the functions and harakiri.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipcmules.bus import log, table
from ipcmules.kernel.printable import for_people
from ipcmules.process import child, database, harakiri
from ipcmules.process.spooler import manners
from ipcmules.process.spooler.admission import Admission
from ipcmules.process.spooler.ending import Ending
from ipcmules.process.spooler.outcome import DONE, GONE, STARTED, TAKEN, Outcome, Terms
from ipcmules.process.spooler.quick import Quick, Taken
from ipcmules.process.spooler.run import Run
from ipcmules.spooler import calls, claim, current, flow_files, flow_places
from ipcmules.spooler.attempts import DEFAULT, NONE, Policy
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.claim import Held, Refusal
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.flow_files import KEY
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.manner import for_all
from ipcmules.spooler.results import SPOOL_OK
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task

if TYPE_CHECKING:
    from ipcmules.process.spooler.together import Together

Env = calls.Env

_TASK = table.DOES_TASK << 8
_BEGAN = table.R_BEGAN - table.R_DOING
_WHOLES = flow_files.NAME.encode()
_getpid = os.getpid

_DONE, _GONE, _BUSY = Outcome(DONE, ran=True), Outcome(GONE), Outcome(TAKEN)
_STARTED = Outcome(STARTED)


@dataclass
class Runner:
    """Runs the tasks of one directory in this process. One thread uses it.

    together: what runs coroutines, several at once; None where they run as all others.
    """

    store: Store
    hand: Hand
    terms: Terms
    together: Together | None = None
    #: True once this process was told to end.
    stopping: bool = False
    #: Told the name of each function that is about to be called; gives what its figures go by.
    began: Callable[[str], int] = len
    #: By the id of a function, which is kept so that it stays its own.
    _policies: dict[int, tuple[Policy, SpoolFunction]] = field(default_factory=dict)
    #: What is run now, coroutines apart.
    _now: Run | None = None
    #: A common task that is run now (burst.py), and its run, made when somebody asks.
    common: tuple[str, SpoolFunction] | None = None
    common_run: Run | None = None
    #: What was run last, for the log.
    last: Run | None = None

    def __post_init__(self) -> None:
        self.quick = Quick(self.store.path)
        self.pid = os.getpid()
        self.ending = Ending(self.store.path, lambda: self.terms, lambda: self.stopping)
        self.admission = Admission(self.store.path)
        current.source = self.current

    def current(self) -> CurrentTask | None:
        """The task that is run here now, None for none."""
        run = self._now or self._common() or (self.together.now() if self.together is not None else None)
        return None if run is None else self.ending.current_of(run)

    def _common(self) -> Run | None:
        if self.common is not None and self.common_run is None:
            name, function = self.common
            self.common_run = Run(name, function, self.policy(function), 1, None, self.hand)
        return self.common_run

    def sweep_results(self) -> None:
        """Remove results whose time is over, if that was not done a moment ago."""
        self.ending.sweeper.sweep_if_due()

    def say_refused(self, problems: Iterable[str]) -> None:
        """Directories of priorities whose tasks are not run."""
        self.ending.say_refused(problems)

    def renew(self) -> None:
        """The directory may have been removed and made anew."""
        self.quick.renew()

    def run(self, name: str, seen: bool = False) -> Outcome:
        """Run a task, by its name relative to the directory; of a coroutine the beginning (STARTED).

        seen: the name comes from a look at the directory since renew(). SystemExit and KeyboardInterrupt of
        its function go on after it is put away; anything else it raises is logged. Raises OSError where a
        task that has succeeded cannot be removed: nobody must run it again.
        """
        if self.together and claim.is_held(f"{self.store.path}/{name}"):
            return _BUSY  # to open and close it would free it
        taken = self.quick.take(name, seen)
        task: Task | None = None
        if taken is None:
            found = self.store.claim(name)
            if isinstance(found, Refusal):
                return self.ending.refused(name, found)
            task, arguments, body, attempt = found, found.arguments, found.body, found.record.attempts + 1
        elif isinstance(taken, str):
            return _BUSY if taken is claim.BUSY else _GONE
        else:
            _file, _status, arguments, body = taken
            attempt = 1
        env = calls.environment(name, arguments, body)
        function = calls.select(env) or _of_whole(env)
        if function is None:
            return self.ending.leave(task or self._taken(name, taken), env)
        whole = arguments.get(KEY)
        run = Run(name, function, self.policy(function), attempt, whole, self.hand)
        if self.admission.paused or function.manner is not None or whole is not None:
            held_up = self._held_up(task or self._taken(name, taken), run)
            if held_up is not None:
                return held_up
        if self.together is not None and function.is_coroutine:
            return self._begin(run, task or self._taken(name, taken), env)
        result = self._call(run, env, self.quick.directory if task is None else -1)
        return self._ended(run, result, task, taken)

    def uncommon(self, result: int | BaseException, returned: Any, taken: Taken, figures: int) -> Outcome:
        """What becomes of a common task that did not go as most do; as run().

        returned: what its function returned, for who keeps it. figures: what they go by.
        """
        run = self._common()
        assert run is not None
        run.figures, run.returned = figures, returned
        if run.function.manner is not None:
            self.ending.current_of(run)
        self.common = self.common_run = None
        if _getpid() != self.pid:
            child.end(f"task {run.name}", result if isinstance(result, BaseException) else None)
        return self._ended(run, result, None, taken)

    def _ended(
        self, run: Run, result: int | BaseException, task: Task | None, taken: Taken | None
    ) -> Outcome:
        """What becomes of a task after its function was called."""
        self.last = run
        if result != SPOOL_OK:
            return self.ending.not_done(run, task or self._taken(run.name, taken), result)
        more = run.current is not None  # somebody asked for it
        if more:
            self.ending.keep(run)
        if task is not None:
            task.done()
        else:
            assert taken is not None
            self.quick.done(run.name, taken[0])
        if more:
            self.ending.over(run)
        return _DONE

    def _taken(self, name: str, taken: Taken | None) -> Task:
        """What was taken the quick way, as a task that can be left, put off or given up."""
        assert taken is not None
        file, status, arguments, body = taken
        return Task(
            self.store.path, name, Held(f"{self.store.path}/{name}", file, status), arguments, body, NONE
        )

    def _held_up(self, task: Task, run: Run) -> Outcome | None:
        """What becomes of a task that is not to be run now; None for one that is."""
        if self.admission.paused and self.admission.is_paused(run.function):
            return self.admission.hold(task, run.function)
        if run.function.given == flow_files.NAME:  # its function says nothing to people
            run.title = task.arguments.get(b"ud_spool_func", b"").decode("utf-8", "backslashreplace")
        over = self.ending.is_over(task, run)
        manner = run.function.manner
        if over is not None or manner is None or not manner.is_limited:
            return over
        return self.admission.take_place(task, run, manner)

    def policy(self, function: SpoolFunction) -> Policy:
        """When a function's tasks run again that failed."""
        found = self._policies.get(id(function))
        if found is None:
            most = self.terms.max_attempts if function.max_attempts is None else function.max_attempts
            backoff = DEFAULT.backoff if function.backoff is None else function.backoff
            jitter = function.manner is not None and function.manner.jitter
            found = Policy(most, backoff, function.max_backoff, jitter), function
            self._policies[id(function)] = found
        return found[0]

    # A function

    def _call(self, run: Run, env: Env, directory: int) -> int | BaseException:
        """Call the function; returns what came of it, or what it raised. directory: a descriptor, or -1."""
        function = run.function
        self._now = run
        self._enter(run.name, directory)
        self.hand.take(run.name, run.policy)
        database.refresh()
        cells, doing = harakiri.doing
        cells[doing], cells[doing + _BEGAN] = _TASK, time.monotonic_ns()
        run.figures = self.began(function.name)
        limit = self._limit_of(function)
        guard = object()
        try:
            if limit:
                harakiri.arm(limit, guard)
            special = function.manner is not None or for_all or run.whole is not None
            result = self._call_specially(run, env) if special else function.run(env)
            if _getpid() != self.pid:  # a child that the function forked: the task is its parent's
                child.end(f"task {run.name}")
            return result
        except BaseException as error:
            if _getpid() != self.pid:
                child.end(f"task {run.name}", error)
            return error
        finally:
            self._now = None
            cells[doing] = 0
            harakiri.disarm(guard)
            self.admission.free(run)
            database.refresh()

    def _call_specially(self, run: Run, env: Env) -> int:
        result, run.returned = manners.call(run.function, env, self.ending.current_of(run))
        return result

    def _limit_of(self, function: SpoolFunction) -> float:
        own = function.manner.timeout if function.manner is not None else 0.0
        return own or self.terms.harakiri

    def _enter(self, name: str, directory: int) -> None:
        try:
            if directory >= 0 and not self.terms.chdir and "/" not in name:
                os.fchdir(directory)
            else:
                os.chdir(self.terms.chdir or os.path.dirname(f"{self.store.path}/{name}"))
        except OSError as error:
            log.event("warning", f"task {for_people(name)}: cannot go to its directory: {error}")

    # A coroutine

    def _begin(self, run: Run, task: Task, env: Env) -> Outcome:
        """Begin a coroutine, which goes on in turns of the loop."""
        assert self.together is not None
        if not self.together:
            self._enter(run.name, -1)
            database.refresh()
        run.figures = self.began(run.function.name)
        current_task = self.ending.current_of(run)
        error = self.together.begin(run, task, env, current_task, self._limit_of(run.function))
        if error is None:
            return _STARTED
        self.admission.free(run)
        return self._ended(run, error, task, None)

    def ended(self) -> list[tuple[Run, Outcome]]:
        """The coroutines that have ended since this was asked last, and what became of their tasks."""
        if self.together is None:
            return []
        found: list[tuple[Run, Outcome]] = []
        leaves: BaseException | None = None
        for run, task, result in self.together.ended():
            self.admission.free(run)
            try:
                found.append((run, self._ended(run, result, task, None)))
            except (SystemExit, KeyboardInterrupt) as error:
                leaves = error  # those beside it are done all the same
            finally:
                self.together.give_back(run)
        if leaves is not None:
            raise leaves
        return found

    # A chain or group

    def when_again(self, outcome: Outcome) -> float:
        """When to look at a task again that waits for its parts. To be asked when nobody sees this process
        run it any more: who wakes it before that may not have been heard."""
        assert outcome.by is not None
        name = outcome.by.key
        if flow_places.is_elsewhere(self.store.path) or flow_files.is_waiting(self.store.path, name):
            return outcome.when
        flow_files.wake(self.store.path, name)
        return time.time()


def _of_whole(env: Env) -> SpoolFunction | None:
    """The function of a chain or group, which no app has."""
    if env.get(b"ipcmules_name") != _WHOLES:
        return None
    from ipcmules.spooler import flows

    return flows.FUNCTION
