"""Tasks that come by themselves: when the next one is due, and that there is one at a time.

In schedules/ a function has a file with the time of its next task and the name of its last. Whoever has it
locked at that time writes the task: the name goes into the file before, so that a kill in between leaves what
the next one goes on from. Knows files; when times are, the schedules of functions say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import NamedTuple

from ipcmules.bus import log
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import keyed, names, request, standing
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.enqueue import Writer

DIRECTORY = "schedules"
_FILE = "ipcmules_schedule_"
#: Bytes of a file: written in one piece, padded with spaces.
_SIZE = 2048
#: Who finds a file locked, or cannot write, tries again after so many seconds.
_SOON, _TROUBLE = 0.1, 5.0
#: So long the file of another schedule of the function is left alone: a process of other code may be ending.
_OTHER = 60.0


class State(NamedTuple):
    """What stands in a file. task: the last one's name, "" for none. pending: it may not be written yet."""

    schedule: str
    next: float
    task: str = ""
    pending: bool = False


class Ticker:
    """Writes the tasks of one directory that are due by the schedules of these functions."""

    def __init__(self, directory: str, functions: Iterable[SpoolFunction]) -> None:
        self._directory = directory
        self._writer = Writer(directory, make=False)
        self._functions = list(functions)
        #: When to look after each of them; 0.0 at first.
        self._times = [0.0] * len(self._functions)
        self._has_trouble = False
        self.next = 0.0  #: the nearest of these times, in seconds since 1970

    def tick(self, now: float) -> list[str]:
        """Write what is due; returns the names of the tasks."""
        found: list[str] = []
        for number, function in enumerate(self._functions):
            if self._times[number] > now:
                continue
            try:
                self._times[number] = self._look(function, now, not self._times[number], found)
                self._has_trouble = False
            except (OSError, ValueError) as error:
                self._times[number] = now + _TROUBLE
                if not self._has_trouble:
                    self._has_trouble = True
                    text = f"the next task of {function.whole} cannot be written, it is tried again"
                    log.event("error", f"{for_people(text)}: {error} (said once)")
        self.next = min(self._times)
        return found

    def _look(self, function: SpoolFunction, now: float, is_first: bool, found: list[str]) -> float:
        """Look after one function; when to look again."""
        path = f"{self._directory}/{DIRECTORY}/{_FILE}{keyed.digest(function.whole)}"
        file = keyed.open_file(path)
        try:
            if not keyed.try_lock(file) or keyed.is_gone(file):
                return now + _SOON
            return self._go_on(file, function, now, is_first, found)
        finally:
            os.close(file)

    def _go_on(
        self, file: int, function: SpoolFunction, now: float, is_first: bool, found: list[str]
    ) -> float:
        assert function.manner is not None and function.manner.schedule is not None
        schedule = function.manner.schedule
        state = _read(file)
        if state is None or (state.schedule != schedule.text and is_first):
            state = State(schedule.text, schedule.first(now), state.task if state else "")
            _write(file, function, state)
        if state.schedule != schedule.text:
            return now + _OTHER
        if not state.pending:
            first = schedule.first(now)
            if state.next > first:  # the clock was set back
                state = state._replace(next=first)
                _write(file, function, state)
            if state.next > now:
                return state.next
            if state.task and standing.of(self._directory, state.task).status not in standing.OVER:
                state = state._replace(next=schedule.following(state.next, now))
                _write(file, function, state)
                return state.next
            state = state._replace(task=names.new_name(), pending=True)
            _write(file, function, state)
        if standing.of(self._directory, state.task).status == standing.UNKNOWN:
            arguments: tuple[dict[str, str], ...] = () if function.pass_arguments else ({},)
            head, body, _at, _priority, _spooler = request.read(function.pack(arguments, {}))
            self._writer.put(head, body, name=state.task)
            found.append(state.task)
        state = state._replace(pending=False, next=schedule.following(state.next, now))
        _write(file, function, state)
        return state.next


def _read(file: int) -> State | None:
    """What stands in a file, None where it makes no sense."""
    try:
        data = json.loads(os.pread(file, _SIZE, 0))
        state = State(str(data["schedule"]), float(data["next"]), str(data["task"]), bool(data["pending"]))
    except (ValueError, TypeError, KeyError):
        return None
    safe = not state.task or (names.is_task(state.task) and "/" not in state.task)
    return state if safe and abs(state.next) < 1e12 else None


def _write(file: int, function: SpoolFunction, state: State) -> None:
    data = json.dumps({**state._asdict(), "function": function.whole, "time": time.time()}).encode()
    if len(data) > _SIZE:
        raise ValueError(f"its schedule and its name are longer than {_SIZE} bytes")
    os.pwrite(file, data.ljust(_SIZE), 0)
