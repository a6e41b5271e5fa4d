"""Mules, spoolers and workers: their records in the table, and what /proc says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ipcmules.bus import table
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.layout import RECORD, WORKER_SLOTS
from ipcmules.bus.table import Table
from ipcmules.kernel import processes
from ipcmules.kernel.processes import Usage
from ipcmules.master.children import deaths
from ipcmules.messages.send.standstill import in_words
from ipcmules.signals import running
from ipcmules.snapshot.values import Mule, Spooler, Worker
from ipcmules.spooler import pauses

_CELLS = RECORD // 8
_KINDS = {
    table.DOES_SIGNAL: "signal",
    table.DOES_MESSAGE: "message",
    table.DOES_BODY: "body",
    table.DOES_TASK: "task",
}
_WORDS = {"signal": "handler of signal {}", "message": "message hook", "body": "body", "task": "task"}


def mules(found: Description, shared: Table | None) -> tuple[Mule, ...]:
    """All mules of a bus, whether they run or not."""
    config = found.config
    return tuple(
        Mule(
            **_process(found, shared, "mule", number),
            program=str(program),
            farms=tuple(each.name for each in config.farms if number in each.mules),
        )
        for number, program in enumerate(config.mules, 1)
    )


def spoolers(found: Description, shared: Table | None) -> tuple[Spooler, ...]:
    """All spoolers of a bus."""
    config = found.config
    said = {each.directory: paused(each.directory) for each in config.spooled}
    return tuple(
        Spooler(
            **_process(found, shared, "spooler", number),
            directory=config.spooled[home - 1].directory,
            queue=config.spooled[home - 1].name,
            paused=said[config.spooled[home - 1].directory],
            task=shared.task(number) if shared is not None else "",
        )
        for number, home in enumerate(config.spooler_homes, 1)
    )


def workers(found: Description, shared: Table | None) -> tuple[Worker, ...]:
    """The workers that have a number now."""
    if shared is None:
        return ()
    return tuple(
        Worker(
            **_process(found, shared, "worker", number),
            launched=bool(shared.cells[shared.worker(number) + table.R_LAUNCHED]),
        )
        for number in range(1, WORKER_SLOTS + 1)
        if shared.cells[shared.worker(number) + table.R_PID]
    )


def paused(directory: str) -> tuple[str, ...]:
    """What is paused of a spool directory: functions, '*' for everything."""
    found = pauses.read(directory)
    return (*(["*"] if found.everything else []), *sorted(found.functions))


def _process(found: Description, shared: Table | None, role: str, number: int) -> dict[str, Any]:
    """What is the same for all of them; the same without a table."""
    record = shared.record(role, number) if shared is not None else 0
    cells = [0] * _CELLS if shared is None else shared.cells[record : record + _CELLS].tolist()
    pid, wall, clock = cells[table.R_PID], time.time_ns(), time.monotonic_ns()
    kind = _KINDS.get(cells[table.R_DOING] >> 8, "")
    signal = cells[table.R_DOING] & 0xFF if kind == "signal" else None
    used = _usage(pid)
    return {
        "role": role,
        "number": number,
        "pid": pid,
        "state": _name(cells[table.R_STATE]),
        "doing": _doing(cells, kind, signal, found.queues),
        "kind": kind,
        "signal": signal,
        "since": _ago(clock, cells[table.R_CHANGED]) if pid else 0.0,
        "doing_since": _ago(clock, cells[table.R_BEGAN]) if kind else 0.0,
        "uptime": _ago(wall, cells[table.R_SINCE]),
        "messages": cells[table.R_MESSAGES],
        "signals": cells[table.R_SIGNALS],
        "exceptions": cells[table.R_EXCEPTIONS],
        "all_messages": _total(shared, record, table.R_MESSAGES),
        "all_signals": _total(shared, record, table.R_SIGNALS),
        "all_exceptions": _total(shared, record, table.R_EXCEPTIONS),
        "respawns": max(cells[table.R_SPAWNS] - 1, 0),
        "last_death": deaths.describe(cells[table.R_DEATH]),
        "last_death_ago": _ago(wall, cells[table.R_DIED]) if cells[table.R_DIED] else None,
        "memory": used.memory,
        "cpu": used.cpu,
        "harakiri_in": _left(clock, cells[table.R_DEADLINE]),
    }


def _total(shared: Table | None, record: int, cell: int) -> int:
    return running.total(shared.cells, record, cell) if shared is not None else 0


def _usage(pid: int) -> Usage:
    try:
        return processes.usage(pid) if pid else Usage(0, 0.0)
    except OSError:
        return Usage(0, 0.0)  # no descriptor is left: the rest can still be told


def _doing(cells: list[int], kind: str, signal: int | None, queues: Sequence[QueueSpec]) -> str:
    """What the app does in it, and what a send of it waits for."""
    words = _WORDS[kind].format(signal) if kind else ""
    number = cells[table.R_SENDING]
    waits = f"sending to {in_words(queues[number - 1].endpoint)}" if 0 < number <= len(queues) else ""
    return ", ".join(filter(None, (words, waits)))


def _ago(now: int, then: int) -> float:
    """Seconds since a moment in nanoseconds, 0.0 where there was none."""
    return round(max(now - then, 0) / 1e9, 3) if then else 0.0


def _left(now: int, deadline: int) -> float | None:
    return round((deadline - now) / 1e9, 3) if deadline else None


def _name(state: int) -> str:
    return table.STATE_NAMES[state] if state < len(table.STATE_NAMES) else "unknown"
