"""A spool directory as a spooler uses it: scan, take a task, look after what dead spoolers left.

The part that P's program and the console share. Knows files only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container
from typing import NamedTuple

from ipcmules.spooler import attempts, claim, codec, directory, hands, names, scan, sweep
from ipcmules.spooler.attempts import Policy, Record
from ipcmules.spooler.claim import FOREIGN, GONE, LATER, MALFORMED, YOUNG, YOUTH, Held, Refusal
from ipcmules.spooler.scan import Scan
from ipcmules.spooler.task import Task, Verdict

#: As much of a file as can be header and arguments.
_HEAD = codec.HEADER + codec.MOST
#: A malformed file is given up at once, and a task of a dead spooler by its own policy.
_GONE = Refusal(GONE)


class Death(NamedTuple):
    """A task whose process died while it ran it, and what became of it."""

    name: str
    pid: int
    verdict: Verdict


class Store:
    """One spool directory. Opens nothing but the tasks it takes; one object may live as long as the process.

    path: the directory. ordered: the order of --spooler-ordered instead of first in, first out.
    """

    def __init__(self, path: str, ordered: bool = False) -> None:
        self.path = os.path.realpath(path)
        self.ordered = ordered

    def prepare(self) -> None:
        """Make the directory if it is missing, and check it. Raises AccessError, SpoolError."""
        directory.prepare(self.path)

    def scan(self, skip: Container[str] = (), limit: int = scan.LIMIT) -> Scan:
        """Read the directory; see scan.scan(). Raises OSError (FileNotFoundError where it was removed)."""
        return scan.scan(self.path, self.ordered, skip, limit)

    def claim(self, name: str) -> Task | Refusal:
        """Take a task: lock it, look that it is still there, due and whole, and read it.

        name: relative to the directory. A file that makes no sense goes to dead/ when it is a minute old.
        Raises OSError only where a file that is locked and whole cannot be read.
        """
        held = claim.lock(f"{self.path}/{name}")
        if isinstance(held, Refusal):
            return held
        try:
            return self._read(name, held)
        except OSError as error:
            claim.release(held)
            return Refusal(FOREIGN, 0.0, str(error))
        except BaseException:
            claim.release(held)
            raise

    def _read(self, name: str, held: Held) -> Task | Refusal:
        status, file = held.status, held.file
        now = time.time()
        if status.st_mtime > now:
            when = claim.due(held.path, status, now)
            if when:
                claim.release(held)
                return Refusal(LATER, when)
        size = status.st_size
        try:
            data = os.read(file, min(size, _HEAD))
            arguments, end = codec.unpack(data)
            body = data[end:] if size == len(data) else _rest(file, end, size)
        except codec.Malformed as error:
            return self._malformed(name, held, str(error), now)
        record = attempts.NONE
        if claim.tried(status):
            record = attempts.load(held.path)
            when = record.time + record.wait
            if status.st_uid != os.geteuid() and now < when <= now + record.wait:
                claim.release(held)
                return Refusal(LATER, when)
        return Task(self.path, name, held, arguments, body, record)

    def _malformed(self, name: str, held: Held, reason: str, now: float) -> Refusal:
        if claim.is_being_written(held.status, now):
            claim.release(held)
            return Refusal(YOUNG, held.status.st_ctime + YOUTH, reason)
        record = Record(time=now, reason=f"this is no task: {reason}")
        verdict = Task(self.path, name, held, {}, b"", record).bury(record)
        if verdict.problem:
            return Refusal(LATER, verdict.due, f"{reason}; {verdict.problem}")
        return Refusal(MALFORMED, 0.0, reason)

    def sweep(self, ours: list[str]) -> int:
        """Remove leftovers among what a scan found of ours; returns how many."""
        return sweep.sweep(self.path, ours)

    def deaths(
        self, ours: list[str] | None = None, pid: int = 0, reason: str = "", traceback: str = ""
    ) -> list[Death]:
        """Count an attempt for every task that a dead spooler had in hand, and remove its hand.

        ours: what a scan found of ours; None reads the directory. pid: only that process's, which the caller
        knows to be dead. reason, traceback: what is known of its death.
        """
        found = []
        for hand in self._hands(ours):
            if pid and hands.pid_of(hand) != pid:
                continue
            dropped = hands.collect(self.path, hand)
            if dropped is None:
                continue
            why = reason or f"the process that ran it (pid {dropped.pid}) died"
            verdict = self._count(dropped.name, dropped.policy, why, traceback)
            if verdict is not None:
                found.append(Death(dropped.name, dropped.pid, verdict))
        return found

    def _hands(self, ours: list[str] | None) -> list[str]:
        if ours is None:
            try:
                ours = os.listdir(self.path)
            except OSError:
                return []
        return [each for each in ours if each.startswith(names.HAND)]

    def _count(self, name: str, policy: Policy, reason: str, traceback: str) -> Verdict | None:
        """Count an attempt of a task that another process ran; None if the task is gone."""
        path = f"{self.path}/{name}"
        held = claim.lock(path)
        if isinstance(held, Held):
            task = Task(self.path, name, held, {}, b"", attempts.load(path))
            return task.failed(reason, traceback, policy)
        if held.why != claim.BUSY:
            return None
        # Another spooler took it at once: it finds the count when it fails itself, or nobody needs it.
        old = attempts.load(path)
        record = Record(old.attempts + 1, old.returned, time.time(), 0.0, reason, traceback)
        try:
            attempts.save(path, record)
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
