"""`ipcmules stop`: end a bus gracefully, and wait for its end."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

import click

from ipcmules.bus import description as descriptions
from ipcmules.bus.description import Description
from ipcmules.bus.liveness import is_alive
from ipcmules.bus.places import Places
from ipcmules.cli import progress
from ipcmules.cli.target import bus_option, running
from ipcmules.errors import IpcMulesError, NotAttached
from ipcmules.kernel import kill

#: Beyond the mercy, seconds: for the master to kill what is left and remove its objects.
MARGIN = 15.0
#: How long to wait for the description of a bus that is just starting, seconds.
_PATIENCE = 10.0


@click.command()
@bus_option
def command(bus: str | None) -> int:
    """Stop the bus. Its mules take what is queued first, within the mercy (--mule-reload-mercy).

    Exits with 0 when the bus is gone, with 1 where it does not end in time.
    """
    where = running(bus)
    found = description_of(where)
    if found is None:
        return 0
    # A pid file descriptor is one process for ever: a pid that is reused meanwhile gets no signal.
    try:
        master = kill.open_process(found.master)
    except ProcessLookupError:
        return 0
    try:
        kill.send(found.master, signal.SIGTERM)
        return _wait(where, found, master)
    finally:
        os.close(master)


def description_of(where: Places) -> Description | None:
    """What the living master wrote; None once there is no master any more."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = descriptions.load(where)
        # A bus that takes the place of a dead one may not have replaced its description yet.
        if found is not None and found.master.alive():
            return found
        if not is_alive(where):
            return None
        if time.monotonic() >= deadline:
            raise NotAttached(f"bus {where.bus!r} is held by a master that does not say who it is: try again")
        time.sleep(0.02)


def _wait(where: Places, found: Description, master: int) -> int:
    patience = found.config.mercy + MARGIN
    with progress.shown(f"stopping bus {where.bus}", lambda: _left(where)):
        ended, _, _ = select.select([master], [], [], patience)
    if ended:
        return 0
    print(
        f"ipcmules: error: bus {where.bus!r} did not stop within {patience:g} s: "
        f"'ipcmules stop --bus {where.bus}' again ends it at once",
        file=sys.stderr,
    )
    return 1


def _left(where: Places) -> str:
    """Who still runs, for people."""
    from ipcmules.snapshot import take

    try:
        seen = take(where, details=False)
    except (IpcMulesError, OSError):
        return ""  # it is just being removed
    left = [f"{each.name} ({each.doing or each.state})" for each in seen.processes if each.pid]
    return f"waiting for {', '.join(left)}" if left else ""
