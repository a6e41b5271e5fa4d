"""`ipcmules web`: the page of a bus, served by this process until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys

import click

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.cli.assembly import check_web
from ipcmules.cli.target import bus_option, bus_places
from ipcmules.wire import packets

#: Exit code for Ctrl-C, as of the other commands.
INTERRUPTED = 130
_USUAL = "127.0.0.1:8791"


@click.command()
@bus_option
@click.option(
    "--address",
    "addresses",
    metavar="ADDRESS",
    multiple=True,
    default=(_USUAL,),
    show_default=True,
    help="Serve it at HOST:PORT, or at the path of a Unix socket (repeatable).",
)
@click.option("--read-only", is_flag=True, help="Show, and change nothing.")
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="A host name that it is called by.")
@click.option("--token-file", metavar="FILE", default="", help="Ask for the token in FILE.")
@click.option("--token", "only_token", is_flag=True, help="Print the token of the bus's page, and end.")
def command(
    bus: str | None,
    addresses: tuple[str, ...],
    read_only: bool,
    hosts: tuple[str, ...],
    token_file: str,
    only_token: bool,
) -> None:
    """Serve a page for browsers that shows a bus and what can be done about it.

    The link that is printed has the token, without which nobody sees or does anything. The bus need not be
    running. `ipcmules run --web ADDRESS` serves the same page beside the bus.
    """
    from ipcmules.web import tokens

    where = bus_places(bus)
    token = tokens.token(where, os.path.abspath(token_file) if token_file else "")
    if only_token:
        click.echo(token)
        return
    check_web("ipcmules web")
    for each in addresses:
        if not packets.is_path(each):
            packets.split_address(each)
    _serve(where, addresses, hosts, token_file, token, read_only)


def _serve(
    where: Places,
    addresses: tuple[str, ...],
    hosts: tuple[str, ...],
    token_file: str,
    token: str,
    read_only: bool,
) -> None:
    from ipcmules.master.programs.sockets import Sockets
    from ipcmules.web import main

    log.identify(where.bus, "web")
    sockets = Sockets("address", addresses, os.getcwd(), say=False)

    def end(code: int) -> None:
        # At once: a request that is answered just now, or an action, must not hold it up.
        sockets.close()
        os._exit(code)

    signal.signal(signal.SIGTERM, lambda *_: end(0))
    signal.signal(signal.SIGINT, lambda *_: end(INTERRUPTED))
    try:
        listeners = [socket.socket(fileno=os.dup(each)) for each in sockets.descriptors]
        for each in listeners:
            click.echo(f"bus {where.bus}: {_link(each, token)}")
        sys.stdout.flush()
        main.serve(where, listeners, hosts, token_file, read_only)
    finally:
        sockets.close()


def _link(listener: socket.socket, token: str) -> str:
    if listener.family == socket.AF_UNIX:
        name = listener.getsockname()
        shown = f"@{name[1:].decode(errors='replace')}" if isinstance(name, bytes) else name
        return f"serving at {shown}, the token is {token}"
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/#token={token}"
