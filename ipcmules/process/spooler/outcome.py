"""What became of a task that a spooler tried, and the terms on which it does. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ipcmules.process.spooler.holding import Hold

#: What became of a task: it is done; it was gone before; it is somebody else's, or given up; it is there, and
#: to be looked at again; it is there, and something holds it.
DONE, GONE, TAKEN, LATER, HELD = "done", "gone", "taken", "later", "held"
#: Its coroutine has begun, and what becomes of it is told later.
STARTED = "started"


class Outcome(NamedTuple):
    """What became of a task, and when to look at it again (seconds since 1970).

    ran: its function was called. failed: that was an attempt that failed, or the file made no sense.
    """

    what: str
    when: float = 0.0
    ran: bool = False
    failed: bool = False
    by: Hold | None = None  #: what holds it


@dataclass(frozen=True)
class Terms:
    """How tasks are run; as the options of spoolers say."""

    max_attempts: int = 25
    frequency: float = 30.0  #: seconds until a task that is left, or asked to run again, is looked at again
    chdir: str = ""  #: where they run; '': where their file is
    harakiri: float = 0.0  #: seconds one may take, 0: for ever
