"""What is to be seen of the bus under fire from outside: its table, its processes, and whether it is ready.

Pids are held by pidfd and checked against start times, so that nobody else's process is ever hit.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import posix_ipc

from chaos import records
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.errors import AccessError
from ipcmules.kernel.processes import ProcessId, start_time

BUS = "chaos"


def shared_table() -> table.Table | None:
    """The table while there is one."""
    try:
        return table.open(places(BUS).table)
    except (posix_ipc.ExistentialError, AccessError, OSError, ValueError):
        return None


def is_ready(master: int) -> bool:
    """True if the bus is, with this master."""
    shared = shared_table()
    return (
        shared is not None
        and shared.cells[table.H_STATE] == table.READY
        and shared.cells[table.H_MASTER_PID] == master
    )


def mules() -> list[tuple[int, ProcessId]]:
    """The mules that run, by number."""
    shared = shared_table()
    if shared is None:
        return []
    places_ = [(number, shared.mule(number)) for number in range(1, records.MULES + 1)]
    cells = shared.cells
    found = [
        (number, ProcessId(cells[at + table.R_PID], cells[at + table.R_START])) for number, at in places_
    ]
    return [(number, process) for number, process in found if process.alive()]


def template(master: int) -> ProcessId | None:
    """The template of a master."""
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    except OSError:
        return None
    for each in map(int, children):
        try:
            command = Path(f"/proc/{each}/cmdline").read_bytes()
        except OSError:
            continue
        if b"template" in command:
            return ProcessId(each, start_time(each))
    return None


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    """A child of this program's, by pid and start time."""
    return ProcessId(process.pid, start_time(process.pid))


def send(process: ProcessId, signum: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not process.alive():
            return False
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True
