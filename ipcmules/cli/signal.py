"""`ipcmules signal`: raise one signal."""

from __future__ import annotations

import click

from ipcmules.cli import completing
from ipcmules.cli.options import named, number
from ipcmules.cli.target import bus_option, running


@click.command()
@bus_option
@click.argument("signum", metavar="N", shell_complete=completing.signals)
@click.option("--to", "address", metavar="ADDRESS", help="Raise it at another server: HOST:PORT or a socket.")
def command(bus: str | None, signum: str, address: str | None) -> int:
    """Raise signal N (0 to 255). Whoever registered it handles it."""
    wanted = named("signal", lambda text: number(text, 0, 255), signum)
    if address is not None:
        from ipcmules.wire import packets

        packets.send_signal(wanted, address)
        return 0
    where = running(bus)

    from ipcmules.embed.attachment import attach

    with attach(where.bus) as attached:
        attached.signal(wanted)
    return 0
