"""What stands in files of a Django task: its call in the task's own file, its attempts in results/.

The formats are in docs/formats-spooler.md. Knows files and JSON; neither Django nor how tasks are run.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ipcmules.kernel.interruption import opened
from ipcmules.spooler import claim, codec, names, outcomes, unrun

#: Keys of a task's arguments.
TASK_KEY = unrun.ABOUT
TASK, CALL = TASK_KEY.decode(), unrun.CALL.decode()
#: A longer call goes into the body: the arguments take 65,535 bytes, and there must be room for the others.
_LONGEST = 60_000
#: Characters of a traceback that are kept, the end of it; and of how many attempts.
_LONGEST_TRACEBACK, _MOST_TRACEBACKS = 65_536, 20


@dataclass(frozen=True)
class Call:
    """A task as it was enqueued. path: of the function, as Django imports it. run_after: in seconds since
    1970. keep: seconds for which its backend keeps results, 0.0 where that is not known.
    """

    path: str
    args: list[Any]
    kwargs: dict[str, Any]
    backend: str
    queue: str
    priority: int
    run_after: float | None = None
    keep: float = 0.0

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.path.rpartition(".")[2]

    def arguments(self) -> dict[str, Any]:
        """As a task's arguments, for spool(). Raises TypeError, ValueError for what is not JSON."""
        about = asdict(self)
        call = json.dumps({"args": about.pop("args"), "kwargs": about.pop("kwargs")})
        key = CALL if len(call.encode()) <= _LONGEST else "body"
        return {TASK: json.dumps(about), key: call}

    @classmethod
    def read(cls, task: str | bytes, call: str | bytes) -> Call:
        """From a task's arguments. Raises ValueError where they make no sense."""
        try:
            return cls(**json.loads(task), **json.loads(call))
        except TypeError as error:
            raise ValueError(f"this is no task of Django's: {error}") from error


@dataclass
class Attempt:
    """One run. Times in seconds since 1970. error: the path of what was raised, and the traceback."""

    worker: str
    began: float
    ended: float = 0.0
    error: tuple[str, str] | None = None


@dataclass
class History:
    """What became of a task so far. finished: when it succeeded, 0.0 if it did not. returned: its value."""

    call: Call
    attempts: list[Attempt] = field(default_factory=list)
    finished: float = 0.0
    returned: Any = None

    @classmethod
    def read(cls, directory: str, name: str) -> History | None:
        """That of a task; None where there is none, or it makes no sense.

        Raises AccessError where others can write to it.
        """
        data = outcomes.take(directory, names.history_of(name))
        if data is None:
            return None
        try:
            found = json.loads(data)
            attempts = [Attempt(**each) for each in found.pop("attempts")]
            return cls(Call(**found.pop("call")), attempts, **found)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def write(self, directory: str, name: str, keep: float) -> None:
        """Replace it, for so many seconds. Raises OSError; ValueError or TypeError for what is not JSON."""
        for each in self.attempts[:-_MOST_TRACEBACKS]:
            if each.error is not None:
                each.error = (each.error[0], "")
        for each in self.attempts[-1:]:
            if each.error is not None:
                each.error = (each.error[0], each.error[1][-_LONGEST_TRACEBACK:])
        data = json.dumps(asdict(self)).encode()
        outcomes.put(directory, names.history_of(name), data, time.time() + keep)


def read_call(directory: str, name: str) -> Call | None:
    """The call in a task's file; None where it is gone, is no task of Django's, or this process runs it.

    name: relative to the directory.
    """
    path = f"{directory}/{name}"
    if claim.is_held(path):  # to close it would free this process's lock (fcntl(2))
        return None
    try:
        with opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
            data = _whole(file.fileno())
        arguments, end = codec.unpack(data)
        return Call.read(arguments[TASK_KEY], arguments.get(unrun.CALL) or data[end:])
    except (OSError, codec.Malformed, ValueError, KeyError):
        return None


def _whole(file: int) -> bytes:
    codec.check_size(os.fstat(file).st_size)
    parts: list[bytes] = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)
