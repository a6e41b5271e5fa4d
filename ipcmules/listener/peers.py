"""Who may send packets: this machine, and the networks of --socket-allow. Knows addresses only."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


class Peers:
    """The rule for who is let in."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(each, strict=False) for each in networks]

    def allows(self, connection: socket.socket) -> bool:
        """True if the other end may send packets: loopback, an allowed network, or (Unix) this user or
        root."""
        if connection.family == socket.AF_UNIX:
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return _CREDENTIALS.unpack(data)[1] in (0, os.geteuid())
        try:
            address = ipaddress.ip_address(connection.getpeername()[0].partition("%")[0])
        except (OSError, ValueError):
            return False  # it has gone already
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        return address.is_loopback or any(address in each for each in self._networks)
