"""Running one task: take it, call its function, and do with it what came of that.

Needs a directory and the app's functions, no bus: a spooler and `ipcmules tasks run` use it. Knows the store,
the functions and harakiri.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ipcmules import log, table
from ipcmules.mule import failures, harakiri
from ipcmules.mule.spooling.quick import Quick
from ipcmules.spooler import calls, claim
from ipcmules.spooler.attempts import DEFAULT, NONE, Policy
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.claim import Held, Refusal
from ipcmules.spooler.hands import Hand
from ipcmules.spooler.results import SPOOL_IGNORE, SPOOL_OK
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task, Verdict

Env = dict[str | bytes, bytes]

_TASK = table.DOES_TASK << 8
_getpid = os.getpid

#: What became of a task: it is done; it was gone before; it is somebody else's, or given up; it is there, and
#: to be looked at again.
DONE, GONE, TAKEN, LATER = "done", "gone", "taken", "later"


class Outcome(NamedTuple):
    """What became of a task, and when to look at it again (seconds since 1970).

    ran: its function was called. failed: that was an attempt that failed, or the file made no sense.
    """

    what: str
    when: float = 0.0
    ran: bool = False
    failed: bool = False


_DONE, _GONE, _BUSY = Outcome(DONE, ran=True), Outcome(GONE), Outcome(TAKEN)


@dataclass(frozen=True)
class Terms:
    """How tasks are run; as the options of spoolers say."""

    max_attempts: int = 25
    frequency: float = 30.0  #: seconds until a task that is left, or asked to run again, is looked at again
    chdir: str = ""  #: where they run; '': where their file is
    harakiri: float = 0.0  #: seconds one may take, 0: for ever


@dataclass
class Runner:
    """Runs the tasks of one directory in this process. One thread uses it."""

    store: Store
    hand: Hand
    terms: Terms
    #: Names of tasks for which it was said already why they are left alone.
    _said: set[str] = field(default_factory=set)
    #: By the id of a function, which is kept so that it stays its own.
    _policies: dict[int, tuple[Policy, SpoolFunction]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._quick = Quick(self.store.path)
        self._pid = os.getpid()

    def renew(self) -> None:
        """The directory may have been removed and made anew."""
        self._quick.renew()

    def run(self, name: str, seen: bool = False) -> Outcome:
        """Run a task, by its name relative to the directory.

        seen: the name comes from a look at the directory since renew(). SystemExit and KeyboardInterrupt of
        its function go on after it is put away; anything else it raises is logged. Raises OSError where a
        task that has succeeded cannot be removed: nobody must run it again.
        """
        taken = self._quick.take(name, seen)
        if taken is None:
            return self._run_slowly(name)
        if isinstance(taken, str):
            return _BUSY if taken is claim.BUSY else _GONE
        file, status, arguments, body = taken
        env = _env(name, arguments, body)
        function = calls.select(env)
        if function is not None:
            policy = self.policy(function)
            result = self._call(name, function, policy, env, self._quick.directory)
            if result == SPOOL_OK:
                self._quick.done(name, file)
                return _DONE
        path = self.store.path
        task = Task(path, name, Held(f"{path}/{name}", file, status), arguments, body, NONE)
        return self._leave(task, env) if function is None else self._not_done(task, function, policy, result)

    def _run_slowly(self, name: str) -> Outcome:
        task = self.store.claim(name)
        if isinstance(task, Refusal):
            return self._refused(name, task)
        env = _env(name, task.arguments, task.body)
        function = calls.select(env)
        if function is None:
            return self._leave(task, env)
        policy = self.policy(function)
        result = self._call(name, function, policy, env)
        if result == SPOOL_OK:
            task.done()
            return _DONE
        return self._not_done(task, function, policy, result)

    def policy(self, function: SpoolFunction) -> Policy:
        """When a function's tasks run again that failed."""
        found = self._policies.get(id(function))
        if found is None:
            most = self.terms.max_attempts if function.max_attempts is None else function.max_attempts
            backoff = DEFAULT.backoff if function.backoff is None else function.backoff
            found = Policy(most, backoff, function.max_backoff), function
            self._policies[id(function)] = found
        return found[0]

    def _call(
        self, name: str, function: SpoolFunction, policy: Policy, env: Env, directory: int = -1
    ) -> int | BaseException:
        """Call the function; returns what came of it, or what it raised. directory: a descriptor."""
        self._enter(name, directory)
        self.hand.take(name, policy)
        cells, doing = harakiri.doing
        cells[doing] = _TASK
        guard = harakiri.arm(self.terms.harakiri) if self.terms.harakiri else None
        try:
            result = function.run(env)
            if _getpid() != self._pid:
                os._exit(0)  # a child that the function forked: the task is its parent's
            return result
        except BaseException as error:
            if _getpid() != self._pid:
                raise
            return error
        finally:
            cells[doing] = 0
            if guard is not None:
                harakiri.disarm(guard)

    def _enter(self, name: str, directory: int) -> None:
        try:
            if directory >= 0 and not self.terms.chdir and "/" not in name:
                os.fchdir(directory)
            else:
                os.chdir(self.terms.chdir or os.path.dirname(f"{self.store.path}/{name}"))
        except OSError as error:
            log.event("warning", f"task {name}: cannot go to its directory: {error}")

    def _leave(self, task: Task, env: Env) -> Outcome:
        """Nothing here runs it."""
        name = task.name
        task.ignore()
        wanted = calls.name_in(env)
        self._say(name, f"no function {wanted!r} here" if wanted else "no function for it (set_spooler)")
        return Outcome(LATER, time.time() + self.terms.frequency)

    def _raised(self, task: Task, function: SpoolFunction, policy: Policy, error: BaseException) -> Outcome:
        text = failures.describe(error)
        name = task.name
        verdict = task.failed(f"{function.name}() raised {error!r}", text, policy)
        self.hand.put_down()
        log.event("error", f"task {name}: {function.name}() raised, {tell(verdict, policy)}:\n{text}")
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise error
        return _after(verdict, failed=True)

    def _not_done(
        self, task: Task, function: SpoolFunction, policy: Policy, result: int | BaseException
    ) -> Outcome:
        if isinstance(result, BaseException):
            return self._raised(task, function, policy, result)
        if result == SPOOL_IGNORE:
            name = task.name
            task.ignore()
            self.hand.put_down()
            self._say(name, f"{function.name}() returned SPOOL_IGNORE")
            return Outcome(LATER, time.time() + self.terms.frequency, True)
        if function.counts_retry:
            verdict = task.failed(f"{function.name}() returned SPOOL_RETRY", "", policy)
            if verdict.dead or verdict.problem:
                log.event("error", f"task {task.name}: asks to run again, {tell(verdict, policy)}")
        else:
            wait = function.wait(task.record.returned + 1)
            verdict = task.again(self.terms.frequency if wait is None else wait)
        self.hand.put_down()
        return _after(verdict, failed=function.counts_retry)

    def _refused(self, name: str, refusal: Refusal) -> Outcome:
        if refusal.why in (claim.GONE, claim.BUSY):
            return _BUSY if refusal.why == claim.BUSY else _GONE
        if refusal.why == claim.MALFORMED:
            log.event("error", f"task {name} is given up, it is in dead/ now: {refusal.reason}")
            return Outcome(TAKEN, failed=True)
        if refusal.why == claim.FOREIGN:
            self._say(name, refusal.reason)
            return Outcome(LATER, time.time() + self.terms.frequency)
        return Outcome(LATER, refusal.when)

    def _say(self, name: str, why: str) -> None:
        if name in self._said:
            return
        if len(self._said) >= 100_000:
            self._said.clear()
        self._said.add(name)
        log.event("warning", f"task {name} is left alone: {why} (said once)")


def _env(name: str, arguments: dict[Any, bytes], body: bytes) -> Env:
    """What a task's function is called with, as uWSGI makes it."""
    env: Env = {
        "spooler_task_name": name[name.rfind("/") + 1 :].encode("utf-8", "surrogateescape"),
        **arguments,
    }
    if body:
        env["body"] = body
    return env


def tell(verdict: Verdict, policy: Policy) -> str:
    """What becomes of a task that failed, in words."""
    most = f" of {policy.max_attempts}" if policy.max_attempts else ""
    text = f"attempt {verdict.attempts}{most}, "
    if verdict.dead:
        text += f"given up: it is {verdict.dead} now"
    elif verdict.due:
        text += f"again in {max(0.0, verdict.due - time.time()):.1f} s"
    else:
        text += "its file is gone"
    return f"{text} ({verdict.problem})" if verdict.problem else text


def _after(verdict: Verdict, failed: bool) -> Outcome:
    return Outcome(LATER, verdict.due, True, failed) if verdict.due else Outcome(TAKEN, 0.0, True, failed)
