"""Whether a task that was taken is run now: its function may be paused, or too many of its key may run.

Knows what holds tasks, and the files that say so; runs nothing.
"""

from __future__ import annotations

import time

from ipcmules.bus import log
from ipcmules.kernel.printable import for_people
from ipcmules.process.spooler import manners
from ipcmules.process.spooler.holding import BEGUN, NEVER, PAUSED, PLACES, Hold
from ipcmules.process.spooler.outcome import HELD, Outcome
from ipcmules.process.spooler.run import Run
from ipcmules.spooler import limits
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.limits import Limits, Place
from ipcmules.spooler.manner import Manner
from ipcmules.spooler.task import Task

#: Where the files cannot be used (no descriptor, a full disk) it is tried again after so many seconds.
_TROUBLE = 1.0


class Admission:
    """Of the tasks of one directory in this process."""

    def __init__(self, directory: str) -> None:
        #: Functions whose tasks are not begun, by their bare and whole names.
        self.paused: frozenset[str] = frozenset()
        #: What the last task that ran has given back, None for nothing; whoever looks sets it to None.
        self.freed: Hold | None = None
        self._limits = Limits(directory)
        self._said = False

    def is_paused(self, function: SpoolFunction) -> bool:
        """True if its tasks are not to be begun."""
        return not self.paused.isdisjoint((function.name, function.whole))

    def hold(self, task: Task, function: SpoolFunction) -> Outcome:
        """Leave a task whose function is paused."""
        task.ignore()
        return Outcome(HELD, NEVER, by=Hold(PAUSED, function.whole))

    def take_place(self, task: Task, run: Run, manner: Manner) -> Outcome | None:
        """See that there are not too many of a task's key; what becomes of it where there are.

        Else free() is to be called when it has run.
        """
        key = manners.key_of_limits(run.function, manner, task)
        by = Hold(PLACES, key, manner.concurrency)
        taken: Place | float
        try:
            taken = self._limits.take(key, manner.concurrency, manner.rate)
        except OSError as error:
            self._say(task, error)
            taken = time.time() + _TROUBLE
        if isinstance(taken, Place):
            run.place, run.held_by = taken, by
            return None
        task.ignore()
        if manner.rate is not None:  # that there is a place again is not all
            by = Hold(BEGUN, key)
        return Outcome(HELD, taken, by=by)

    def free(self, run: Run) -> None:
        """A task has ended."""
        if run.place is not None:
            self._limits.free(run.place)
            self.freed, run.place = run.held_by, None

    def ask_again(self, by: Hold) -> float:
        """0.0 where what held a task may have passed; else when to ask again, in seconds since 1970."""
        try:
            free = by.kind != PLACES or self._limits.is_free(by.key, by.concurrency)
        except OSError:
            free = True  # who runs it says what is wrong
        return 0.0 if free else time.time() + limits.AGAIN

    def _say(self, task: Task, error: OSError) -> None:
        if not self._said:
            self._said = True
            log.event(
                "error",
                f"task {for_people(task.name)} waits: how many of its key run cannot be seen: {error} (said "
                "once)",
            )
