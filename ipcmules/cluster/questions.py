"""Questions to the carrier and its answers, at a Unix socket in the bus's directory: the bytes of them.

    32-bit little-endian length of the head, 32-bit length of the body, the head (JSON), the body

Knows bytes and sockets.
"""

from __future__ import annotations

import json
import os
import socket
from struct import Struct
from typing import Any

from ipcmules.bus.places import Places

LENGTHS = Struct("<II")
#: What a head may have at most: something else speaks to us.
LONGEST_HEAD = 1 << 20


def socket_path(where: Places) -> str:
    """Where the carrier listens."""
    return os.path.join(where.runtime, "carrier.sock")


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """A question or an answer."""
    text = json.dumps(head).encode()
    return b"".join((LENGTHS.pack(len(text), len(body)), text, body))


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Read one of them. Raises OSError where the other end has gone, or the socket's time is over."""
    head, body = LENGTHS.unpack(_exactly(connection, LENGTHS.size))
    return load(_exactly(connection, head)), _exactly(connection, body)


def load(head: bytes) -> dict[str, Any]:
    """The head of a question or an answer."""
    found: dict[str, Any] = json.loads(head)
    return found


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionResetError("the carrier has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
