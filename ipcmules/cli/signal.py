"""`ipcmules signal`: raise one signal."""

from __future__ import annotations

import click

from ipcmules.cli.options import named, number
from ipcmules.cli.target import bus_option, running


@click.command()
@bus_option
@click.argument("signum", metavar="N")
def command(bus: str | None, signum: str) -> int:
    """Raise signal N (0 to 255); who handles it is what its registration says."""
    wanted = named("signal", lambda text: number(text, 0, 255), signum)
    where = running(bus)

    from ipcmules.attachment import attach

    with attach(where.bus) as attached:
        attached.signal(wanted)
    return 0
