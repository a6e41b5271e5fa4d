"""`ipcmules reload`: have a bus load its code again, and wait for the outcome."""

from __future__ import annotations

import click
import posix_ipc

from ipcmules.bus import reloading, table
from ipcmules.cli import progress
from ipcmules.cli.stop import description_of
from ipcmules.cli.target import bus_option, running
from ipcmules.errors import NotAttached


@click.command()
@bus_option
def command(bus: str | None) -> int:
    """Load new code, and replace mules, spoolers and workers one after the other. Nothing queued is lost.

    Then the web server is told to load it; the log says how. Exits with 0 when the mules run the new code,
    with 1 and the error where the old code stayed.
    """
    where = running(bus)
    found = description_of(where)
    if found is None:
        raise NotAttached(f"bus {where.bus!r} has just ended: start it again with 'ipcmules run'")
    try:
        shared = table.open(where.table) if found.complete else None
    except posix_ipc.ExistentialError:
        shared = None
    if shared is None:
        raise NotAttached(f"bus {where.bus!r} is just starting or stopping: try again")
    with progress.shown(f"reloading bus {where.bus}"):
        reloading.reload(where, shared, found.master)
    return 0
