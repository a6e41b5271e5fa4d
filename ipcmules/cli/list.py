"""`ipcmules list`: the buses that this user can see."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ipcmules.cli import found
from ipcmules.kernel.ownership import user_name
from ipcmules.kernel.printable import for_people


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List buses: state, pid of the master, user, runtime directory.

    Those in this process's runtime directory, and in the usual ones of this user; as root also in the usual
    ones of others (/run/user/*/ipcmules, /tmp/ipcmules-*). A bus in a directory of another name is found by
    IPCMULES_RUNTIME_DIR.
    """
    buses = list(found.everywhere())
    if as_json:
        click.echo(json.dumps([{**asdict(each), "user": user_name(each.uid)} for each in buses], indent=2))
        return
    if not buses:
        click.echo("no buses")
        return
    rows = [("bus", "state", "pid", "user", "directory")]
    rows += [
        (each.bus, each.state, str(each.pid or "-"), user_name(each.uid), for_people(each.directory))
        for each in buses
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row[:4], widths, strict=True)]
        click.echo("  ".join([*cells, row[4]]))
