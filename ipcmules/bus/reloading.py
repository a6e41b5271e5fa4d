"""Asking the master of a running bus to load its code again, and waiting for the outcome.

For `ipcmules reload` and Bus.reload(). Knows the table's counts of reloads and where the master leaves the
reason of a failed one; how the master reloads is its own.
"""

from __future__ import annotations

import os
import select
import signal

from ipcmules.bus import table
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.errors import BusStopped, ReloadError
from ipcmules.kernel import kill, unpatched_polls
from ipcmules.kernel.processes import ProcessId

#: How often the outcome is looked at, seconds.
_LOOK = 0.02


def reload(where: Places, shared: Table, master: ProcessId) -> None:
    """Have the bus reload; returns when all its processes run the new code.

    Raises ReloadError with the reason where the old code stayed, BusStopped if the bus ended meanwhile.
    """
    # A pid file descriptor is one process for ever: a pid that is reused meanwhile gets no signal.
    try:
        descriptor = kill.open_process(master)
    except ProcessLookupError:
        raise _ended(where) from None
    try:
        # A reload that runs already may have read the old code: the one after it is ours.
        cells = shared.cells
        number = cells[table.H_RELOADS] + 1
        ended = unpatched_polls.poll()  # select(2) takes no descriptor above 1023
        ended.register(descriptor, select.POLLIN)
        if not kill.send(master, signal.SIGHUP):
            raise _ended(where)
        while cells[table.H_RELOADED] < number:
            if ended.poll(_LOOK * 1000):
                raise _ended(where)
        if cells[table.H_RELOAD_FAILED] >= number:
            raise ReloadError(f"the reload failed: {_reason(where)}")
    finally:
        os.close(descriptor)


def _ended(where: Places) -> BusStopped:
    return BusStopped(f"the reload failed: the master of bus {where.bus!r} has ended; start the bus again")


def _reason(where: Places) -> str:
    try:
        with open(where.failure("reload"), encoding="utf-8", errors="replace") as file:
            return file.read().rstrip()
    except OSError:
        return "the master did not say why: look into its log"
