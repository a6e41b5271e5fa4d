"""Worker numbers: who has which, taken from the lowest free one and given back at death.

Knows the table's worker records and their FIFOs. Numbers are claimed under the registry lock; a record
whose process is dead counts as free.
"""

from __future__ import annotations

import os
import time

import posix_ipc

from ipcmules.bus import table
from ipcmules.bus.layout import ENDPOINT, SIGNALS, WORKER_SLOTS
from ipcmules.errors import BusStopped, LimitError, UnknownTarget
from ipcmules.kernel import processes
from ipcmules.kernel.notify import tell_master
from ipcmules.kernel.processes import NOBODY, ProcessId
from ipcmules.member.membership import Membership, registry
from ipcmules.signals import fifos, handles, running, taker
from ipcmules.signals.registry_lock import registry_lock
from ipcmules.signals.threads import threads


def is_free(shared: table.Table, number: int) -> bool:
    """True if no living process holds this worker number."""
    return not shared.lives(shared.worker(number))


def _is_ours(shared: table.Table, number: int, me: ProcessId) -> bool:
    record = shared.worker(number)
    return (shared.cells[record + table.R_PID], shared.cells[record + table.R_START]) == (me.pid, me.start)


def claim(member: Membership, number: int = 0, siblings: int = 0, parent: ProcessId = NOBODY) -> int:
    """Take a worker number for this process: the given one, or the lowest free one. Returns it.

    siblings: of a web server's worker, how many the server has. Where so many children of its parent have
    numbers already the server replaces one of them, in the order in which they began: this process takes over
    the number of the oldest, which serves requests to its end and signals no more.
    parent: of a web server's worker, who starts another when this one has ended. While that lives the number,
    and what is raised for it, is kept for the other; and this process follows one that has ended so.
    Raises LimitError if all are taken, or shared memory or the runtime directory has no room for it;
    UnknownTarget for a number out of range.
    """
    if member.worker and not number:
        return member.worker
    if not 0 <= number <= WORKER_SLOTS:
        raise UnknownTarget(f"worker {number} cannot be: workers have numbers 1 to {WORKER_SLOTS}")
    shared = member.table
    with threads(), registry_lock(member.where):
        wished = [number] if number else range(1 + member.description.config.processes, WORKER_SLOTS + 1)
        # One that this process has already: the call that claimed it was interrupted.
        me = processes.current()
        taken = next((each for each in wished if _is_ours(shared, each, me)), 0)
        taken = taken or _predecessor(member, siblings)
        free = [] if taken else [each for each in wished if is_free(shared, each)]
        heir = next((each for each in free if _is_heir(member, each, parent)), 0)
        taken = taken or heir or next((each for each in free if not shared.awaited(shared.worker(each))), 0)
        taken = taken or next(iter(free), 0)
        if not taken:
            raise LimitError(
                f"all {WORKER_SLOTS} worker numbers of bus {member.where.bus!r} are taken: "
                "end some of the attached processes"
            )
        _write(member, taken, follows=taken == heir or not is_free(shared, taken))
        shared.set_parent(shared.worker(taken), parent)
    member.worker = taken
    tell_master(member.where.notify)  # it watches the workers that are not its children
    member.raiser.release_held(registry.handled())
    return taken


def _predecessor(member: Membership, siblings: int) -> int:
    """The number of the sibling that this process takes the place of, 0 if of none."""
    if not siblings:
        return 0
    parent, cells = os.getppid(), member.table.cells
    held = []
    for number in range(1 + member.description.config.processes, WORKER_SLOTS + 1):
        record = member.table.worker(number)
        process = member.table.process(record)
        if process.pid and processes.parent_of(process.pid) == parent and process.alive():
            held.append((process.start, int(cells[record + table.R_SINCE]), number))
    return min(held)[2] if len(held) >= siblings else 0


def _is_heir(member: Membership, number: int, parent: ProcessId) -> bool:
    """True if a free number waits for a web server's worker that parent has started, or the master, anew."""
    shared = member.table
    record = shared.worker(number)
    known = shared.parent(record)
    return bool(parent.pid) and known in (parent, member.description.master) and shared.awaited(record)


def tell_handlers(member: Membership, everything: bool = False) -> None:
    """Say in this worker's record which signals it has handlers for; everything: it takes any number.

    Who raises for the first available worker, or for all, looks at it.
    """
    if not member.worker:
        return
    with threads(), registry_lock(member.where):
        _tell_handlers(member, member.worker, everything)
    member.raiser.release_held(registry.handled())


def _tell_handlers(member: Membership, number: int, everything: bool) -> None:
    if not _is_ours(member.table, number, processes.current()):
        return
    shared = member.table
    if handles.tell(shared, number, range(SIGNALS) if everything else registry.handled()):
        shared.cells[table.H_WORKERS_VERSION] += 1


def _write(member: Membership, number: int, follows: bool) -> None:
    """Take the record over. follows: from a sibling, whose signals are this process's now."""
    shared, layout = member.table, member.table.layout
    endpoint = layout.worker_endpoint(number)
    try:
        table.reserve(member.where.table, layout.counter_offset(endpoint), ENDPOINT)
        fifos.create(member.where.fifo(f"worker{number}"))
    except (posix_ipc.ExistentialError, FileNotFoundError, NotADirectoryError) as error:
        raise BusStopped(f"bus {member.where.bus!r} has stopped: no worker number can be taken") from error
    if member.role != "worker" and not follows:
        taker.discard(shared, endpoint)
    me = processes.current()
    cells, record = shared.cells, shared.worker(number)
    cells[record + table.R_DEADLINE] = cells[record + table.R_DOING] = 0
    cells[record + table.R_SENDING] = 0
    running.open_record(cells, record)
    cells[record + table.R_SINCE] = time.time_ns()
    cells[record + table.R_CHANGED] = time.monotonic_ns()
    cells[record + table.R_LAUNCHED] = int(member.role == "worker")
    cells[record + table.R_STATE] = table.WAITING
    cells[record + table.R_START] = me.start
    cells[record + table.R_PID] = me.pid
    handles.tell(shared, number, registry.handled())
    table.count_workers(shared)


def release(member: Membership) -> None:
    """Give this process's worker number back, if it has one."""
    number, member.worker = member.worker, 0
    if number:
        running.close_record()
        with threads(), registry_lock(member.where):
            if _is_ours(member.table, number, processes.current()):
                table.vacate_worker(member.table, number)
