"""When a process counts as ready, and what a death before that means.

Ready (docs/reference/processes.md): a signal-only mule waits; a programmed one waits, or was entered and has
lived for a moment; a spooler waits; a worker serves. Read off the process's record in the shared table.
"""

from __future__ import annotations

import os
import time

from ipcmules.bus import table
from ipcmules.bus.config import BusConfig
from ipcmules.master.children.children import Child, exit_code, is_signaled
from ipcmules.master.objects.objects import Objects

#: A program that was entered and does not receive is ready after this many nanoseconds.
_SETTLED = 300_000_000


def record_of(objects: Objects, child: Child) -> int:
    """Index of the first cell of its record."""
    return objects.table.record(child.role, child.number)


def before_spawn(objects: Objects, child: Child) -> None:
    """Nobody is this child now: remove what its predecessor said about its start."""
    cells, record = objects.table.cells, record_of(objects, child)
    cells[record + table.R_ENTERED] = 0
    cells[record + table.R_LEAVING] = 0
    take_failure(objects, child)


def after_spawn(objects: Objects, child: Child) -> None:
    """It was forked: the master's own cells of the record."""
    cells, record = objects.table.cells, record_of(objects, child)
    cells[record + table.R_SPAWNS] = child.spawns
    if child.role != "worker":
        cells[record + table.R_SINCE] = time.time_ns()


def is_ready(objects: Objects, child: Child) -> bool:
    """True if it is ready now."""
    cells, record = objects.table.cells, record_of(objects, child)
    if not child.pid or cells[record + table.R_PID] != child.pid:
        return False
    entered = cells[record + table.R_ENTERED]
    if not entered:
        return False
    if cells[record + table.R_STATE] in (table.WAITING, table.BUSY):
        return True
    return time.monotonic_ns() - entered > _SETTLED


def may_respawn(objects: Objects, child: Child, status: int, worked: bool) -> bool:
    """Whether a death before it was seen ready is an ordinary one, which does not fail the start.

    It is if the program was entered and then returned, had a message in hand, or had lived for a moment.
    """
    entered = objects.table.cells[record_of(objects, child) + table.R_ENTERED]
    if not entered:
        return False
    returned = not is_signaled(status) and exit_code(status) == 0
    return returned or worked or time.monotonic_ns() - entered > _SETTLED


def take_failure(objects: Objects, child: Child) -> str:
    """What the process left about its failure, '' if nothing; removed."""
    path = objects.where.failure(child.name)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        os.unlink(path)
    except FileNotFoundError:
        return ""
    return text


def describe(child: Child, config: BusConfig) -> str:
    """The process and what it runs, for an error."""
    if child.role == "mule" and str(config.mules[child.number - 1]):
        return f"{child} ({config.mules[child.number - 1]})"
    return str(child)
