"""Telling a process to end so that another one takes its place: for a reload, and for who asks for one alone.

It finishes what it holds and leaves the rest to its successor. Knows children and the control socket; who
forks the successor is the supervisor's.
"""

from __future__ import annotations

import signal
from typing import Any

from ipcmules.bus import log, table
from ipcmules.errors import UnknownTarget
from ipcmules.kernel import kill
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.children import deaths, readiness, task_in_hand
from ipcmules.master.children.children import Child, Children
from ipcmules.master.loop.control_socket import Control
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects.objects import Objects


def tell(loop: Loop, objects: Objects, child: Child, sentence: int) -> None:
    """Have a process end, a mule by SIGHUP, as uWSGI tells it; it is killed when the mercy is over.

    sentence: why, of deaths.py. Nothing is done where it is to end already.
    """
    if child.sentence:
        return
    child.sentence, pid = sentence, child.pid
    if child.role != "worker":
        # First the cell: the mule looks at it in its handler of the signal.
        objects.table.cells[readiness.record_of(objects, child) + table.R_LEAVING] = table.LEAVES_FOR_RELOAD
    if child.role == "spooler":
        task_in_hand.tell(objects, child)
    kill.send_to_child(pid, signal.SIGHUP if child.role == "mule" else signal.SIGTERM)
    mercy = objects.description.config.mercy

    def end() -> None:
        if child.pid == pid and child.sentence == sentence:
            log.event("warning", f"{child} (pid {pid}) is killed: {mercy:g} s of mercy are over")
            child.sentence = deaths.MERCY
            kill.send_to_child(pid, signal.SIGKILL)

    loop.later(mercy, end)


class Restarts:
    """Answers who asks for one process to be replaced."""

    def __init__(self, loop: Loop, objects: Objects, children: Children, control: Control) -> None:
        self._loop = loop
        self._objects = objects
        self._children = children
        control.on("restart", self._restart)

    def _restart(self, question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        """The pid says which process is meant: asked twice, its successor stays."""
        name, pid = question["process"], question["pid"]
        child = next((each for each in self._children if each.name == name), None)
        if child is None:
            raise UnknownTarget(f"{name!r} is no process that this master starts: give mule1, spooler1, ...")
        if not child.pid or child.pid != pid:
            return {"told": False}
        running = self._objects.table.cells[table.H_STATE] in (table.STARTING, table.READY)
        if running and not child.sentence:
            log.event("info", f"{child} (pid {pid}) is replaced, as somebody asks for it")
            tell(self._loop, self._objects, child, deaths.ASKED)
        return {"told": running}
