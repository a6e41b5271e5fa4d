"""Asking a process of the bus for the stacks of its threads, which it goes on after (process/stacks.py)."""

from __future__ import annotations

import fcntl
import os
import re
import time

import posix_ipc

from ipcmules.bus import description, table
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.errors import BusStopped, UnknownTarget
from ipcmules.kernel import kill
from ipcmules.kernel.processes import ProcessId
from ipcmules.process.stacks import TELL

_NAME = re.compile(r"(mule|spooler|worker)([1-9][0-9]{0,5})\Z", re.ASCII)
#: The answer is there within so many seconds, and complete when it has not grown for so many.
_PATIENCE, _QUIET, _LOOK = 3.0, 0.1, 0.02


def process(where: Places, name: str) -> ProcessId:
    """The process of a name such as 'mule3' that runs. Raises UnknownTarget, BusStopped, AccessError."""
    match = _NAME.match(name)
    found = description.load(where)
    if match is None:
        raise UnknownTarget(f"{name!r} is no process: give mule1, spooler1, worker1, ...")
    if found is None or not found.complete or not found.master.alive():
        raise BusStopped(f"bus {where.bus!r} does not run: start it, and try again")
    try:
        shared = table.open(where.table)
    except posix_ipc.ExistentialError as error:
        raise BusStopped(f"bus {where.bus!r} is just stopping: start it, and try again") from error
    role, number = match[1], int(match[2])
    record = _record(shared, role, number)
    cells = shared.cells
    known = ProcessId(cells[record + table.R_PID], cells[record + table.R_START]) if record else None
    if known is None or not known.pid or not known.alive():
        raise UnknownTarget(f"{role} {number} does not run: look again in a moment")
    return known


def _record(shared: Table, role: str, number: int) -> int:
    """Where its record begins, 0 where it has none."""
    layout = shared.layout
    most = {"mule": layout.mules, "spooler": layout.spoolers, "worker": WORKER_SLOTS}[role]
    return shared.record(role, number) if number <= most else 0


def stacks(where: Places, name: str) -> str:
    """What a process says. Raises as process(), and UnknownTarget for one that cannot answer."""
    asked = process(where, name)
    if not _listens(asked):
        raise UnknownTarget(f"{name} (pid {asked.pid}) tells no stacks: mules, spoolers and --processes do")
    path = where.stack(name)
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnknownTarget(f"{path} cannot be read: {error.strerror}: try again in a moment") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # one question at a time
        os.ftruncate(file, 0)
        if not kill.send(asked, TELL):
            raise UnknownTarget(f"{name} has just ended: look again in a moment")
        text = _answer(file)
    finally:
        os.close(file)
    if not text:
        raise UnknownTarget(f"{name} did not answer: is it stopped? (kill -CONT {asked.pid})")
    return text


def _answer(file: int) -> str:
    deadline = time.monotonic() + _PATIENCE
    size, grown = 0, time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(_LOOK)
        now = os.fstat(file).st_size
        if now != size:
            size, grown = now, time.monotonic()
        elif size and time.monotonic() - grown > _QUIET:
            break
    return os.pread(file, 1 << 20, 0).decode("utf-8", "backslashreplace").strip()


def _listens(process_asked: ProcessId) -> bool:
    """Whether it has a handler for the signal, which would end it otherwise (proc(5), SigCgt)."""
    try:
        with open(f"/proc/{process_asked.pid}/status", encoding="ascii", errors="replace") as file:
            caught = next((line for line in file if line.startswith("SigCgt:")), "SigCgt: 0")
    except OSError:
        return False
    return bool(int(caught.split()[1], 16) >> (TELL - 1) & 1)
