"""Who is at the other end of a Unix socket, and names of sockets that fit into an address.

Knows unix(7) and nothing of a bus.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from ipcmules.kernel.interruption import noted

#: Bytes of an address, with the zero at its end.
_LONGEST = 108

_CREDENTIALS = struct.Struct("iII")  # struct ucred


class Peer(NamedTuple):
    """The process at the other end, as it was when it connected."""

    pid: int
    uid: int
    gid: int

    @property
    def ours(self) -> bool:
        """True if it is this user's process, or root's."""
        return self.uid in (0, os.geteuid())


def peer(connection: socket.socket) -> Peer:
    """The kernel's word on who connected (SO_PEERCRED). Raises OSError if the connection has gone."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(data))


class short_path:  # noqa: N801 # used as a function
    """A name for a path that fits into an address: sun_path is 108 bytes (unix(7)).

    The path itself if that fits; else one through the descriptor of its directory, which must be open while
    the name is used: a context manager.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._opened: list[int] = []

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < _LONGEST:
            return self._path
        directory, name = os.path.split(self._path)
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return f"/proc/self/fd/{noted(self._opened, os.open, directory, flags)}/{name}"

    def __exit__(self, *_exception: object) -> None:
        for each in self._opened:
            os.close(each)
