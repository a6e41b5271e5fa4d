"""Which web servers run below a bus, and how each loads its code again: files in the bus's directory.

The parent process of a server that is known writes it (api/webworkers.py); the master reads it for a reload,
and `status` shows it. Knows places and processes.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ipcmules.bus.places import Places
from ipcmules.kernel import files, processes
from ipcmules.kernel.processes import ProcessId

_PREFIX = "webserver."


class WebServer(NamedTuple):
    """One server: its parent process, its name, and how it is reloaded: 'HUP' or 'restart'."""

    process: ProcessId
    kind: str
    reload: str


def report(where: Places, kind: str, reload: str) -> None:
    """Say that this process is a web server's parent. Raises OSError."""
    said = {"process": processes.current()._asdict(), "kind": kind, "reload": reload}
    files.replace(os.path.join(where.runtime, f"{_PREFIX}{os.getpid()}"), json.dumps(said).encode())


def found(where: Places) -> list[WebServer]:
    """The servers that live, those that began first in front. What dead ones left is removed."""
    servers = []
    for name in os.listdir(where.runtime):
        if not name.startswith(_PREFIX) or name.endswith(".new"):
            continue
        path = os.path.join(where.runtime, name)
        try:
            with open(path, encoding="utf-8") as file:
                said = json.load(file)
            server = WebServer(ProcessId(**said["process"]), str(said["kind"]), str(said["reload"]))
        except (OSError, ValueError, TypeError, KeyError):
            continue  # it is just being removed
        if server.process.alive():
            servers.append(server)
        else:
            _remove(path)
    return sorted(servers, key=lambda each: each.process.start)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
