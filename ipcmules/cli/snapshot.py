"""What a bus looks like at this moment, as plain values: what `status` prints.

Reads the description, the table and the queues; joins nothing, and disturbs nobody.
"""

from __future__ import annotations

import time
from typing import Any

import posix_ipc

from ipcmules import description as descriptions
from ipcmules import liveness, table
from ipcmules.description import Description, QueueSpec
from ipcmules.errors import AccessError
from ipcmules.listener import report
from ipcmules.master import deaths
from ipcmules.places import Places
from ipcmules.table import Table

_STATES = {
    table.STARTING: "starting",
    table.READY: "ready",
    table.STOPPING: "stopping",
    table.STOPPED: "stopped",
}


def take(where: Places) -> dict[str, Any]:
    """The bus as a dict for JSON (docs/reference.md, `ipcmules status --json`).

    'state' is 'absent' where there is nothing, 'dead' where a master was killed and left its objects, else
    what the bus says of itself. Raises FormatError if another version of ipcmules wrote it, AccessError if
    its table is not ours.
    """
    alive = liveness.is_alive(where)
    found = descriptions.load(where)
    if found is None:
        return _nothing(where, "starting" if alive else "absent", liveness.holder(where) if alive else 0)
    shared = _table(where, found)
    if not alive:
        state = "dead"
    elif shared is None or not found.complete:
        state = "starting"
    else:
        state = _STATES.get(shared.cells[table.H_STATE], "starting")
    return {
        **_nothing(where, state, found.master.pid),
        "mules": [_mule(found, shared, number) for number in range(1, len(found.config.mules) + 1)],
        "spoolers": [
            _spooler(found, shared, number) for number in range(1, len(found.config.spooler_directories) + 1)
        ],
        "workers": _workers(shared) if shared is not None else [],
        "farms": {each.name: list(each.mules) for each in found.config.farms},
        "queues": [_queue(each) for each in found.queues],
        "listener": report.read(where),
        "locks": found.config.locks,
        "signals": {"dropped": shared.cells[table.H_DROPPED] if shared is not None else 0},
    }


def _nothing(where: Places, state: str, pid: int) -> dict[str, Any]:
    return {
        "bus": where.bus,
        "master": {"pid": pid},
        "state": state,
        "mules": [],
        "spoolers": [],
        "workers": [],
        "farms": {},
        "queues": [],
        "listener": None,
        "locks": 0,
        "signals": {"dropped": 0},
    }


def _table(where: Places, found: Description) -> Table | None:
    """The bus's table; None while it is being made, or removed."""
    if not found.complete:
        return None
    try:
        return table.open(where.table)
    except posix_ipc.ExistentialError:
        return None
    except AccessError:
        if descriptions.load(where) == found:
            raise
        return None  # that of a bus that has been started since


def _mule(found: Description, shared: Table | None, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "program": str(found.config.mules[number - 1]),
        "farms": [each.name for each in found.config.farms if number in each.mules],
        **_process(shared, shared.mule(number) if shared is not None else 0),
    }


def _spooler(found: Description, shared: Table | None, number: int) -> dict[str, Any]:
    record = shared.spooler(number) if shared is not None else 0
    process = _process(shared, record)
    process["tasks"] = process.pop("messages")
    return {
        "id": number,
        "directory": found.config.spooler_directories[number - 1],
        **process,
        "task": shared.task(number) if shared is not None else "",
    }


def _workers(shared: Table) -> list[dict[str, Any]]:
    found = []
    for number in range(1, table.WORKER_SLOTS + 1):
        record = shared.worker(number)
        if shared.cells[record + table.R_PID]:
            launched = bool(shared.cells[record + table.R_LAUNCHED])
            found.append({"id": number, "launched": launched, **_process(shared, record)})
    return found


def _process(shared: Table | None, record: int) -> dict[str, Any]:
    """What a mule's, spooler's or worker's record says; the same keys without a table."""
    length = table.RECORD // 8
    cells = [0] * length if shared is None else shared.cells[record : record + length].tolist()
    since = cells[table.R_SINCE]
    return {
        "pid": cells[table.R_PID],
        "state": _name(cells[table.R_STATE]),
        "messages": cells[table.R_MESSAGES],
        "signals": cells[table.R_SIGNALS],
        "exceptions": cells[table.R_EXCEPTIONS],
        "respawns": max(cells[table.R_SPAWNS] - 1, 0),
        "uptime": _seconds(time.time_ns() - since) if since else 0.0,
        "doing": _doing(cells),
        "since": _since(cells),
        "last_death": deaths.describe(cells[table.R_DEATH]),
        "last_death_ago": _seconds(time.time_ns() - cells[table.R_DIED]) if cells[table.R_DIED] else None,
    }


def _doing(cells: list[int]) -> str:
    """What the app does in the process now, '' if it runs no function for a signal or message."""
    kind, number = cells[table.R_DOING] >> 8, cells[table.R_DOING] & 0xFF
    return {
        table.DOES_SIGNAL: f"handler of signal {number}",
        table.DOES_MESSAGE: "message hook",
        table.DOES_BODY: "body",
        table.DOES_TASK: "task",
    }.get(kind, "")


def _since(cells: list[int]) -> float:
    """For how long it has been in its state, in seconds."""
    began = cells[table.R_CHANGED]
    return _seconds(time.monotonic_ns() - began) if began and cells[table.R_PID] else 0.0


def _seconds(nanoseconds: int) -> float:
    return round(max(nanoseconds, 0) / 1e9, 1)


def _name(state: int) -> str:
    return table.STATE_NAMES[state] if state < len(table.STATE_NAMES) else "unknown"


def _queue(spec: QueueSpec) -> dict[str, Any]:
    messages = 0
    try:
        queue = posix_ipc.MessageQueue(spec.name, write=False)
    except (posix_ipc.Error, OSError):
        pass  # removed while we look: the bus is stopping
    else:
        messages = queue.current_messages
        queue.close()
    return {"endpoint": spec.endpoint, "messages": messages, "depth": spec.depth, "size": spec.size}
