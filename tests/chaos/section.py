"""A lock section that writes down when it begins and ends."""

from __future__ import annotations

import os

import ipcmules
from chaos import records
from ipcmules import membership


def enter(number: int) -> bool:
    """Go through one section; False if the bus ended instead."""
    try:
        ipcmules.lock(number)
    except (ipcmules.BusStopped, ipcmules.NotAttached, ipcmules.LockError):
        return False
    member = membership.peek()
    generation = member.description.generation if member is not None else 0
    where = f"{os.getpid()} {generation}"
    records.write(f"lock.{number}", f"in {where}")
    # Somebody else gets the processor with the lock held: that is what would show a lock that does not hold.
    os.sched_yield()
    records.write(f"lock.{number}", f"out {where}")
    try:
        ipcmules.unlock(number)
    except (ipcmules.BusStopped, ipcmules.LockError):
        pass  # the bus ended meanwhile, and its locks with it
    return True
