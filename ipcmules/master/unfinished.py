"""The task that a spooler had in hand when it died: an attempt, with what the master knows of the death.

What a master does not see (it was killed too) the next spooler finds: the file of spooler/hands.py stays.
Knows the table, the store and deaths.
"""

from __future__ import annotations

from ipcmules import log, table
from ipcmules.master import deaths
from ipcmules.master.children import Child
from ipcmules.master.objects import Objects
from ipcmules.spooler.store import Store


def count(objects: Objects, child: Child, pid: int) -> None:
    """Count an attempt of what a spooler that has ended was running, if it was running anything."""
    number = child.number
    hand = objects.table.hand(number)
    cells, record = objects.table.cells, objects.table.spooler(number)
    cells[record + table.S_TASK] = cells[record + table.S_HAND] = 0
    if not hand:
        return
    config = objects.description.config
    reason = f"spooler {number} (pid {pid}), which ran it, {deaths.describe(child.death)}"
    store = Store(config.spooler_directories[number - 1], config.spooler_ordered)
    for each in store.deaths([hand], pid=pid, reason=reason, traceback=child.stack):
        what = f"is {each.verdict.dead} now" if each.verdict.dead else "runs again later"
        log.event("warning", f"task {each.name}: {reason}: attempt {each.verdict.attempts}, it {what}")
