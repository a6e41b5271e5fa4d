"""What becomes of a task: it is done, dropped, runs again, is given up, or is left for somebody else.

Knows the task's files, the log and hooks; calls no function of a task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from ipcmules.bus import log, table
from ipcmules.errors import Drop, Retry
from ipcmules.kernel.printable import for_people, shown, worded
from ipcmules.process import failures
from ipcmules.process.spooler import manners
from ipcmules.process.spooler.holding import PARTS, Hold
from ipcmules.process.spooler.outcome import DONE, GONE, LATER, TAKEN, Outcome, Terms
from ipcmules.process.spooler.run import Run
from ipcmules.process.spooler.telling import alarm, tell, tell_when
from ipcmules.signals.running import count
from ipcmules.spooler import calls, claim, expiry, flow_files, names, outcomes
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.flow_files import KEY
from ipcmules.spooler.manner import DEAD, FAILED
from ipcmules.spooler.manner import NONE as NO_MANNER
from ipcmules.spooler.outcome_sweep import OutcomeSweeper
from ipcmules.spooler.results import SPOOL_IGNORE
from ipcmules.spooler.task import Task, Verdict

_WHOLES = flow_files.NAME
#: For so many seconds the results of their parts are kept.
_KEEP_PARTS = 30 * 86400.0
#: So many tasks are remembered of which it was said why they are left alone.
_MOST_SAID = 100_000

_GONE, _BUSY = Outcome(GONE), Outcome(TAKEN)
#: It had been run before, by a process that was killed before it could remove the file.
_OVER = Outcome(DONE)


class Ending:
    """Of the tasks of one directory in this process. is_ending: true once the process was told to end: what
    fails then may do so because of that, and is no attempt."""

    def __init__(self, directory: str, terms: Callable[[], Terms], is_ending: Callable[[], bool]) -> None:
        self._directory = directory
        self._terms = terms
        self._is_ending = is_ending
        self.sweeper = OutcomeSweeper(directory)
        #: Names of tasks for which it was said already why they are left alone.
        self._said: set[str] = set()

    def current_of(self, run: Run) -> CurrentTask:
        """The task as its function and hooks see it."""
        if run.current is None:
            run.current = CurrentTask(
                self._directory, run.name, run.function.name, run.attempt, self._is_ending
            )
        return run.current

    # Before it runs

    def refused(self, name: str, refusal: Refusal) -> Outcome:
        """It could not be taken."""
        if refusal.why in (claim.GONE, claim.BUSY):
            return _BUSY if refusal.why == claim.BUSY else _GONE
        if refusal.why == claim.MALFORMED:
            log.event("error", f"task {for_people(name)} is given up, it is in dead/ now: {refusal.reason}")
            return Outcome(TAKEN, failed=True)
        if refusal.why == claim.EMPTY:
            text = "its writer was killed before it wrote anything: the empty file is removed"
            log.event("warning", f"task {for_people(name)}: {text}")
            return _GONE
        if refusal.why == claim.FOREIGN:
            self._say(name, refusal.reason)
            return Outcome(LATER, time.time() + self._terms().frequency)
        return Outcome(LATER, refusal.when)

    def leave(self, task: Task, env: calls.Env) -> Outcome:
        """Nothing here runs it."""
        name = task.name
        task.ignore()
        self._say(name, calls.why_not(env))
        return Outcome(LATER, time.time() + self._terms().frequency)

    def is_over(self, task: Task, run: Run) -> Outcome | None:
        """It is not to be run: it was done, or is too late. None if it is to be."""
        manner = run.function.manner or NO_MANNER
        # Done, and its process was killed before the file was removed.
        if (manner.results or run.whole is not None) and outcomes.is_over(self._directory, task.name):
            task.done()
            self.tell_whole(run.whole, task.name, outcomes.has_succeeded(self._directory, task.name))
            return _OVER
        late = expiry.late_by(manner.expires, task.name, task.arguments)
        if not late:
            return None
        name = run.function.name
        why = f"it expired {late:.0f} s ago and was not run: {name}() has expires={manner.expires:g}"
        log.event("warning", f"task {for_people(task.name)}: {why}", run.details())
        task.dropped(why, outcomes.EXPIRED, manner.results)
        self.tell_whole(run.whole, task.name, False)
        return Outcome(GONE, 0.0, True)

    # It succeeded

    def keep(self, run: Run) -> None:
        """What is to be there before the file of a task that succeeded goes."""
        if manners.wants(run.function) or run.whole is not None:
            least = 0.0 if run.whole is None else _KEEP_PARTS
            task = self.current_of(run)
            manners.keep(self._directory, run, task, least)

    def over(self, run: Run) -> None:
        """The task is done, and its file is gone."""
        task = self.current_of(run)
        if task.said is not None:
            outcomes.forget(self._directory, names.progress_of(run.name))
        if manners.wants(run.function):
            manners.after(run.function, task, run.returned)
            self.sweeper.sweep_if_due()
        self.tell_whole(run.whole, run.name, True)

    def tell_whole(self, whole: bytes | None, name: str, succeeded: bool) -> None:
        """A task is over: say so to the chain or group whose part it is, if it is one's."""
        if whole is not None:
            flow_files.tell(self._directory, os.fsdecode(whole), name, succeeded)

    # It did not

    def not_done(self, run: Run, task: Task, result: int | BaseException) -> Outcome:
        """Its function returned something else than SPOOL_OK, or raised. SystemExit and KeyboardInterrupt go
        on."""
        retry = result if isinstance(result, Retry) else None
        if isinstance(result, BaseException) and retry is None:
            return self._raised(run, task, result)
        name = run.function.name
        what = f"{name}() returned SPOOL_RETRY" if retry is None else f"{name}(): {worded(retry)}"
        after = None if retry is None else retry.after
        if result == SPOOL_IGNORE:
            task.ignore()
            run.hand.put_down()
            self._say(task.name, f"{name}() returned SPOOL_IGNORE")
            return Outcome(LATER, time.time() + self._terms().frequency, True)
        # Who raises it because its process is to end has not failed.
        counts = run.function.counts_retry and not (retry is not None and self._is_ending())
        if counts:
            verdict = task.failed(what, "", run.policy, after)
            if verdict.dead or verdict.problem:
                text = f"task {for_people(task.name)}: asks to run again, {tell(verdict, run.policy)}"
                log.event("error", text, run.details(verdict.attempts))
        else:
            wait = run.function.wait(task.record.returned + 1) if after is None else after
            verdict = task.again(self._terms().frequency if wait is None else wait, what)
        run.hand.put_down()
        if not verdict.due:
            self.tell_whole(task.arguments.get(KEY), task.name, False)
        if run.function.given == _WHOLES and verdict.due:
            return Outcome(LATER, verdict.due, True, by=Hold(PARTS, task.name))
        if counts:
            self._tell_failed(run, verdict, retry or Retry(None, what))
        return _after(verdict, failed=counts)

    def _raised(self, run: Run, task: Task, error: BaseException) -> Outcome:
        text = failures.describe(error)
        function, policy, name = run.function, run.policy, task.name
        what = run.title or f"{function.name}()"
        reason = f"{what} raised {shown(error)}"
        manner = function.manner or NO_MANNER
        if isinstance(error, (Drop, *manner.drop_on)):
            return self._dropped(run, task, error)
        if manner.retry_on is not None and not isinstance(error, manner.retry_on) and not function.forever:
            policy = policy._replace(max_attempts=1)
        if self._is_ending():
            verdict = task.interrupted(reason, text, policy)
            then = f"no attempt, as this process was told to end, {tell_when(verdict)}"
        else:
            verdict = task.failed(reason, text, policy)
            then = tell(verdict, policy)
        run.hand.put_down()
        count(table.R_EXCEPTIONS)
        log.failure(
            f"task {for_people(name)}: {for_people(what)} raised, {then}:",
            error,
            text,
            run.details(verdict.attempts),
        )
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise error
        if not verdict.due:
            self.tell_whole(task.arguments.get(KEY), name, False)
        if not self._is_ending():
            self._tell_failed(run, verdict, error)
        return _after(verdict, failed=True)

    def _tell_failed(self, run: Run, verdict: Verdict, about: BaseException) -> None:
        alarm(run.name, run.function.name, verdict, about)
        if manners.wants(run.function):
            task = self.current_of(run)
            manners.tell(run.function, FAILED, task, about)
            if verdict.dead:
                manners.tell(run.function, DEAD, task, about)

    def _dropped(self, run: Run, task: Task, error: BaseException) -> Outcome:
        """The function said that there is nothing to do."""
        name, function = task.name, run.function
        why = worded(error) if isinstance(error, Drop) else shown(error)
        text = f"task {for_people(name)} is dropped by {function.name}(): {for_people(why)}"
        log.event("warning", text, run.details())
        try:
            task.dropped(why, keep=function.manner.results if function.manner else 0.0)
        finally:
            run.hand.put_down()
        self.tell_whole(task.arguments.get(KEY), name, False)
        return Outcome(GONE, 0.0, True)

    # Said once

    def say_refused(self, problems: Iterable[str]) -> None:
        """Directories of priorities whose tasks are not run."""
        for each in problems:
            if each not in self._said:
                self._said.add(each)
                log.event("error", f"the tasks in it are not run: {each} (said once)")

    def _say(self, name: str, why: str) -> None:
        if name in self._said:
            return
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said.add(name)
        log.event("warning", f"task {for_people(name)} is left alone: {for_people(why)} (said once)")


def _after(verdict: Verdict, failed: bool) -> Outcome:
    return Outcome(LATER, verdict.due, True, failed) if verdict.due else Outcome(TAKEN, 0.0, True, failed)
