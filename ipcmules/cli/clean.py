"""`ipcmules clean`: remove what belongs to no living bus of this user."""

from __future__ import annotations

import os
import sys

import click

from ipcmules.bus.places import private_directory, runtime_root
from ipcmules.errors import IpcMulesError
from ipcmules.master.leftovers import dead_buses as sweep
from ipcmules.master.objects import inventory


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def command(dry_run: bool) -> int:
    """Remove what dead buses left: queues, shared memory, semaphores, files and lock files.

    Messages and signals of a named bus are saved for its next start first; dead letters stay. Living buses,
    other users' and those of other runtime directories are not touched. Exits with 1 if something could
    not be removed.
    """
    if os.path.lexists(runtime_root()):
        private_directory(runtime_root())
    failed = False
    buses = sweep.dead_buses()
    for where in buses:
        try:
            found = inventory.of(where) if dry_run else sweep.bus(where)
        except (IpcMulesError, OSError) as error:
            print(f"ipcmules: error: {error}", file=sys.stderr)
            failed = True
            continue
        for each in found:
            click.echo(f"{'would remove' if dry_run else 'removed'} {each} (bus {where.bus})")
    if not buses:
        click.echo("nothing to clean")
    return 1 if failed else 0
