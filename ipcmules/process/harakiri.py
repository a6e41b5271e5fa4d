"""Deadlines of what this mule, spooler or worker runs, and what it runs, in its record; the master does the
rest.

The nearest deadline is what the master sees: of hooks and handlers (--mule-harakiri), of functions with
@harakiri, of set_user_harakiri(). The master is told only where it would look too late (H_LOOK). Knows the
table; not dispatch.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from ipcmules.bus import table
from ipcmules.bus.layout import RECORD
from ipcmules.errors import NotAMule
from ipcmules.kernel import unpatched
from ipcmules.kernel.notify import tell_master
from ipcmules.member.membership import Membership
from ipcmules.process import stacks

#: The most that a deadline can be away, seconds: it is a 64-bit number of nanoseconds in the table.
LONGEST = 1e9

_USER = object()


class Deadlines:
    """Those of this process. Any thread may set one; the nearest of all counts."""

    def __init__(self, member: Membership, record: int) -> None:
        self._member = member
        self._cells = member.table.cells
        self._deadline = record + table.R_DEADLINE
        self._due: dict[object, int] = {}
        # Python signal handlers run in between, and may set one too.
        self._lock = unpatched.RLock()

    def arm(self, key: object, seconds: float) -> None:
        """From now on the process is killed after so many seconds, unless disarm(key) comes first."""
        with self._lock:
            due = self._due
            due[key] = nearest = monotonic_ns() + int(seconds * 1e9)
            if len(due) > 1:
                nearest = min(due.values())
            cells = self._cells
            cells[self._deadline] = nearest
            if not 0 < cells[table.H_LOOK] <= nearest:
                tell_master(self._member.where.notify)

    def disarm(self, key: object) -> None:
        """Take it back; nothing happens if it was not set."""
        with self._lock:
            due = self._due
            due.pop(key, None)
            self._cells[self._deadline] = min(due.values()) if due else 0


_deadlines: Deadlines | None = None
#: Seconds that a hook and that a handler of this process may take (--mule-harakiri), 0: for ever.
hook_time = handler_time = 0.0
#: Where this process says what the app does in it: cells and an index (R_DOING). Nobody reads these.
_nowhere: tuple[memoryview, int] = (memoryview(bytearray(RECORD)).cast("Q"), 0)
doing = _nowhere


def open_watch(member: Membership) -> None:
    """This process is a mule, spooler or worker now."""
    global _deadlines, doing, handler_time, hook_time
    mule = member.role == "mule"
    record = member.table.record(member.role, member.number)
    _deadlines = Deadlines(member, record)
    stacks.ready(member.where.stack(f"{member.role}{member.number}"))
    doing = member.table.cells, record + table.R_DOING
    config = member.description.config
    hook_time = config.harakiri if mule else 0.0
    handler_time = (config.harakiri or config.handler_harakiri) if mule else 0.0


def _after_fork() -> None:
    """A child of a mule is not the mule."""
    global _deadlines, doing, handler_time, hook_time
    _deadlines = None
    hook_time = handler_time = 0.0
    doing = _nowhere


os.register_at_fork(after_in_child=_after_fork)


def check_seconds(seconds: object) -> float:
    """Return seconds if they can be a deadline's. Raises TypeError, ValueError."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"a harakiri time is a number of seconds, not {seconds!r}")
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"a harakiri time of {seconds!r} s cannot be: give 0 (none) to {LONGEST:g} seconds")
    return float(seconds)


def set_user(seconds: float) -> None:
    """As api.set_user_harakiri()."""
    seconds = check_seconds(seconds)
    if _deadlines is None:
        raise NotAMule(
            "set_user_harakiri() works in a mule or in a worker that the master started: nobody would end "
            "any other process"
        )
    if seconds:
        _deadlines.arm(_USER, seconds)
    else:
        _deadlines.disarm(_USER)


def arm(seconds: float, key: object) -> None:
    """Set a deadline of one's own, to be taken back with disarm(key), also where this call was interrupted.

    Without effect in a process that nobody would end.
    """
    if _deadlines is not None:
        _deadlines.arm(key, seconds)


def disarm(key: object) -> None:
    """Take back what arm() set; nothing happens if it did not."""
    if _deadlines is None:
        return
    try:
        _deadlines.disarm(key)
    except BaseException:  # a signal handler of the program: a deadline that stays would kill the process
        _deadlines.disarm(key)
        raise
