"""Who may send packets: this machine, and the networks of --socket-allow. Knows addresses only."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from ipcmules.kernel.peers import peer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Peers:
    """The rule for who is let in."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(each, strict=False) for each in networks]

    def allows(self, connection: socket.socket) -> bool:
        """True for the loopback, an allowed network, and a Unix socket of this user or root."""
        if connection.family == socket.AF_UNIX:
            return peer(connection).ours
        try:
            address = ipaddress.ip_address(connection.getpeername()[0].partition("%")[0])
        except (OSError, ValueError):
            return False  # it has gone already
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        return address.is_loopback or any(address in each for each in self._networks)
