"""Dead letters and messages that wait to be queued again: one file a message, in the state directory.

A *dead letter* stays until somebody requeues or drops it. A message with `again` set was left by the bus
itself (at a stop, or of a mule that died): the master queues it again. The format is in
docs/formats-messages.md: a line of JSON, then the message.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from dataclasses import dataclass

from ipcmules import log
from ipcmules.errors import AccessError
from ipcmules.places import Places, private_directory, private_state

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
    data: bytes  #: empty from header()
    length: int = 0
    attempts: int = 0  #: how many processes have failed with it in hand
    priority: int = 0
    again: bool = False  #: the master queues it again by itself

    @property
    def id(self) -> str:
        """The name under which commands know it."""
        return os.path.basename(self.path)[: -len(_SUFFIX)]


def keep(
    where: Places, data: bytes, endpoint: str, reason: str, process: str = "", *, attempts: int = 0
) -> str:
    """Make a message a dead letter and log that, with its length. Returns the file's path.

    The file appears whole or not at all. Raises OSError if the state directory cannot take it.
    """
    path = store(where, data, endpoint, reason, process, attempts=attempts)
    log.event(
        "warning", f"a message of {len(data)} bytes to {endpoint} was not taken: {reason}; kept as {path}"
    )
    return path


def store(
    where: Places,
    data: bytes,
    endpoint: str,
    reason: str,
    process: str = "",
    *,
    attempts: int = 0,
    priority: int = 0,
    again: bool = False,
    place: int | None = None,
) -> str:
    """As keep(), without the line in the log: for many at once, of which the caller says one word.

    place: what its name sorts by, nanoseconds since the epoch; the time now by default.
    """
    private_state(where)
    directory = private_directory(where.kept)
    now = time.time_ns()
    name = f"{now if place is None else place:020d}-{os.getpid()}-{next(_numbers):06d}"
    header = {
        "endpoint": endpoint,
        "reason": reason,
        "process": process,
        "time": now / 1e9,
        "length": len(data),
        "attempts": attempts,
        "priority": priority,
        "again": again,
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


def sweep(where: Places) -> None:
    """Remove what processes were writing when they were killed: messages that store() never returned for."""
    try:
        names = os.listdir(where.kept)
    except (FileNotFoundError, PermissionError):
        return
    for name in names:
        parts = name.split("-")
        if name[0] == "." and len(parts) == 3 and not os.path.exists(f"/proc/{parts[1]}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(where.kept, name))


def place_of(path: str) -> int:
    """What a kept message's name sorts by (see store())."""
    return int(os.path.basename(path).partition("-")[0])


def listing(where: Places) -> list[str]:
    """Paths of the bus's kept messages, oldest first. Raises AccessError if they are another user's."""
    try:
        names = os.listdir(where.kept)
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise AccessError(
            f"{where.kept} belongs to another user: set IPCMULES_STATE_DIR to a directory of your own"
        ) from error
    return [
        os.path.join(where.kept, name) for name in sorted(names) if name.endswith(_SUFFIX) and name[0] != "."
    ]


def load(path: str) -> Kept:
    """Read a kept message. Raises OSError if it cannot be read, ValueError if it is none."""
    return _read(path, content=True)


def header(path: str) -> Kept:
    """As load(), without reading the message: `data` is empty."""
    return _read(path, content=False)


def _read(path: str, content: bool) -> Kept:
    with open(path, "rb") as file:
        line = file.readline()
        values = json.loads(line)
        if not isinstance(values, dict) or not values.keys() >= {"endpoint", "reason", "time", "length"}:
            raise ValueError(f"{path} does not begin with a kept message's header")
        length = os.fstat(file.fileno()).st_size - len(line)
        if length != values["length"]:
            raise ValueError(f"{path} has {length} bytes of {values['length']}: it is no whole message")
        data = file.read() if content else b""
    return Kept(
        path=path,
        endpoint=str(values["endpoint"]),
        reason=str(values["reason"]),
        process=str(values.get("process", "")),
        time=float(values["time"]),
        data=data,
        length=length,
        attempts=int(values.get("attempts", 0)),
        priority=int(values.get("priority", 0)),
        again=bool(values.get("again", False)),
    )
