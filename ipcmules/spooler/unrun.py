"""What a web framework's task was, kept where it is over before it ran: its file goes, and who asks for its
result must be told what it was.

A framework writes a history of a task when it runs (docs/formats-spooler.md). Here the first one is written
of a task that never will. Knows files and the keys of such a task; no framework.
"""

from __future__ import annotations

import json
import os
import time

from ipcmules.spooler import codec, names, outcomes

#: Keys of a task's arguments: about it, and what it is called with, which may be the body.
ABOUT, CALL = b"django_task", b"django_call"
#: In the former: seconds for which it is to be known how the task ended.
KEEP = "keep"


def keep(directory: str, name: str, file: int) -> float:
    """Write the history of a task that is about to be removed, if it is a framework's that has none.

    file: its descriptor. Returns for how many seconds it is to be known how it ended, 0.0 where it says
    nothing of that, or is no such task. Raises OSError.
    """
    data = os.pread(file, codec.HEADER + codec.MOST, 0)
    try:
        arguments, end = codec.unpack(data)
        if ABOUT not in arguments:
            return 0.0
        about = json.loads(arguments[ABOUT])
        call = {**about, **json.loads(arguments.get(CALL) or _body(file, end))}
        seconds = float(about.get(KEEP, 0.0))
    except (ValueError, TypeError, AttributeError, RecursionError):  # codec.Malformed is a ValueError
        return 0.0
    if not os.path.lexists(f"{directory}/{names.history_of(name)}"):
        history = {"call": call, "attempts": [], "finished": 0.0, "returned": None}
        until = time.time() + max(seconds, outcomes.KEEP)
        outcomes.put(directory, names.history_of(name), json.dumps(history).encode(), until)
    return seconds


def _body(file: int, start: int) -> bytes:
    codec.check_size(os.fstat(file).st_size)
    parts: list[bytes] = []
    at = start
    while part := os.pread(file, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
