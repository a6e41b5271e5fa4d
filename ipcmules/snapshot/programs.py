"""What runs beside the mules: the listener, the command with its web servers, daemons."""

from __future__ import annotations

from typing import Any

from ipcmules.bus import listening, programs, webservers
from ipcmules.bus.places import Places
from ipcmules.kernel import processes
from ipcmules.snapshot.values import Program


def beside(where: Places, alive: bool) -> dict[str, Any]:
    """The fields of a snapshot that tell of them."""
    said = listening.read(where)
    found: dict[str, Any] = {}
    if said is not None:
        found.update(listener=used("listener", said["pid"]), addresses=tuple(said["addresses"]))
    if not alive:
        return found
    told = programs.read(where)
    found["daemons"] = tuple(_program("daemon", each) for each in told["daemons"])
    if told["command"] is not None:
        found["command"] = _program("command", told["command"])
        servers = webservers.found(where)
        found["servers"] = tuple(used(each.kind, each.process.pid) for each in servers)
    return found


def used(name: str, pid: int, arguments: tuple[str, ...] = ()) -> Program:
    """A program with what its process uses."""
    try:
        usage = processes.usage(pid) if pid else processes.Usage(0, 0.0)
    except OSError:
        usage = processes.Usage(0, 0.0)
    return Program(name, pid, usage.memory, usage.cpu, arguments)


def _program(name: str, said: dict[str, Any]) -> Program:
    return used(name, int(said["pid"]), tuple(said["arguments"]))
