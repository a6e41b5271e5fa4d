"""What a task carries and returned, as text. Bytes are shown as text where they are text; pickles are read,
never loaded.
"""

from __future__ import annotations

import os
from typing import Any

from ipcmules.kernel.printable import for_people
from ipcmules.spooler import calls, claim, pickled
from ipcmules.spooler.outcomes import End
from ipcmules.spooler.peek import Peek

#: How much of a value is shown.
_LONGEST = 2000
#: Of a body that holds the arguments of a call so much is read.
_LONGEST_BODY = 1 << 18
#: The arguments of a call with pass_arguments, which uwsgidecorators pickles.
_PICKLED = (b"args", b"kwargs")


def as_json(task: Peek, whole: bool = False) -> dict[str, Any]:
    """A task for programs, as `ipcmules tasks --json` prints it. whole: with arguments and traceback."""
    record = task.record
    found: dict[str, Any] = {
        "id": text(os.fsencode(task.id)),
        "directory": text(os.fsencode(task.directory)),
        "path": text(os.fsencode(task.path)),
        "state": task.state,
        "priority": task.priority,
        "enqueued": task.enqueued,
        "due": task.due or None,
        "size": task.size,
        "pid": task.pid or None,
        "function": task.function or None,
        "attempts": record.attempts,
        "retries_returned": record.returned,
        "failed": record.time or None,
        "reason": record.reason or None,
        "problem": task.problem or None,
        "progress": task.progress,
    }
    if task.end is not None:
        found |= {"ended": task.end.time, "attempts": task.end.attempts, "reason": task.end.reason or None}
    if whole:
        found["traceback"] = record.traceback or None
        found["body_size"] = body_size(task)
        found["arguments"] = arguments(task)
        if task.end is not None:
            found["result"] = result(task.end)
    return found


def result(end: End) -> str | None:
    """What a task returned, as text; None where that is not kept. A pickle is not loaded."""
    if not end.encoding:
        return None
    if end.encoding == "pickle":
        return pickled.describe(end.value, _LONGEST)
    return value(b"", end.value)


def value(key: bytes, data: bytes) -> str:
    """An argument as text. A pickle is read and not loaded: loading one can run anything."""
    if key in _PICKLED:
        return pickled.describe(data, _LONGEST)
    more = f" [{len(data) - _LONGEST} more bytes]" if len(data) > _LONGEST else ""
    return text(data[:_LONGEST]) + more


def arguments(task: Peek) -> dict[str, str]:
    """The arguments as texts; those of a call that are too long for their place are read from the body."""
    found = {text(key): value(key, data) for key, data in task.arguments.items()}
    # The stand-in for them is a pickle that names this function.
    if calls.arguments_are_in_the_body.__name__.encode() in task.arguments.get(b"args", b""):
        found["args"] = found["kwargs"] = "(in the body)"
        found["body"] = _pickled_body(task)
    return found


def _pickled_body(task: Peek) -> str:
    size = body_size(task)
    if size > _LONGEST_BODY or claim.is_held(task.path):
        return f"(a pickle of {size} bytes: not read)"
    try:
        with open(task.path, "rb") as file:
            file.seek(task.body)
            return pickled.describe(file.read(_LONGEST_BODY), _LONGEST)
    except OSError as error:
        return f"(it cannot be read: {error.strerror})"


def body_size(task: Peek) -> int:
    """Bytes of its body, as far as that is known."""
    return max(0, task.size - task.body) if task.body else 0


def text(data: bytes) -> str:
    """Bytes as text for people."""
    return for_people(data)
