"""What follows from the death of a mule, spooler or worker, before it is started again.

What it had in hand goes where --on-mule-death says (casualties.py), its record says that nobody is there,
and somebody else is woken: a mule that was killed between its wake-up and its receive has left the message
in the queue, beside idle mules.
"""

from __future__ import annotations

import time
from functools import partial

from ipcmules import table
from ipcmules.master import casualties, deaths, spooldirs, unfinished
from ipcmules.master.children import Child
from ipcmules.master.objects import Objects
from ipcmules.master.readiness import record_of
from ipcmules.messages import inflight
from ipcmules.signals.raiser import Raiser


def clean_up(objects: Objects, child: Child, pid: int) -> bool:
    """Put away what the process left, and note how it ended (child.death).

    Returns True if it had a message in hand.
    """
    cells, record = objects.table.cells, record_of(objects, child)
    cells[record + table.R_DEATH] = child.death
    cells[record + table.R_DIED] = time.time_ns()
    cells[record + table.R_DEADLINE] = 0
    if child.role == "worker":
        return False  # its number is given back as any worker's is (attached.py)
    if child.role == "spooler":
        unfinished.count(objects, child, pid)
    if cells[record + table.R_PID] == pid:
        cells[record + table.R_STATE] = table.ABSENT
        cells[record + table.R_READER] = 0
        cells[record + table.R_LISTENING] = 0
        cells[record + table.R_PID] = 0
    if child.role != "mule":
        return False
    if deaths.is_success(
        child.death
    ):  # it ended by itself, if only by os._exit(0): what it had in hand is done
        inflight.clear(objects.where, child.number)
    put_away = partial(
        casualties.put_away,
        objects.where,
        objects.description.config,
        f"mule {child.number} {deaths.describe(child.death)}",
        child.name,
        requeue=objects.requeue,
    )
    return bool(inflight.recover(objects.where, child.number, put_away))


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
