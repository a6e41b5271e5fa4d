"""`ipcmules reload`: have a bus load its code again, and wait for the outcome."""

from __future__ import annotations

import os
import select
import signal
import sys

import click
import posix_ipc

from ipcmules import table
from ipcmules.cli.stop import description_of
from ipcmules.cli.target import bus_option, running
from ipcmules.errors import NotAttached
from ipcmules.places import Places

#: How often the outcome is looked at, seconds.
_LOOK = 0.02


@click.command()
@bus_option
def command(bus: str | None) -> int:
    """Load the code again and replace the mules and workers one after the other; nothing queued is lost.

    Exits with 0 when all run the new code, with 1 and the error where the old code stayed.
    """
    where = running(bus)
    found = description_of(where)
    if found is None:
        raise NotAttached(f"bus {where.bus!r} has just ended: start it again with 'ipcmules run'")
    # A pid file descriptor is one process for ever: a pid that is reused meanwhile gets no signal.
    master = os.pidfd_open(found.master.pid)
    try:
        # A reload that runs already may have read the old code: the one after it is ours.
        try:
            cells = table.open(where.table).cells
        except posix_ipc.ExistentialError as error:
            raise NotAttached(f"bus {where.bus!r} is just starting or stopping: try again") from error
        number = cells[table.H_RELOADS] + 1
        signal.pidfd_send_signal(master, signal.SIGHUP)
        while cells[table.H_RELOADED] < number:
            if select.select([master], [], [], _LOOK)[0]:
                return _failed(f"the master of bus {where.bus!r} has ended")
        return _failed(_reason(where)) if cells[table.H_RELOAD_FAILED] >= number else 0
    finally:
        os.close(master)


def _reason(where: Places) -> str:
    try:
        with open(where.failure("reload"), encoding="utf-8", errors="replace") as file:
            return file.read().rstrip()
    except OSError:
        return "the master did not say why: look into its log"


def _failed(text: str) -> int:
    print(f"ipcmules: error: the reload failed: {text}", file=sys.stderr)
    return 1
