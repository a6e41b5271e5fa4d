"""Common tasks of a backlog, one after the other, with nothing in between that can wait a millisecond.

Common is what Quick takes, for a function of which nothing more is said. Everything else is left as it was
found, for the long way (running.py): so this has to know only how a task goes well. What it leaves out
between two tasks (signals, the queue, the agenda's other tasks) its caller does after each call.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, monotonic_ns

from ipcmules.bus import table
from ipcmules.process import harakiri
from ipcmules.process.spooler.outcome import Outcome
from ipcmules.process.spooler.quick import Taken
from ipcmules.process.spooler.running import Runner
from ipcmules.process.spooler.siblings import Siblings
from ipcmules.spooler import calls
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.figures import Recorder
from ipcmules.spooler.flow_files import KEY
from ipcmules.spooler.manner import for_all
from ipcmules.spooler.results import SPOOL_OK

_TASK = table.DOES_TASK << 8
_BEGAN = table.R_BEGAN - table.R_DOING
#: Longer names have no place in a hand (spooler/in_hand.py) or in the table.
_LONGEST = 200
#: After a task that is not common so many are run the long way.
_PATIENCE = 100
_fchdir = os.fchdir


class Burst:
    """Of one spooler, whose Runner takes the tasks."""

    def __init__(self, runner: Runner, siblings: Siblings, figures: Recorder) -> None:
        self._runner = runner
        self._quick = runner.quick
        self._hand = runner.hand
        self._siblings = siblings
        self._figures = figures
        self._skip = 0
        #: What became of the last task, where it did not go well, and its name.
        self.outcome: Outcome | None = None
        self.name = ""

    def may_begin(self) -> bool:
        """False where something is to be done for each task here."""
        if self._skip:
            self._skip -= 1
            return False
        runner = self._runner
        return not (
            for_all
            or runner.terms.harakiri
            or runner.terms.chdir
            or runner.admission.paused
            or runner.together
            or "django.db" in sys.modules
        )

    def run(self, ready: list[str], until: float, most: int) -> int:
        """Run tasks from the end of a list, names in the directory as it was a moment ago.

        until: when to end (time.monotonic()). most: so many. Returns how many went well; if the one after
        these did not, `outcome` says what became of it. SystemExit and KeyboardInterrupt of a function go on.
        """
        runner, quick, done = self._runner, self._quick, 0
        self.outcome = None
        cells, doing = harakiri.doing
        cells[doing] = _TASK
        try:
            while done < most and ready and not runner.stopping:
                name = ready[-1]
                if not name or "/" in name or len(name) > _LONGEST:
                    break
                taken = quick.take(name, True)
                if type(taken) is not tuple:
                    break
                function = self._common(taken)
                if function is None:
                    quick.give_back(name, taken[0])
                    self._skip = _PATIENCE
                    break
                ready.pop()
                if not self._run(name, function, taken):
                    break
                done += 1
                if monotonic() >= until:
                    break
        finally:
            cells[doing] = 0
            runner.common = None
        return done

    def _common(self, taken: Taken) -> SpoolFunction | None:
        arguments = taken[2]
        function = calls.select(arguments)
        if function is None or function.manner is not None or KEY in arguments:
            return None
        if self._runner.together is not None and function.is_coroutine:
            return None  # it is begun, and others beside it
        return function

    def _run(self, name: str, function: SpoolFunction, taken: Taken) -> bool:
        """True if it went well."""
        runner, quick = self._runner, self._quick
        _fchdir(quick.directory)
        self._siblings.say_task(name)
        self._hand.take(name, runner.policy(function))
        runner.common = name, function
        figures, began = self._figures.begin(function.name), monotonic_ns()
        cells, doing = harakiri.doing
        cells[doing + _BEGAN] = began
        result: int | BaseException
        try:
            result = function.run(calls.environment(name, taken[2], taken[3]))
        except BaseException as error:
            result = error
        run = runner.common_run
        if result == SPOOL_OK and run is None and os.getpid() == runner.pid:
            quick.done(name, taken[0])
            self._figures.end(figures, True, False, False, monotonic_ns() - began)
            return True
        self.name, self.outcome = name, runner.uncommon(result, taken, figures)
        return False
