"""The outbox: a spool directory of what is to leave this host, whoever is killed meanwhile.

A file is a message to be published, or word of a delivery that is done or handed back. The carrier takes the
files in the order of their names and removes each when the cluster has acknowledged it. Specified in
docs/formats-cluster.md. Knows places and files; opens no connection.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass

from ipcmules.bus.places import Places, private_directory, private_state
from ipcmules.cluster.letters import Letter
from ipcmules.errors import LimitError
from ipcmules.kernel import exhaustion, files

#: Kinds of files.
MESSAGE, SIGNAL, DONE, BACK = "message", "signal", "done", "back"
_SUFFIX = ".out"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Item:
    """One file. name: of a message or signal, which is its name in the cluster as well.

    signal, target, handler: the number, where it goes, and the handler's name. tick: other hosts raise it
    too, under the same name.
    """

    path: str
    kind: str
    farm: str = ""
    name: str = ""
    token: str = ""
    generation: int = 0
    signal: int = 0
    target: str = ""
    handler: str = ""
    tick: bool = False
    body: bytes = b""

    @property
    def age(self) -> float:
        """Seconds since it was written."""
        return time.time() - int(os.path.basename(self.path).partition("-")[0]) / 1e9


def directory(where: Places) -> str:
    """Where the files are: it outlives the bus."""
    return os.path.join(where.state, f"outbox-{where.digest}")


def name() -> str:
    """A name for a message that no other has on any host: the cluster drops a second one of the same name."""
    return os.urandom(12).hex()


def endpoint(farm: str) -> str:
    """What a message to a farm of the cluster, or to an address, is said to go to."""
    return farm if "@" in farm else f"farm.{farm}"


def put(where: Places, farm: str, body: bytes, called: str) -> None:
    """Store a message to a farm on this disk, synced. called: its name. Raises LimitError where there is no
    room.
    """
    try:
        _write(where, {"kind": MESSAGE, "farm": farm, "name": called}, body, sync=True)
    except OSError as error:
        raise LimitError(
            f"a message of {len(body)} bytes to farm {farm!r} cannot be stored in {directory(where)}: "
            f"{error.strerror or error}; {exhaustion.remedy(error, 'make room there')}"
        ) from error


def put_signal(where: Places, number: int, target: str, handler: str, tick: str = "") -> None:
    """Store a raise of a signal that goes to the cluster. Raises LimitError where there is no room.

    tick: its name, where it is the tick of an event that other hosts have as well.
    """
    head = {"kind": SIGNAL, "signal": number, "target": target, "handler": handler}
    head |= {"name": tick or name(), "tick": bool(tick)}
    try:
        _write(where, head, b"")
    except OSError as error:
        raise LimitError(
            f"signal {number} to {target!r} cannot be stored in {directory(where)}: "
            f"{error.strerror or error}; {exhaustion.remedy(error, 'make room there')}"
        ) from error


def done(where: Places, token: str) -> None:
    """Say that a delivery is done. Raises OSError."""
    _write(where, {"kind": DONE, "token": token}, b"")


def hand_back(where: Places, letter: Letter) -> str:
    """Say that nobody here has handled a letter: it goes back. The file's path. Raises OSError."""
    return _write(where, {"kind": BACK, "token": letter.token, "generation": letter.generation}, b"")


def _write(where: Places, head: dict[str, object], body: bytes, sync: bool = False) -> str:
    private_state(where)
    home = private_directory(directory(where))
    called = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers):06d}"
    path = os.path.join(home, called + _SUFFIX)
    files.replace(path, json.dumps(head).encode() + b"\n", body, temporary=os.path.join(home, f".{called}"))
    if sync:
        _sync(path)
        _sync(home)
    return path


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def listing(where: Places) -> list[str]:
    """Paths of the files, oldest first; and what writers left half made when they were killed is removed."""
    home = directory(where)
    try:
        names = os.listdir(home)
    except OSError:
        return []
    for each in names:
        parts = each.split("-")
        if each[0] == "." and len(parts) == 3 and not os.path.exists(f"/proc/{parts[1]}"):
            files.remove(os.path.join(home, each))
    return [os.path.join(home, each) for each in sorted(names) if each.endswith(_SUFFIX) and each[0] != "."]


def load(path: str) -> Item:
    """Read a file. Raises OSError, ValueError if it is none of ours."""
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        body = file.read()
    if not isinstance(head, dict) or head.get("kind") not in (MESSAGE, SIGNAL, DONE, BACK):
        raise ValueError(f"{path} is no file of an outbox")
    return Item(
        path=path,
        kind=str(head["kind"]),
        farm=str(head.get("farm", "")),
        name=str(head.get("name", "")),
        token=str(head.get("token", "")),
        generation=int(head.get("generation", 0)),
        signal=int(head.get("signal", 0)),
        target=str(head.get("target", "")),
        handler=str(head.get("handler", "")),
        tick=bool(head.get("tick", False)),
        body=body,
    )
