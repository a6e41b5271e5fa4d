"""The listener's life: from the sockets it inherits to the master's end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

from ipcmules.bus import listening, log
from ipcmules.bus.places import BUS_VARIABLE, places
from ipcmules.kernel import processes, stray
from ipcmules.listener.connections import Connections
from ipcmules.listener.peers import Peers
from ipcmules.listener.requests import Requests
from ipcmules.member import membership
from ipcmules.wire import signatures


def main(*descriptors: str) -> None:
    """Serve the sockets behind these descriptors until SIGTERM, which the master's death sends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stray.ignore()
    where = places(os.environ[BUS_VARIABLE])
    log.configure()
    log.identify(where.bus, "listener")
    processes.set_title(f"ipcmules: {where.bus} listener")
    config = membership.join(where, "attached").description.config
    key = signatures.read_key(config.socket_key_file) if config.socket_key_file else b""
    listeners = [socket.socket(fileno=each) for each in map(int, descriptors)]
    listening.write(where, listening.names(config.sockets, listeners))
    asyncio.run(_serve(listeners, Requests(key), Peers(config.socket_allow)))


async def _serve(listeners: list[socket.socket], requests: Requests, peers: Peers) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    await Connections(requests, peers).run(listeners)
