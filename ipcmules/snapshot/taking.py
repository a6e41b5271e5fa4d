"""Taking a snapshot: which bus it is and how it is, and then its parts, each by a file of this room."""

from __future__ import annotations

import time

import posix_ipc

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, table
from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.counters import counter
from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion
from ipcmules.snapshot import kept, kernel, processes, programs, signals, tasks
from ipcmules.snapshot.values import NO_LETTERS, NO_TASKS, Program
from ipcmules.snapshot.whole import Snapshot

_STATES = {
    table.STARTING: "starting",
    table.READY: "ready",
    table.STOPPING: "stopping",
    table.STOPPED: "stopped",
}
#: Seconds that the master has to tell its events.
PATIENCE = 2.0


def take(where: Places, *, events: bool = False, details: bool = True) -> Snapshot:
    """Take a snapshot of a bus.

    events: ask the master for its timers, crons and monitors, which nobody else knows. details: False leaves
    out what takes a walk through directories: tasks, letters.
    Raises FormatError if another version of ipcmules wrote the bus's description, AccessError if its table is
    not ours, LimitError where the system refuses what is needed to look.
    """
    with exhaustion.explained(f"bus {where.bus!r} cannot be looked at"):
        return _take(where, events, details)


def _take(where: Places, events: bool, details: bool) -> Snapshot:
    alive = liveness.is_alive(where)
    found = descriptions.load(where)
    now = time.time()
    if found is None:
        pid = liveness.holder(where) if alive else 0
        state = "starting" if alive else "absent"
        return Snapshot(where.bus, state, now, where.runtime, master=Program("master", pid))
    shared = _table(where, found)
    master = programs.used("master", found.master.pid if alive else 0)
    if not alive:
        master = Program("master", found.master.pid)
    known = signals.registered(found, shared)
    return Snapshot(
        bus=where.bus,
        state=_state(found, shared, alive),
        time=now,
        directory=where.runtime,
        generation=found.generation,
        master=master,
        reloads=int(shared.cells[table.H_RELOADS]) if shared else 0,
        reload_failed=_has_failed(shared),
        mules=processes.mules(found, shared),
        spoolers=processes.spoolers(found, shared),
        workers=processes.workers(found, shared),
        farms={each.name: each.mules for each in found.config.farms},
        queues=kernel.queues(where, found),
        **programs.beside(where, alive),
        lock_count=found.config.locks,
        locks=kernel.locks(found),
        counters=counter.values(where),
        signals=known,
        dropped=int(shared.cells[table.H_DROPPED]) if shared else 0,
        events=signals.events(where, shared, known, PATIENCE) if events and alive else None,
        tasks=tasks.all_of(where, found, shared) if details else NO_TASKS,
        letters=kept.letters(where) if details else NO_LETTERS,
        caches=kernel.caches(where, found),
        ring=kernel.ring(where, found),
        areas=kernel.areas(found),
    )


def _state(found: Description, shared: Table | None, alive: bool) -> str:
    if not alive:
        return "dead"
    if shared is None or not found.complete:
        return "starting"
    return _STATES.get(shared.cells[table.H_STATE], "starting")


def _has_failed(shared: Table | None) -> bool:
    if shared is None or not shared.cells[table.H_RELOAD_FAILED]:
        return False
    return bool(shared.cells[table.H_RELOAD_FAILED] == shared.cells[table.H_RELOADED])


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
