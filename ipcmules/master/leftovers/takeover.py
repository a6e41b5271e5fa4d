"""Taking over what a dead bus of the same name left: its processes, its messages, its kernel objects.

Called with the bus's lock held, so its master is dead for certain. Survivors are known by pid and start time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

import posix_ipc

from ipcmules.bus import log, table
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.places import Places, private_directory
from ipcmules.errors import AccessError
from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.leftovers import saved_messages, saved_signals
from ipcmules.master.objects import inventory, objects

#: When the wait for survivors is mentioned first, how often then, and how often they are looked at, seconds.
_WORD, _AGAIN, _LOOK = 1.0, 5.0, 0.02


def take_over(
    where: Places, mercy: float, pause: Callable[[float], bool], expected: Sequence[str] = ()
) -> None:
    """Clear the way for a new bus. Nothing happens if nothing was left.

    mercy: seconds that survivors have to finish what they hold. pause(seconds) waits, and returns False if
    the start was called off meanwhile: then nothing is removed. expected: the new bus's endpoints, whose
    queues may be in the way even where the dead bus's description is gone.
    Raises AccessError if something under our names is not ours.
    """
    if os.path.lexists(where.runtime):
        private_directory(where.runtime)
    elif all(each == where.lock for each in inventory.of(where, expected)):
        return
    inventory.check_owners(where)
    found = inventory.described(where, expected)
    shared = old_table(where)
    if shared is not None and not _outlive(survivors(shared), mercy, pause):
        return
    if shared is not None:
        # Whoever still maps it sees that this bus is over.
        shared.cells[table.H_STATE] = table.STOPPED
    if shared is not None and found.generation:
        saved_signals.save(where, found, shared)
    saved_messages.save(where, found)
    objects.remove(where, found, shared, follows=True)


def old_table(where: Places) -> table.Table | None:
    """The dead bus's table, None if there is none. Raises AccessError if it is another user's."""
    try:
        return table.open(where.table)
    except posix_ipc.ExistentialError:
        return None
    except AccessError as error:
        segment = posix_ipc.SharedMemory(where.table)
        owner = os.fstat(segment.fd).st_uid
        segment.close_fd()
        if owner != os.geteuid():
            raise
        log.event(
            "warning", f"{error}: it is ours and its master is dead, so it is removed, with the signals in it"
        )
        return None


def survivors(shared: table.Table) -> list[tuple[str, ProcessId]]:
    """Processes the dead master had started that still run: its mules, spoolers and workers."""
    cells, layout = shared.cells, shared.layout
    records = [(f"mule {number}", shared.mule(number)) for number in range(1, layout.mules + 1)]
    records += [(f"spooler {number}", shared.spooler(number)) for number in range(1, layout.spoolers + 1)]
    records += [(f"worker {number}", shared.worker(number)) for number in range(1, WORKER_SLOTS + 1)]
    found = [
        (name, shared.process(record))
        for name, record in records
        if cells[record + table.R_LAUNCHED] and cells[record + table.R_PID]
    ]
    return [(name, process) for name, process in found if process.alive()]


def _outlive(survivors: list[tuple[str, ProcessId]], mercy: float, pause: Callable[[float], bool]) -> bool:
    """Wait for them to finish what they hold, then kill them. Returns False if the start was called off."""
    began = time.monotonic()
    next_word = began + _WORD
    for _name, process in survivors:
        kill.send(process, signal.SIGTERM)
    while survivors and time.monotonic() - began < mercy:
        if not pause(_LOOK):
            return False
        survivors = [(name, process) for name, process in survivors if process.alive()]
        if survivors and time.monotonic() > next_word:
            next_word = time.monotonic() + _AGAIN
            names = _named(survivors)
            log.event("warning", f"waiting up to {mercy:g} s for {names}, left of this bus's dead master")
    groups = [(process, processes.session_of(process.pid)) for _name, process in survivors]
    for name, process in survivors:
        log.event("warning", f"{name} (pid {process.pid}) of the dead master is killed: it did not end")
        kill.send(process, signal.SIGKILL)
    killed = time.monotonic()
    next_word = killed + _WORD
    while survivors := [(name, process) for name, process in survivors if process.alive()]:
        if time.monotonic() > next_word:
            next_word = time.monotonic() + _AGAIN
            seconds = time.monotonic() - killed
            # The kernel kills it when what it waits for has happened, or never.
            log.event("warning", f"killed {seconds:.0f} s ago and not dead yet: {_named(survivors)}")
        if not pause(_LOOK):
            return False
    for process, session in groups:
        kill.send_to_group(process, signal.SIGKILL, session)
    return True


def _named(survivors: list[tuple[str, ProcessId]]) -> str:
    return ", ".join(f"{name} ({processes.describe(process.pid)})" for name, process in survivors[:10])
