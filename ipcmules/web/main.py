"""The page's process, from the sockets it inherits to the master's end; and the same for `ipcmules web`."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Sequence

from ipcmules.bus import log
from ipcmules.bus.places import BUS_VARIABLE, Places, places
from ipcmules.kernel import processes, stray
from ipcmules.web import routes, server, tokens
from ipcmules.web.guard import Terms


def main(*given: str) -> None:
    """Serve sockets until SIGTERM, which the master's death sends too.

    given: socket=DESCRIPTOR each, host=NAME each, token-file=PATH, read-only=1.
    """
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    stray.ignore()
    where = places(os.environ[BUS_VARIABLE])
    log.configure()
    log.identify(where.bus, "web")
    processes.set_title(f"ipcmules: {where.bus} web")
    pairs = [each.partition("=")[::2] for each in given]
    sockets = [socket.socket(fileno=int(value)) for key, value in pairs if key == "socket"]
    hosts = tuple(value for key, value in pairs if key == "host")
    path = next((value for key, value in pairs if key == "token-file"), "")
    serve(where, sockets, hosts, path, ("read-only", "1") in pairs)


def serve(
    where: Places, sockets: Sequence[socket.socket], hosts: Sequence[str], token_file: str, read_only: bool
) -> None:
    """Serve a bus's page at listening sockets for ever. Raises ConfigError, AccessError for the token.

    hosts: the names that the page has. token_file: '' for the one in the state directory.
    """
    terms = Terms(
        tokens.token(where, token_file),
        frozenset(each.lower() for each in hosts),
        frozenset(routes.FILES),
        read_only,
    )
    for each in sockets:
        _warn(each)
    page = routes.Page(where, read_only)
    server.serve(routes.guarded(page, terms), sockets, page.sampler.run())


def _warn(listener: socket.socket) -> None:
    """Say where the token would go over a network as it is."""
    if listener.family == socket.AF_UNIX:
        return
    host, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(host).is_loopback:
        log.event(
            "warning",
            f"the page at {host}:{port} is not encrypted, and who listens on the way reads its token: put a "
            "server with TLS in front of it",
        )
