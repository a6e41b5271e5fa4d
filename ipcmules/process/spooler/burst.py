"""Common tasks of a backlog, one after the other, with nothing in between that can wait a millisecond.

Common is what Quick takes, for a function of which no more is said than that its results are kept. Everything
else is left as it was found, for the long way (running.py): so this has to know only how a task goes well.
What it leaves out between two tasks (signals, the queue, the agenda's other tasks) its caller does after each
call.
"""

from __future__ import annotations

import os
import sys
from time import monotonic_ns
from typing import Any, NamedTuple

from ipcmules.bus import table
from ipcmules.process import harakiri
from ipcmules.process.spooler.outcome import Outcome
from ipcmules.process.spooler.quick import Taken
from ipcmules.process.spooler.running import Runner
from ipcmules.process.spooler.siblings import Siblings
from ipcmules.spooler import calls
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.figures import Recorder
from ipcmules.spooler.flow_files import KEY
from ipcmules.spooler.manner import for_all
from ipcmules.spooler.results import SPOOL_OK
from ipcmules.spooler.successes import Successes

_TASK = table.DOES_TASK << 8
_BEGAN = table.R_BEGAN - table.R_DOING
#: Longer names have no place in a hand (spooler/in_hand.py) or in the table.
_LONGEST = 200
#: After a task that is not common so many are run the long way.
_PATIENCE = 100
_fchdir, _getpid = os.fchdir, os.getpid


class _Kind(NamedTuple):
    """What the tasks of a function have in common. keep: seconds for which their results are kept."""

    function: SpoolFunction
    is_common: bool
    keep: float
    policy: Policy


class Burst:
    """Of one spooler, whose Runner takes the tasks."""

    def __init__(self, runner: Runner, siblings: Siblings, figures: Recorder) -> None:
        self._runner = runner
        self._quick = runner.quick
        self._hand = runner.hand
        self._siblings = siblings
        self._figures = figures
        self._successes = Successes()
        #: True if there may be results to sweep.
        self._keeps = False
        #: By the id of a function, which is kept so that it stays its own.
        self._kinds: dict[int, _Kind] = {}
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
        runner, quick, figures, done = self._runner, self._quick, self._figures, 0
        self.outcome = None
        cells, doing = harakiri.doing
        cells[doing] = _TASK
        began, end = monotonic_ns(), round(until * 1e9)
        try:
            while done < most and ready and not runner.stopping:
                name = ready[-1]
                if not name or "/" in name or len(name) > _LONGEST:
                    break
                taken = quick.take(name, True)
                if type(taken) is not tuple:
                    break
                kind = self._common(name, taken)
                if kind is None:
                    quick.give_back(name, taken[0])
                    break
                ready.pop()
                figures.begin_one(kind.function.name)
                cells[doing + _BEGAN] = began
                if not self._run(name, kind, taken):
                    break
                ended = monotonic_ns()
                figures.end_well(ended - began)
                done += 1
                if ended >= end:
                    break
                began = ended
        finally:
            cells[doing] = 0
            figures.flush()
            runner.common = None
        if self._keeps:
            runner.sweep_results()
        return done

    def _common(self, name: str, taken: Taken) -> _Kind | None:
        """What a task's function is, if the task is common."""
        arguments = taken[2]
        function = calls.select(arguments)
        kind = self._kinds.get(id(function)) or self._kind(function)
        if kind is None or not kind.is_common or KEY in arguments:
            self._skip = _PATIENCE
            return None
        if kind.keep and self._successes.may_be_told(name, self._quick.directory):
            self._skip = 1  # it was done by a process that was killed before it could remove the file
            return None
        return kind

    def _kind(self, function: SpoolFunction | None) -> _Kind | None:
        if function is None:
            return None
        manner, runner = function.manner, self._runner
        is_common = manner is None or manner.is_plain
        if runner.together is not None and function.is_coroutine:
            is_common = False  # it is begun, and others beside it
        keep = manner.results if manner is not None else 0.0
        self._keeps = self._keeps or keep > 0
        found = self._kinds[id(function)] = _Kind(function, is_common, keep, runner.policy(function))
        return found

    def _run(self, name: str, kind: _Kind, taken: Taken) -> bool:
        """True if it went well."""
        runner, quick, function = self._runner, self._quick, kind.function
        _fchdir(quick.directory)
        file, _status, arguments, body = taken
        said = name.encode("utf-8", "surrogateescape")
        self._siblings.say(said)
        self._hand.take_said(said, kind.policy)
        runner.common = name, function
        env: dict[Any, bytes] = {"spooler_task_name": said, **arguments}
        if body:
            env["body"] = body
        result: int | BaseException
        returned: Any = None
        try:
            if kind.keep:
                result, returned = function.run_for(env)
            else:
                result = function.run(env)
        except BaseException as error:
            result = error
        if (
            result == SPOOL_OK
            and runner.common_run is None
            and _getpid() == runner.pid
            and not (
                kind.keep and not self._successes.tell(name, function, returned, kind.keep, quick.directory)
            )
        ):
            quick.done(name, file)
            return True
        figures = self._figures.take_over()
        self.name, self.outcome = name, runner.uncommon(result, returned, taken, figures)
        return False
