"""A lock section that writes down when it begins and ends."""

from __future__ import annotations

import contextlib
import os
import random

import ipcmules
from chaos import interruption, records
from ipcmules.member import membership

_GONE = (ipcmules.BusStopped, ipcmules.NotAttached, ipcmules.LockError)


def enter(number: int) -> bool:
    """Go through one section, by a with statement or by lock(); False if the bus ended instead."""
    entered = [False]

    def whole() -> None:
        with ipcmules.Lock(number):
            _inside(number, entered)

    while not entered[0]:
        try:
            if random.random() < 0.5:
                interruption.call("with-lock", whole)
            else:
                interruption.call("lock", lambda: ipcmules.lock(number))
                _inside(number, entered)
                _leave(number)
        except interruption.Interrupted:
            pass  # it holds nothing, and goes through it now, unless it was there
        except _GONE:
            return entered[0]  # where it was there the bus ended meanwhile, and its locks with it
    return True


def _leave(number: int) -> None:
    try:
        interruption.call("unlock", lambda: ipcmules.unlock(number))
    except interruption.Interrupted:
        with contextlib.suppress(ipcmules.LockError):  # it had been done
            ipcmules.unlock(number)


def _inside(number: int, entered: list[bool]) -> None:
    member = membership.peek()
    generation = member.description.generation if member is not None else 0
    where = f"{os.getpid()} {generation}"
    entered[0] = True
    records.write(f"lock.{number}", f"in {where}")
    # Somebody else gets the processor with the lock held: that is what would show a lock that does not hold.
    os.sched_yield()
    records.write(f"lock.{number}", f"out {where}")


interruption.spare(_inside)
