"""What runs beside the mules, for `ipcmules status`: a file in the bus's directory, written by the master.

Knows places.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ipcmules.bus.places import Places
from ipcmules.kernel import files


class Row(NamedTuple):
    """A program: its argv, and its pid (0 while it does not run)."""

    arguments: tuple[str, ...]
    pid: int


def write(where: Places, command: Row | None, daemons: Iterable[Row]) -> None:
    """Say what runs. A disk that is full changes nothing but what `status` shows."""
    said = {
        "command": command._asdict() if command is not None else None,
        "daemons": [each._asdict() for each in daemons],
    }
    try:
        files.replace(_path(where), json.dumps(said).encode())
    except OSError:
        pass


def read(where: Places) -> dict[str, Any]:
    """{"command": {"arguments", "pid"} or None, "daemons": a list of the like}."""
    try:
        with open(_path(where), encoding="utf-8") as file:
            said = json.load(file)
        return {"command": said["command"], "daemons": list(said["daemons"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {"command": None, "daemons": []}


def _path(where: Places) -> str:
    return os.path.join(where.runtime, "programs.json")
