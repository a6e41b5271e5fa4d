"""Looking at tasks without taking them: for the console, and beside spoolers at work.

Takes no lock, changes nothing, and never unpickles. What is seen may be over a moment later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ipcmules.spooler import attempts, claim, codec, dead, names, scan
from ipcmules.spooler.attempts import Record

QUEUED, SCHEDULED, RUNNING, DEAD = "queued", "scheduled", "running", "dead"
STATES = (QUEUED, SCHEDULED, RUNNING, DEAD)

_HEAD = codec.HEADER + codec.MOST


class Peek(NamedTuple):
    """A task as it was seen."""

    directory: str
    name: str  #: relative to the directory, for a dead one below dead/
    state: str  #: one of STATES; who is writing a task looks as who runs it
    enqueued: float  #: seconds since 1970, from its name, else the file's time
    due: float  #: when it runs, in seconds since 1970; 0.0 where it is not scheduled
    size: int  #: of the file, in bytes
    pid: int  #: of the process that has it locked, 0 for none, -1 if that cannot be said
    arguments: dict[bytes, bytes]
    body: int  #: where the body begins in the file
    problem: str  #: why it is no task, "" if it is one
    record: Record
    priority: str

    @property
    def path(self) -> str:
        """The path of its file."""
        return f"{self.directory}/{self.name}"

    @property
    def id(self) -> str:
        """What it is called in commands: the file's name, without what all have."""
        return self.name[self.name.rfind("/") + 1 + len(names.TASK) :]

    @property
    def function(self) -> str:
        """The decorated function that it calls, "" for none."""
        return self.arguments.get(b"ud_spool_func", b"").decode("utf-8", "backslashreplace")


def _any(_name: str) -> bool:
    return True


def waiting(directory: str, keep: Callable[[str], bool] = _any) -> Iterator[Peek]:
    """The tasks that are queued, scheduled and running, the oldest first. Raises OSError.

    keep: says by its name whether a task is to be looked at.
    """
    found = scan.scan(directory, False)
    skip: set[str] = set()
    while True:
        part = found.due + [name for _when, name in sorted(found.later)]
        part.sort(key=lambda name: names.fifo_key(name) or 0)
        for name in filter(keep, part):
            seen = at(directory, name)
            if seen is not None:
                yield seen
        if not found.more or not part:
            return
        skip.update(part)
        found = scan.scan(directory, False, skip)


def buried(directory: str, keep: Callable[[str], bool] = _any) -> Iterator[Peek]:
    """The tasks in dead/, the oldest first."""
    for name in filter(keep, dead.listing(directory)):
        seen = at(directory, f"{names.DEAD}/{name}")
        if seen is not None:
            yield seen


def at(directory: str, name: str) -> Peek | None:
    """Look at one task; None if it is gone or no file. A file that cannot be read has a problem."""
    path = f"{directory}/{name}"
    status = claim.status_of(path)
    if status is None:
        return None
    now = time.time()
    is_dead = name.startswith(f"{names.DEAD}/")
    pid, body, problem = 0, 0, ""
    arguments: dict[bytes, bytes] = {}
    try:
        data, pid = _head(path)
        arguments, body = codec.unpack(data)
    except codec.Malformed as error:
        problem = str(error)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    grave = dead.read(directory, name[len(names.DEAD) + 1 :]) if is_dead else None
    record = grave.record if grave else attempts.load(path) if claim.tried(status) else attempts.NONE
    due = 0.0 if is_dead or pid else claim.due(path, status, now)
    written = names.fifo_key(name)
    return Peek(
        directory=directory,
        name=name,
        state=DEAD if is_dead else RUNNING if pid else SCHEDULED if due else QUEUED,
        enqueued=status.st_mtime if written is None else written / 1e6,
        due=due,
        size=status.st_size,
        pid=pid,
        arguments=arguments,
        body=body,
        problem=problem,
        record=record,
        priority=grave.priority if grave else os.path.dirname(name),
    )


def _head(path: str) -> tuple[bytes, int]:
    """As much of a file as may be arguments, and who has it locked."""
    if claim.is_held(path):
        # Closing it here would drop this process's own lock (fcntl(2)).
        return b"\x11\0\0\0", os.getpid()
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(file, _HEAD), claim.locker(file)
    finally:
        os.close(file)
