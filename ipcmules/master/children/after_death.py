"""What follows from the death of a mule, spooler or worker, before it is started again.

What it had in hand goes where --on-mule-death says (casualties.py), its record says that nobody is there,
and somebody else is woken: a mule that was killed between its wake-up and its receive has left the message
in the queue, beside idle mules.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Protocol

from ipcmules.bus import log, table
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.kernel import kill
from ipcmules.master.children import deaths, in_hand_policy, task_in_hand
from ipcmules.master.children.children import Child
from ipcmules.master.children.readiness import record_of
from ipcmules.master.objects import spooldirs
from ipcmules.master.objects.objects import Objects
from ipcmules.messages import in_hand
from ipcmules.signals import fifos
from ipcmules.signals.raiser import Raiser


class Happened(Protocol):
    """Events' alarms: called with a kind of alarm, what is said, and fields."""

    def __call__(self, kind: str, text: str, count: int = 1, **fields: object) -> None:
        """Something has happened."""


def clean_up(objects: Objects, child: Child, pid: int) -> bool:
    """Put away what the process left, and note how it ended (child.death).

    Its own children go with it where it was killed for taking too long, and those of a task in any case.
    Returns True if it had a message in hand, or, for a spooler, has taken a task. Raises OSError where a
    message could not be put away: it is in the mule's slots still, so call it again, and start no successor
    before.
    """
    cells, record = objects.table.cells, record_of(objects, child)
    cells[record + table.R_DEATH] = child.death
    cells[record + table.R_DIED] = time.time_ns()
    cells[record + table.R_DEADLINE] = 0
    if deaths.kind_of(child.death) in (deaths.HARAKIRI, deaths.MERCY):
        _end_group(objects, child, pid)
    if child.role == "worker":
        return False  # its number is given back as any worker's is (attached.py)
    worked = False
    if child.role == "spooler":
        worked = _spooler_ended(objects, child, pid)
    if cells[record + table.R_PID] == pid:
        cells[record + table.R_STATE] = table.ABSENT
        cells[record + table.R_READER] = 0
        cells[record + table.R_LISTENING] = 0
        cells[record + table.R_PID] = 0
    if child.role != "mule":
        return worked
    if deaths.is_success(
        child.death
    ):  # it ended by itself, if only by os._exit(0): what it had in hand is done
        in_hand.clear(objects.where, child.number)
    put_away = partial(
        in_hand_policy.put_away,
        objects.where,
        objects.description.config,
        f"mule {child.number} {deaths.describe(child.death)}",
        child.name,
        requeue=objects.requeue,
    )
    return bool(in_hand.recover(objects.where, child.number, put_away, child.put_away))


def try_clean_up(objects: Objects, child: Child, pid: int) -> bool | None:
    """As clean_up(). None where nothing takes what it had in hand: said once; child.held until then."""
    try:
        worked = clean_up(objects, child, pid)
    except OSError as error:
        if not child.held:
            log.event(
                "error",
                f"{child} (pid {pid}) {deaths.describe(child.death)}, its message can be kept neither in "
                f"{objects.where.kept} nor in shared memory ({error.strerror or error}): it stays in "
                "hand, and no other is started, until there is room",
            )
        child.held = True
        return None
    child.held = False
    if worked and objects.collect is not None:
        objects.collect()  # it may be kept in shared memory for now
    return worked


def nudge_everybody(objects: Objects, raiser: Raiser) -> None:
    """Wake every waiter to look at all there is: wake-ups may have been missed anywhere."""
    shared = objects.table
    for name, _endpoint in fifos.endpoint_names(objects.description.config):
        raiser.nudge(name)
    for number in range(1, WORKER_SLOTS + 1):
        if shared.cells[shared.worker(number) + table.R_PID]:
            raiser.nudge(f"worker{number}")


def _spooler_ended(objects: Objects, child: Child, pid: int) -> bool:
    """True if it has taken a task: then its end says nothing about the next one's start."""
    cells, record = objects.table.cells, record_of(objects, child)
    ran = cells[record + table.R_PID] == pid and cells[record + table.R_MESSAGES] > 0
    if task_in_hand.count(objects, child, pid):
        _end_group(objects, child, pid)
        return True
    return bool(ran)


def _end_group(objects: Objects, child: Child, pid: int) -> None:
    """Kill what the dead process had started, as far as it stayed in its group."""
    leader = objects.table.process(record_of(objects, child))
    if leader.pid == pid:
        kill.send_to_group(leader, signal.SIGKILL)


def nudge(objects: Objects, child: Child) -> None:
    """Wake one idle process of the pool and of each farm the dead one was in, to look at every source."""
    if child.role == "worker":
        nudge_workers(objects)
        return
    if child.role == "spooler":
        nudge_spoolers(objects, child.number)
        return
    raiser = Raiser(objects.where, objects.description, objects.table)
    raiser.nudge("mule0")
    for farm in objects.description.config.farms:
        if child.number in farm.mules:
            raiser.nudge(f"farm.{farm.name}")
    raiser.close()


def nudge_spoolers(objects: Objects, number: int) -> None:
    """As nudge_workers(), for the spoolers and those of one's directory."""
    raiser = Raiser(objects.where, objects.description, objects.table)
    for each in (0, spooldirs.number_of(objects.description.config, number)):
        raiser.nudge(f"spool{each}")
    raiser.close()


def nudge_workers(objects: Objects) -> None:
    """Wake one worker to look for signals whose wake-up went with a dead one."""
    raiser = Raiser(objects.where, objects.description, objects.table)
    raiser.nudge("worker0")
    raiser.close()


def report(child: Child, pid: int, delay: float, failure: str, happened: Happened) -> None:
    """Say that the process has ended and is started again, and tell the alarms if nobody had planned it.

    delay: seconds until then. failure: the traceback it left, or ''.
    """
    planned, how = deaths.is_planned(child.death), deaths.describe(child.death)
    when = f" in {delay:g} s" if delay else ""
    more = f"\n{failure}" if failure else ""
    log.event(
        "info" if planned else "warning",
        f"{child} (pid {pid}) {how}: starting it again{when}{more}",
        {child.role: child.number},
    )
    if not planned:
        happened(f"{child.role}_died", f"{child} (pid {pid}) {how}", **{child.role: child.number})
    for name in child.given_up:
        text = f"task {name}: {child} (pid {pid}), which ran it, {how}"
        happened("task_dead", text, task=name)
    child.given_up.clear()
