"""A spool directory as a spooler uses it: scan, take a task, look after what dead spoolers left.

The part that P's program and the console share. Knows files only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import NamedTuple

from ipcmules.spooler import (
    at_once,
    attempts,
    cancelling,
    claim,
    codec,
    directory,
    flow_files,
    in_hand,
    names,
    outcomes,
    scan,
    sweep,
)
from ipcmules.spooler.attempts import Policy, Record
from ipcmules.spooler.claim import EMPTY, FOREIGN, LATER, MALFORMED, YOUNG, Held, Refusal
from ipcmules.spooler.scan import Scan
from ipcmules.spooler.task import OVER, Task, Verdict

#: As much of a file as can be header and arguments.
_HEAD = codec.HEADER + codec.MOST
#: A file that is being written is whole in a moment, seconds.
_SOON = 0.001
#: How many tasks that are left alone are remembered; more are tried again each time.
_MOST_LEFT = 100_000


class Death(NamedTuple):
    """A task whose process died while it ran it, and what became of it.

    verdict: None where the process had been told to end: that is no attempt, and the task is as it was.
    """

    name: str
    pid: int
    policy: Policy
    verdict: Verdict | None


class Store:
    """One spool directory. Opens nothing but the tasks it takes; one object may live as long as the process.

    path: the directory. ordered: the order of --spooler-ordered instead of first in, first out.
    """

    def __init__(self, path: str, ordered: bool = False) -> None:
        self.path = os.path.realpath(path)
        self._given = os.path.abspath(path)
        self.ordered = ordered
        #: Tasks that are left alone until a time, unless they change: their ctime, size, and that time.
        self._left: dict[str, tuple[int, int, float]] = {}

    def prepare(self) -> None:
        """Make the directory if it is missing, and check it. Raises AccessError, SpoolError."""
        directory.prepare(self._given)

    def check(self) -> None:
        """Look at the directory as prepare() does, and make nothing."""
        directory.check(self._given)

    def scan(self, skip: Collection[str] = (), limit: int = scan.LIMIT) -> Scan:
        """Read the directory; see scan.scan(). Raises OSError (FileNotFoundError where it was removed)."""
        return scan.scan(self.path, self.ordered, skip, limit)

    def claim(self, name: str) -> Task | Refusal:
        """Take a task: lock it, look that it is still there, due and whole, and read it.

        name: relative to the directory. A file that makes no sense goes to dead/ when it is a minute old.
        Raises OSError only where a file that is locked and whole cannot be read.
        """
        path = f"{self.path}/{name}"
        found = claim.look(path)
        if isinstance(found, Refusal):
            return found
        now = time.time()
        if found.st_mtime > now or name in self._left:
            when = claim.due(path, found, now) or self._left_until(name, found, now)
            if when:
                return Refusal(LATER, when)
        held = claim.lock(path, found)
        if isinstance(held, Refusal):
            return held
        problem = self._not_ours(name, held)
        if problem:
            claim.release(held)
            return Refusal(FOREIGN, 0.0, problem)
        try:
            return self._read(name, held, now)
        except OSError as error:
            claim.release(held)
            return claim.not_there(error)
        except BaseException:
            claim.release(held)
            raise

    def leave(self, task: Task, until: float) -> None:
        """Leave a task as it was, for somebody else; here it is refused until then, or until it changes.

        until: seconds since 1970.
        """
        self._leave(task.name, task.status, until)
        task.ignore()

    def _leave(self, name: str, status: os.stat_result, until: float) -> None:
        if len(self._left) >= _MOST_LEFT:
            now = time.time()
            self._left = {each: left for each, left in self._left.items() if left[2] > now}
        if len(self._left) < _MOST_LEFT:
            self._left[name] = (status.st_ctime_ns, status.st_size, until)

    def _left_until(self, name: str, status: os.stat_result, now: float) -> float:
        changed, size, until = self._left.get(name, (0, 0, 0.0))
        if (changed, size) == (status.st_ctime_ns, status.st_size) and now < until:
            return until
        self._left.pop(name, None)
        return 0.0

    def _read(self, name: str, held: Held, now: float) -> Task | Refusal:
        status, file = held.status, held.file
        if status.st_mtime > now:
            when = claim.due(held.path, status, now)
            if when:
                claim.release(held)
                return Refusal(LATER, when)
        size = status.st_size
        try:
            codec.check_size(size)
            data = os.read(file, min(size, _HEAD))
            arguments, end = codec.unpack(data)
            body = data[end:] if size == len(data) else _rest(file, end, size)
        except codec.Malformed as error:
            return self._malformed(name, held, str(error), now)
        record = attempts.NONE
        if claim.tried(status):
            if cancelling.is_asked(held.path):
                Task(self.path, name, held, arguments, body, record).cancelled(0)
                return Refusal(claim.GONE)
            record = attempts.load(held.path)
            when = record.time + record.wait
            if status.st_uid != os.geteuid() and now < when <= now + record.wait:
                claim.release(held)
                return Refusal(LATER, when)
        return Task(self.path, name, held, arguments, body, record)

    def _not_ours(self, name: str, held: Held) -> str:
        """Why nobody vouches for a task: whoever owns its file can write to it, also after it was moved
        here."""
        uid = held.status.st_uid
        if uid not in (os.geteuid(), 0):
            return f"its file belongs to uid {uid}, who can write to it, and what is in it is run: chown it"
        return directory.problem_below(self.path, os.path.dirname(name)) if "/" in name else ""

    def _malformed(self, name: str, held: Held, reason: str, now: float) -> Refusal:
        age = abs(now - held.status.st_ctime)
        if age < claim.YOUTH:
            # Its writer is most likely about to write, and may die: soon, and then later and later.
            when = now + min(max(age, _SOON), claim.YOUTH - age)
            self._leave(name, held.status, when)
            claim.release(held)
            return Refusal(YOUNG, when, reason)
        if not held.status.st_size:
            return self._sweep_empty(held)
        record = Record(time=now, reason=f"this is no task: {reason}")
        verdict = Task(self.path, name, held, {}, b"", record).bury(record)
        if verdict.problem:
            return Refusal(LATER, verdict.due, f"{reason}; {verdict.problem}")
        return Refusal(MALFORMED, 0.0, reason)

    def _sweep_empty(self, held: Held) -> Refusal:
        """Remove what a writer has left that was killed before it wrote."""
        swept = at_once.sweep(held.path, held.file, held.status)
        claim.release(held)
        return Refusal(EMPTY) if swept else Refusal(YOUNG, time.time())

    def sweep(self, ours: list[str]) -> int:
        """Remove leftovers among what a scan found of ours; returns how many."""
        return sweep.sweep(self.path, ours)

    def deaths(
        self,
        ours: list[str] | None = None,
        pid: int = 0,
        reason: str = "",
        traceback: str = "",
        planned: bool | None = None,
    ) -> list[Death]:
        """Count an attempt for every task that a dead spooler had in hand, and remove its hand.

        ours: what a scan found of ours; None reads the directory. pid: only that process's, which the caller
        knows to be dead. reason, traceback: what is known of its death. planned: whether it was to end, and
        so counts as no attempt; None: what the hand says.
        """
        found = []
        for hand in self._hands(ours):
            if pid and in_hand.pid_of(hand) != pid:
                continue
            dropped = in_hand.collect(self.path, hand)
            if dropped is None:
                continue
            policy = dropped.policy
            whole = self._whole_of(dropped.name)
            if self._is_over(dropped.name):
                succeeded = outcomes.has_succeeded(self.path, dropped.name)
                found.append(Death(dropped.name, dropped.pid, policy, self._end(dropped.name)))
                flow_files.tell(self.path, whole, dropped.name, succeeded)
                continue
            if dropped.told if planned is None else planned:
                found.append(Death(dropped.name, dropped.pid, policy, None))
                continue
            why = reason or f"the process that ran it (pid {dropped.pid}) died"
            verdict = self.count_death(dropped.name, why, traceback, policy)
            if verdict is not None:
                found.append(Death(dropped.name, dropped.pid, policy, verdict))
                if verdict.dead:
                    flow_files.tell(self.path, whole, dropped.name, False)
        return found

    def _whole_of(self, name: str) -> str:
        """The chain or group whose part a task is, "" for none, or where somebody has it here."""
        path = f"{self.path}/{name}"
        if claim.is_held(path):
            return ""
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            arguments, _end = codec.unpack(os.read(file, _HEAD))
        except (OSError, codec.Malformed):
            return ""
        finally:
            os.close(file)
        return os.fsdecode(arguments.get(flow_files.KEY, b""))

    def _is_over(self, name: str) -> bool:
        """True if a task was done, or cancelled, before its process died: there is no attempt to count."""
        return outcomes.is_over(self.path, name) or cancelling.is_asked(f"{self.path}/{name}")

    def _end(self, name: str) -> Verdict:
        """Remove a task that is over. Who has it in hand meanwhile does it otherwise."""
        try:
            cancelling.take(self.path, name)
        except OSError:
            pass  # who takes it next tries again
        return Verdict(0, 0.0, problem=OVER)

    def _hands(self, ours: list[str] | None) -> list[str]:
        if ours is None:
            try:
                ours = os.listdir(self.path)
            except OSError:
                return []
        return [each for each in ours if each.startswith(names.HAND)]

    def count_death(
        self, name: str, reason: str, traceback: str = "", policy: Policy = attempts.DEFAULT
    ) -> Verdict | None:
        """Count an attempt of a task whose process died while it ran it; None if the task is gone.

        For whoever knows what that process had in hand. Where another process runs the task already, the
        attempt is counted without a wait.
        """
        path = f"{self.path}/{name}"
        held = claim.take(path)
        if isinstance(held, Held):
            task = Task(self.path, name, held, {}, b"", attempts.load(path))
            return task.failed(reason, traceback, policy)
        if held.why != claim.BUSY:
            return None
        old = attempts.load(path)
        record = Record(old.attempts + 1, old.returned, time.time(), 0.0, reason, traceback)
        try:
            attempts.save(path, record)
            os.chmod(path, attempts.MARKED)
        except FileNotFoundError:
            pass
        except OSError as error:
            return Verdict(record.attempts, 0.0, "", f"the attempt cannot be written down: {error}")
        return Verdict(record.attempts, 0.0)


def _rest(file: int, start: int, size: int) -> bytes:
    """The body: what stands behind the arguments."""
    parts = []
    at = start
    while at < size:
        # At most 0x7ffff000 bytes come at once (read(2)).
        part = os.pread(file, size - at, at)
        if not part:
            raise codec.Malformed(f"it became shorter while it was read: {at} of {size} bytes")
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_task(found: Task | Refusal) -> bool:
    """True for a task, False for a refusal; claim()'s result as an if reads it best."""
    return isinstance(found, Task)
