"""Running one task: take it, call its function, and do with it what came of that.

Needs a directory and the app's functions, no bus: a spooler and `ipcmules tasks run` use it. Knows the store, the
functions and harakiri.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from ipcmules import log, table
from ipcmules.mule import failures, harakiri
from ipcmules.spooler import calls, claim
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.hands import Hand
from ipcmules.spooler.results import SPOOL_IGNORE, SPOOL_OK
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task, Verdict

#: What became of a task: it is gone; it is somebody else's, or moved away; it is there, and to be looked at again.
DONE, TAKEN, LATER = "done", "taken", "later"


class Outcome(NamedTuple):
    """What became of a task, and when to look at it again (seconds since 1970).

    ran: its function was called. failed: that was an attempt that failed, or the file made no sense.
    """

    what: str
    when: float = 0.0
    ran: bool = False
    failed: bool = False


_DONE, _TAKEN = Outcome(DONE, ran=True), Outcome(TAKEN)


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
    _policies: dict[str, Policy] = field(default_factory=dict)

    def run(self, name: str) -> Outcome:
        """Run a task, by its name relative to the directory.

        SystemExit and KeyboardInterrupt of its function go on after it is put away; anything else it raises is
        logged. Raises OSError where a task that has succeeded cannot be removed: nobody must run it again.
        """
        task = self.store.claim(name)
        if isinstance(task, Refusal):
            return self._refused(name, task)
        env: dict[str | bytes, bytes] = {"spooler_task_name": os.fsencode(task.bare)}
        env.update(task.arguments)
        if task.body:
            env["body"] = task.body
        function = calls.select(env)
        if function is None:
            task.ignore()
            wanted = calls.name_in(env)
            self._say(name, f"no function {wanted!r} here" if wanted else "no function for it (set_spooler)")
            return Outcome(LATER, time.time() + self.terms.frequency)
        return self._call(task, function, env)

    def policy(self, function: SpoolFunction) -> Policy:
        """When a function's tasks run again that failed."""
        found = self._policies.get(function.name)
        if found is None:
            most = self.terms.max_attempts if function.max_attempts is None else function.max_attempts
            backoff = Policy().backoff if function.backoff is None else function.backoff
            found = self._policies[function.name] = Policy(most, backoff, function.max_backoff)
        return found

    def _call(self, task: Task, function: SpoolFunction, env: dict[str | bytes, bytes]) -> Outcome:
        policy = self.policy(function)
        self._enter(task)
        self.hand.take(task.name, policy)
        cells, doing = harakiri.doing
        cells[doing] = table.DOES_TASK << 8
        guard = harakiri.arm(self.terms.harakiri) if self.terms.harakiri else None
        try:
            result = function.run(env)
        except BaseException as error:
            if guard is not None:
                harakiri.disarm(guard)
            return self._raised(task, function, policy, error)
        finally:
            cells[doing] = 0
        if guard is not None:
            harakiri.disarm(guard)
        if result == SPOOL_OK:
            task.done()
            return _DONE
        return self._not_done(task, function, policy, result)

    def _enter(self, task: Task) -> None:
        try:
            os.chdir(self.terms.chdir or os.path.dirname(task.path))
        except OSError as error:
            self._say("chdir", f"cannot go to its directory: {error}")

    def _raised(
        self, task: Task, function: SpoolFunction, policy: Policy, error: BaseException
    ) -> Outcome:
        text = failures.describe(error)
        name = task.name
        verdict = task.failed(f"{function.name}() raised {error!r}", text, policy)
        self.hand.put_down()
        log.event("error", f"task {name}: {function.name}() raised, {tell(verdict, policy)}:\n{text}")
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise error
        return _after(verdict, failed=True)

    def _not_done(self, task: Task, function: SpoolFunction, policy: Policy, result: int) -> Outcome:
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
            return _TAKEN
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
