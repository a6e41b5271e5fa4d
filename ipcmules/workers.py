"""Worker numbers: who has which, taken from the lowest free one and given back at death.

Knows the table's worker records and their FIFOs. Numbers are claimed under the registry lock; a record
whose process is dead counts as free.
"""

from __future__ import annotations

import time

from ipcmules import processes, table
from ipcmules.errors import LimitError, UnknownTarget
from ipcmules.membership import Membership
from ipcmules.notify import tell_master
from ipcmules.processes import ProcessId
from ipcmules.signals import fifos, hands, taker
from ipcmules.signals.guard import registry_lock


def is_free(shared: table.Table, number: int) -> bool:
    """True if no living process holds this worker number."""
    record = shared.worker(number)
    pid = shared.cells[record + table.R_PID]
    return not pid or not ProcessId(pid, shared.cells[record + table.R_START]).alive()


def claim(member: Membership, number: int = 0) -> int:
    """Take a worker number for this process: the given one, or the lowest free one. Returns it.

    Raises LimitError if all are taken, UnknownTarget for a number out of range.
    """
    if member.worker and not number:
        return member.worker
    if not 0 <= number <= table.WORKER_SLOTS:
        raise UnknownTarget(f"worker {number} cannot be: workers have numbers 1 to {table.WORKER_SLOTS}")
    shared = member.table
    with registry_lock(member.where):
        wished = (
            [number] if number else range(1 + member.description.config.processes, table.WORKER_SLOTS + 1)
        )
        taken = next((each for each in wished if is_free(shared, each)), 0)
        if not taken:
            raise LimitError(
                f"all {table.WORKER_SLOTS} worker numbers of bus {member.where.bus!r} are taken: "
                "end some of the attached processes"
            )
        _write(member, taken)
    member.worker = taken
    tell_master(member.where.notify)  # it watches the workers that are not its children
    return taken


def _write(member: Membership, number: int) -> None:
    shared, layout = member.table, member.table.layout
    endpoint = layout.worker_endpoint(number)
    table.reserve(member.where.table, layout.counter_offset(endpoint), table.ENDPOINT)
    fifos.create(member.where.fifo(f"worker{number}"))
    if member.role != "worker":
        taker.discard(shared, endpoint)
    me = processes.current()
    cells, record = shared.cells, shared.worker(number)
    cells[record + table.R_SIGNALS] = cells[record + table.R_EXCEPTIONS] = 0
    cells[record + table.R_DEADLINE] = cells[record + table.R_DOING] = 0
    hands.open_record(cells, record)
    cells[record + table.R_SINCE] = time.time_ns()
    cells[record + table.R_CHANGED] = time.monotonic_ns()
    cells[record + table.R_LAUNCHED] = int(member.role == "worker")
    cells[record + table.R_STATE] = table.WAITING
    cells[record + table.R_START] = me.start
    cells[record + table.R_PID] = me.pid
    table.count_workers(shared)


def release(member: Membership) -> None:
    """Give this process's worker number back, if it has one."""
    number, member.worker = member.worker, 0
    if number:
        hands.close_record()
        with registry_lock(member.where):
            table.vacate_worker(member.table, number)
