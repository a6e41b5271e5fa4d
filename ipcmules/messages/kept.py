"""Messages that nobody could take, or that were left when a bus stopped: one file each.

Knows the state directory. The format is in docs/formats-messages.md: a line of JSON, then the message.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass

from ipcmules import log
from ipcmules.places import Places, private_directory

_SUFFIX = ".msg"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Kept:
    """One kept message."""

    path: str
    endpoint: str  #: where it was sent: 'pool', 'mule3', 'farm.mail'
    reason: str
    process: str  #: the process that had it, if one had: 'mule3'
    time: float  #: seconds since the epoch
    data: bytes


def keep(where: Places, data: bytes, endpoint: str, reason: str, process: str = "") -> str:
    """Keep a message in the state directory and log that, with its length. Returns the file's path.

    The file appears whole or not at all. Raises OSError if the state directory cannot take it.
    """
    path = store(where, data, endpoint, reason, process)
    log.event(
        "warning", f"a message of {len(data)} bytes to {endpoint} was not taken: {reason}; kept as {path}"
    )
    return path


def store(where: Places, data: bytes, endpoint: str, reason: str, process: str = "") -> str:
    """As keep(), without the line in the log: for many at once, of which the caller says one word."""
    private_directory(where.state)
    directory = private_directory(where.kept)
    now = time.time_ns()
    name = f"{now:020d}-{os.getpid()}-{next(_numbers):06d}"
    header = {
        "endpoint": endpoint,
        "reason": reason,
        "process": process,
        "time": now / 1e9,
        "length": len(data),
    }
    temporary = os.path.join(directory, f".{name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.write(data)
    except BaseException:
        os.unlink(temporary)
        raise
    path = os.path.join(directory, name + _SUFFIX)
    os.rename(temporary, path)
    return path


def listing(where: Places) -> list[str]:
    """Paths of the bus's kept messages, oldest first."""
    try:
        names = os.listdir(where.kept)
    except FileNotFoundError:
        return []
    return [
        os.path.join(where.kept, name) for name in sorted(names) if name.endswith(_SUFFIX) and name[0] != "."
    ]


def load(path: str) -> Kept:
    """Read a kept message. Raises OSError if it cannot be read, ValueError if it is none."""
    with open(path, "rb") as file:
        header = json.loads(file.readline())
        data = file.read()
    if len(data) != header["length"]:
        raise ValueError(f"{path} has {len(data)} bytes of {header['length']}: it is no whole message")
    return Kept(path, header["endpoint"], header["reason"], header["process"], header["time"], data)
