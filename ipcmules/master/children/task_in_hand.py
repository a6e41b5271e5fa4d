"""The task that a spooler had in hand when it died: an attempt, with what the master knows of the death.

But not where the spooler was to end: a stop or a reload that kills it is no fault of its task's.

What a master does not see (it was killed too) the next spooler finds: the file of spooler/in_hand.py stays.
Knows the table, the store and deaths.
"""

from __future__ import annotations

import signal

from ipcmules.bus import log, table
from ipcmules.kernel.printable import for_people
from ipcmules.master.children import deaths
from ipcmules.master.children.children import Child
from ipcmules.master.objects.objects import Objects
from ipcmules.spooler import in_hand
from ipcmules.spooler.store import Store


def tell(objects: Objects, child: Child) -> None:
    """A spooler is being told to end: note it in its hand, for whoever finds that."""
    hand = objects.table.hand(child.number)
    if hand:
        config = objects.description.config
        directory = config.spooler_directories[child.number - 1]
        for each in (
            in_hand.hands_of(directory, in_hand.pid_of(hand)) if config.spooler_async > 1 else (hand,)
        ):
            in_hand.tell(directory, each)


def count(objects: Objects, child: Child, pid: int) -> bool:
    """Count an attempt of what a spooler that has ended was running. False if it was running nothing."""
    number = child.number
    hand = objects.table.hand(number)
    cells, record = objects.table.cells, objects.table.spooler(number)
    cells[record + table.S_TASK] = cells[record + table.S_HAND] = 0
    if not hand:
        return False
    config = objects.description.config
    reason = f"spooler {number} (pid {pid}), which ran it, {deaths.describe(child.death)}"
    store = Store(config.spooler_directories[number - 1], config.spooler_ordered)
    hands = None if config.spooler_async > 1 else [hand]  # it may have had several
    died = store.deaths(hands, pid, reason, child.stack, _planned(child.death))
    for each in died:
        if each.verdict is None:
            log.event("warning", f"task {for_people(each.name)}: {reason}: no attempt, it runs again")
            continue
        if each.verdict.over:
            log.event("warning", f"task {for_people(each.name)}: {reason}: {each.verdict.problem}")
            continue
        if each.verdict.dead:
            child.given_up.append(each.name)
        most = f" of {each.policy.max_attempts}" if each.policy.max_attempts else ""
        what = f"is {each.verdict.dead} now" if each.verdict.dead else "runs again later"
        log.event(
            "warning",
            f"task {for_people(each.name)}: {reason}: attempt {each.verdict.attempts}{most}, it {what}",
            {"task": each.name, "attempt": each.verdict.attempts},
        )
    return bool(died)


def _planned(death: int) -> bool | None:
    """Whether it was to end. None where the hand knows: killed by somebody else, as at a service's end."""
    if deaths.kind_of(death) in (deaths.MERCY, deaths.RELOADED, deaths.ASKED):
        return True
    if deaths.kind_of(death) == deaths.PLAIN and death & 0x7F in (signal.SIGKILL, signal.SIGTERM):
        return None
    return False
