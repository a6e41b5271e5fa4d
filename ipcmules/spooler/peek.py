"""Looking at tasks without taking them: for the console, and beside spoolers at work.

Takes no lock, changes nothing, and never unpickles. What is seen may be over a moment later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ipcmules.kernel.interruption import opened
from ipcmules.spooler import attempts, claim, codec, dead_tasks, flow_files, names, outcomes, scan
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.outcomes import End

QUEUED, SCHEDULED, RUNNING, DEAD = "queued", "scheduled", "running", "dead"
STATES = (QUEUED, SCHEDULED, RUNNING, DEAD)
#: Of tasks whose file is gone, and whose end is kept.
ENDED = outcomes.STATES

_HEAD = codec.HEADER + codec.MOST


class Peek(NamedTuple):
    """A task as it was seen."""

    directory: str
    name: str  #: relative to the directory, for a dead one below dead/, for one that has ended below results/
    state: str  #: one of STATES or ENDED; who is writing a task looks as who runs it
    enqueued: float  #: seconds since 1970, from its name, else the file's time
    due: float  #: when it runs, in seconds since 1970; 0.0 where it is not scheduled
    size: int  #: of the file, in bytes
    pid: int  #: of the process that has it locked, 0 for none, -1 if that cannot be said
    arguments: dict[bytes, bytes]
    body: int  #: where the body begins in the file
    problem: str  #: why it is no task, "" if it is one
    record: Record
    priority: str
    progress: dict[str, Any] | None = None  #: the last it said: done, total, note, time
    end: End | None = None  #: how it ended
    host: str = ""  #: of the cluster, that has it
    data: bytes = b""  #: where it has no file, all of it or its beginning

    @property
    def path(self) -> str:
        """The path of its file."""
        return f"{self.directory}/{self.name}"

    @property
    def id(self) -> str:
        """What it is called in commands: the file's name, without what all have."""
        kind = names.TASK if self.end is None else names.RESULT
        return self.name[self.name.rfind("/") + 1 + len(kind) :]

    @property
    def function(self) -> str:
        """The decorated function that it calls, "" for none."""
        if self.end is not None:
            return self.end.function
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
    for name in filter(keep, dead_tasks.listing(directory)):
        seen = at(directory, f"{names.DEAD}/{name}")
        if seen is not None:
            yield seen


def ended(directory: str, keep: Callable[[str], bool] = _any) -> Iterator[Peek]:
    """The tasks whose end is kept, the oldest first. Raises AccessError where others can write to it."""
    try:
        found = os.listdir(f"{directory}/{names.RESULTS}")
    except OSError:
        return
    tasks = [names.TASK + each[len(names.RESULT) :] for each in found if each.startswith(names.RESULT)]
    for name in filter(keep, sorted(tasks, key=lambda each: names.fifo_key(each) or 0)):
        end = outcomes.read(directory, name)
        if end is None:
            continue
        yield Peek(
            directory=directory,
            name=names.result_of(name),
            state=end.state,
            enqueued=(names.fifo_key(name) or 0) / 1e6,
            due=0.0,
            size=len(end.value),
            pid=0,
            arguments={},
            body=0,
            problem="",
            record=attempts.NONE,
            priority="",
            progress=end.progress,
            end=end,
        )


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
    grave = dead_tasks.read(directory, name[len(names.DEAD) + 1 :]) if is_dead else None
    record = grave.record if grave else attempts.load(path) if claim.tried(status) else attempts.NONE
    begun = bool(not is_dead and record.returned and flow_files.has_begun(directory, name))
    due = 0.0 if is_dead or pid or begun else claim.due(path, status, now)
    written = names.fifo_key(name)
    return Peek(
        directory=directory,
        name=name,
        state=DEAD if is_dead else RUNNING if pid or begun else SCHEDULED if due else QUEUED,
        enqueued=status.st_mtime if written is None else written / 1e6,
        due=due,
        size=status.st_size,
        pid=pid,
        arguments=arguments,
        body=body,
        problem=problem,
        record=record,
        priority=grave.priority if grave else os.path.dirname(name),
        progress=outcomes.progress_of(directory, name) if pid or begun else None,
    )


def _head(path: str) -> tuple[bytes, int]:
    """As much of a file as may be arguments, and who has it locked."""
    if claim.is_held(path):
        # Closing it here would drop this process's own lock (fcntl(2)).
        return b"\x11\0\0\0", os.getpid()
    with opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
        return os.read(file.fileno(), _HEAD), claim.locker(file.fileno())
