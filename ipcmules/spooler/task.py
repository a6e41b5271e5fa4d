"""A task that this process has taken, until it is done, left alone, put off or given up."""

from __future__ import annotations

import errno
import os
import time
from typing import NamedTuple

from ipcmules.spooler import attempts, cancelling, claim, names, outcomes
from ipcmules.spooler import dead_tasks as dead
from ipcmules.spooler.attempts import DEFAULT, Policy, Record
from ipcmules.spooler.claim import Held

#: Of tasks that do not run again, though they are not given up: what became of them.
CANCELLED, OVER = "it was cancelled", "it is over: done or cancelled before"


class Verdict(NamedTuple):
    """What became of a task that failed."""

    attempts: int
    due: float  #: when it runs again, in seconds since 1970; 0.0 if it does not
    dead: str = ""  #: its path in dead/, "" if it is not given up
    problem: str = ""  #: what could not be written down, as on a full disk

    @property
    def over(self) -> bool:
        """True if it does not run again, and is not given up: `problem` says why."""
        return self.problem in (CANCELLED, OVER)


class Task:
    """A task in hand: its file is locked until one of done(), ignore(), again() and failed() is called.

    name: relative to the spool directory, as the queue carries it. bare: the last part of it, what
    spooler_task_name is. arguments: as they stand in the file. body: b"" for none. record: its failures.
    """

    __slots__ = ("_held", "arguments", "body", "directory", "name", "record")

    def __init__(
        self,
        directory: str,
        name: str,
        held: Held,
        arguments: dict[bytes, bytes],
        body: bytes,
        record: Record,
    ) -> None:
        self.directory = directory
        self.name = name
        self.arguments = arguments
        self.body = body
        self.record = record
        self._held = held

    @property
    def bare(self) -> str:
        """The name of the file alone."""
        return names.bare(self.name)

    @property
    def status(self) -> os.stat_result:
        """The file's status when it was taken."""
        return self._held.status

    @property
    def path(self) -> str:
        """The path of the file."""
        return self._held.path

    def done(self) -> None:
        """It succeeded: remove it. Raises OSError if the file is there and cannot be removed."""
        held = self._held
        try:
            os.unlink(held.path)
            if claim.tried(held.status):
                attempts.remove(held.path)
        except FileNotFoundError:
            pass  # moved or removed by hand meanwhile
        finally:
            claim.release(held)

    def ignore(self) -> None:
        """Leave it as it was, for somebody else or for later."""
        claim.release(self._held)

    def again(self, wait: float, reason: str = "it returned SPOOL_RETRY") -> Verdict:
        """Let it run again after so many seconds; no attempt is counted."""
        old = self.record
        if cancelling.is_asked(self.path):
            return self.cancelled(old.attempts)
        record = Record(old.attempts, old.returned + 1, time.time(), wait, reason, old.traceback)
        return self._put_off(record)

    def cancelled(self, attempts: int) -> Verdict:
        """Somebody asked to cancel it, and it is in hand: remove it. Raises OSError where it cannot be."""
        try:
            cancelling.finish(self.directory, self.name, self._held)
        finally:
            claim.release(self._held)
        return Verdict(attempts, 0.0, problem=CANCELLED)

    def dropped(self, reason: str, state: str = outcomes.CANCELLED, keep: float = 0.0) -> None:
        """It is not to run again, nor to be kept. Raises OSError where it cannot be removed.

        state: of outcomes.STATES. keep: seconds for which its end is kept, if they are more than usual.
        """
        try:
            cancelling.finish(self.directory, self.name, self._held, reason, state, keep)
        finally:
            claim.release(self._held)

    def interrupted(self, reason: str, traceback: str, policy: Policy) -> Verdict:
        """It failed while its process was ending: it runs again after a wait, and no attempt is counted."""
        wait = policy.wait(self.record.attempts + 1)
        return self._put_off(
            self.record._replace(time=time.time(), wait=wait, reason=reason, traceback=traceback)
        )

    def failed(
        self, reason: str, traceback: str = "", policy: Policy = DEFAULT, after: float | None = None
    ) -> Verdict:
        """Count an attempt: it runs again after a wait, or goes to dead/ with reason and traceback.

        after: seconds to wait, None for the policy's.
        """
        count = max(self.record.attempts, self._counted()) + 1
        wait = policy.wait(count) if after is None else after
        record = Record(count, self.record.returned, time.time(), wait, reason, traceback)
        if cancelling.is_asked(self.path):
            return self.cancelled(count)
        if not policy.exhausted(count):
            return self._put_off(record)
        return self.bury(record)

    def _counted(self) -> int:
        """The attempts by now: another process may have counted meanwhile the death of one that had it."""
        if not claim.tried(os.fstat(self._held.file)):
            attempts.forget(self.path)  # it was made new by hand
        return attempts.load(self.path).attempts

    def bury(self, record: Record) -> Verdict:
        """Move it to dead/; where that cannot be (a full disk), put it off."""
        try:
            where = dead.bury(self.directory, self.name, record)
        except FileNotFoundError:
            claim.release(self._held)
            return Verdict(record.attempts, 0.0)
        except OSError as error:
            late = record._replace(wait=max(record.wait, claim.YOUTH))
            return self._put_off(late, f"it cannot be moved to dead/: {error}")
        claim.release(self._held)
        return Verdict(record.attempts, 0.0, where)

    def _put_off(self, record: Record, problem: str = "") -> Verdict:
        """Write down a failure and when it runs again: the mark and the time are in the file's inode."""
        held = self._held
        due = record.time + record.wait
        try:
            # By the descriptor: the name may be another file by now.
            os.utime(held.file, (due, due))
            os.fchmod(held.file, attempts.MARKED)
        except OSError as error:
            problem = problem or f"its time cannot be set: {error}"
        said = attempts.is_unwritten(held.path)
        try:
            if os.path.lexists(held.path):
                attempts.save(held.path, record)
        except OSError as error:
            if error.errno != errno.ENOENT and not said:
                problem = problem or f"the attempt cannot be written down, it is remembered: {error}"
        finally:
            claim.release(held)
        return Verdict(record.attempts, due, "", problem)
