"""What the listener says of itself, for `ipcmules status`: a file in the bus's directory, replaced by rename.

Knows places and processes. Who reads it gets None where the process that wrote it is gone.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from ipcmules.bus.places import Places
from ipcmules.kernel import files, processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.wire import packets


def write(where: Places, addresses: Iterable[str]) -> None:
    """Say that this process listens at these addresses."""
    said = {"process": processes.current()._asdict(), "addresses": list(addresses)}
    files.replace(where.listener, json.dumps(said).encode())


def read(where: Places) -> dict[str, Any] | None:
    """The listener's pid and addresses, as {"pid", "addresses"}; None if there is none."""
    try:
        with open(where.listener, encoding="utf-8") as file:
            said = json.load(file)
        process = ProcessId(**said["process"])
        addresses = [str(each) for each in said["addresses"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return {"pid": process.pid, "addresses": addresses} if process.alive() else None


def names(given: Sequence[str], listeners: Sequence[socket.socket]) -> list[str]:
    """The addresses of sockets as others reach them: with the port that the kernel chose for port 0."""
    return [_name(text, each) for text, each in zip(given, listeners, strict=True)]


def _name(given: str, listener: socket.socket) -> str:
    if packets.is_path(given):
        return given
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
