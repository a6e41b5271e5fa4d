"""What somebody may want to be told of: kinds of alarms, telling the master of one, and what was told last.

A bit of the table says for each kind whether anybody wants it: where nobody does, nothing is done. The master
sees to it that each kind comes at most once a minute (master/events/alarms.py). Knows places and the table.
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from ipcmules.bus.places import Places
from ipcmules.bus.table import H_ALARMS
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import files
from ipcmules.kernel.exhaustion import importing

#: In the order of their bits.
KINDS = (
    "task_dead",
    "task_failed",
    "mule_died",
    "spooler_died",
    "worker_died",
    "queue_full",
    "reload_failed",
)
#: A process tells the master of a kind so often at most, seconds; and the master has so long to hear it.
_RARELY, _PATIENCE = 1.0, 1.0
#: By kind: when the master is told next, and what has happened since it was.
_told: dict[str, tuple[float, int]] = {}


class Alarm(NamedTuple):
    """Something that happened. What happened within a minute after the last of that kind is one, with it.

    kind: one of KINDS. text: in words, of the last one. time: when that was, in seconds since 1970.
    times: how often it happened. fields: what the log has of it: "mule" (its number), "task", "function".
    """

    kind: str
    text: str
    time: float
    times: int
    fields: dict[str, Any]


def is_wanted(cells: memoryview, kind: str) -> bool:
    """True if somebody wants to be told."""
    return bool(cells[H_ALARMS] >> KINDS.index(kind) & 1)


def tell(where: Places, cells: memoryview, kind: str, text: str, **fields: object) -> None:
    """Tell the master that something happened, if anybody wants to know.

    Never raises, and waits a second at most.
    """
    if not is_wanted(cells, kind):
        return
    due, count = _told.get(kind, (0.0, 0))
    now = time.monotonic()
    if now < due:
        _told[kind] = due, count + 1
        return
    _told[kind] = now + _RARELY, 0
    with importing:
        from ipcmules.bus import control
    question = {"do": "alarm", "kind": kind, "text": text, "count": count + 1, "fields": fields}
    try:
        control.ask(where, question, _PATIENCE)
    except (IpcMulesError, ValueError, OSError):
        pass  # it is in the log


def leave(where: Places, alarm: Alarm) -> None:
    """Leave an alarm for who handles it. Raises OSError."""
    with importing:
        import json
    files.replace(_path(where, alarm.kind), json.dumps(alarm._asdict(), default=str).encode())


def last(where: Places, kind: str) -> Alarm:
    """The last alarm of a kind; an empty one where that cannot be read."""
    with importing:
        import json
    try:
        with open(_path(where, kind), encoding="utf-8") as file:
            return Alarm(**json.load(file))
    except (OSError, ValueError, TypeError):
        return Alarm(kind, "", 0.0, 0, {})


def _path(where: Places, kind: str) -> str:
    return os.path.join(where.runtime, f"alarm.{kind}")
