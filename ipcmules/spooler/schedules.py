"""Tasks that come by themselves: when the next one is due, and that there is one at a time.

In schedules/ a function has a file with the time of its next task and the name of its last. Whoever has it
locked at that time writes the task: the name goes into the file before, so that a kill in between leaves what
the next one goes on from. For a spooler of the cluster the same stands there (clustered_schedules.py). Knows
files; when times are, the schedules of functions say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ipcmules.bus import log
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import keyed, names, request, standing
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.manner import Schedule

DIRECTORY = "schedules"
_FILE = "ipcmules_schedule_"
#: Bytes of a file: written in one piece, padded with spaces.
_SIZE = 2048
#: Who finds a file locked, or cannot write, tries again after so many seconds.
_SOON, TROUBLE = 0.1, 5.0
#: So long the state of another schedule of the function is left alone: a process of other code may be ending.
OTHER = 60.0


class State(NamedTuple):
    """What stands in a file. task: the last one's name, "" for none. pending: it may not be written yet."""

    schedule: str
    next: float
    task: str = ""
    pending: bool = False


def following(
    state: State | None,
    schedule: Schedule,
    now: float,
    is_first: bool,
    is_over: Callable[[str], bool],
    apart: float = 0.0,
) -> State | None:
    """What is to stand in place of this now; None where another schedule is in force. Pending: the task is to
    be written, and then done() is to stand there.

    is_first: who asks has just started, so its schedule counts. is_over(task): nothing more comes of it.
    apart: so many seconds the clocks of those who write it may be apart.
    """
    if state is None or (state.schedule != schedule.text and is_first):
        state = State(schedule.text, schedule.first(now), state.task if state else "")
    if state.schedule != schedule.text:
        return None
    if state.pending:
        return state
    if state.next > schedule.first(now + apart):  # the clock was set back
        state = state._replace(next=schedule.first(now))
    if state.next > now:
        return state
    if state.task and not is_over(state.task):
        return state._replace(next=schedule.following(state.next, now))
    return state._replace(task=names.new_name(), pending=True)


def done(state: State, schedule: Schedule, now: float) -> State:
    """What stands there once the pending task is written."""
    return state._replace(pending=False, next=schedule.following(state.next, now))


def schedule_of(function: SpoolFunction) -> Schedule:
    """The schedule of a function that has one."""
    assert function.manner is not None and function.manner.schedule is not None
    return function.manner.schedule


def packed(function: SpoolFunction) -> tuple[bytes, bytes]:
    """A task of the function as it is written: head and body."""
    arguments: tuple[dict[str, str], ...] = () if function.pass_arguments else ({},)
    head, body, _at, _priority, _spooler = request.read(function.pack(arguments, {}))
    return head, bytes(body)


class Ticks:
    """Looks after these functions when their times come. Where their states stand, others of it say."""

    def __init__(self, functions: Iterable[SpoolFunction]) -> None:
        self._functions = list(functions)
        #: When to look after each of them; 0.0 at first.
        self._times = [0.0] * len(self._functions)
        #: Those that were looked after, without trouble.
        self._seen: set[int] = set()
        self.next = 0.0  #: the nearest of these times, in seconds since 1970

    def tick(self, now: float) -> list[str]:
        """Write what is due; returns the names of the tasks that are here now."""
        found: list[str] = []
        for number, function in enumerate(self._functions):
            if self._times[number] > now:
                continue
            try:
                self._times[number] = self._look(function, now, number not in self._seen, found)
                self._seen.add(number)
                self._succeeded()
            except (OSError, ValueError) as error:
                self._times[number] = self._failed(function, now, error)
        self.next = min(self._times)
        return found

    def _look(self, function: SpoolFunction, now: float, is_first: bool, found: list[str]) -> float:
        """Look after one function; when to look again. Raises OSError, ValueError."""
        raise NotImplementedError

    def _succeeded(self) -> None:
        """There is no trouble."""

    def _failed(self, function: SpoolFunction, now: float, error: Exception) -> float:
        """There is trouble; when to look again."""
        raise NotImplementedError


class Ticker(Ticks):
    """Writes the tasks of one directory that are due by the schedules of these functions."""

    def __init__(self, directory: str, functions: Iterable[SpoolFunction]) -> None:
        super().__init__(functions)
        self._directory = directory
        self._writer = Writer(directory, make=False)
        self._has_trouble = False

    def _succeeded(self) -> None:
        self._has_trouble = False

    def _failed(self, function: SpoolFunction, now: float, error: Exception) -> float:
        if not self._has_trouble:
            self._has_trouble = True
            say_trouble(function, error)
        return now + TROUBLE

    def _look(self, function: SpoolFunction, now: float, is_first: bool, found: list[str]) -> float:
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
        schedule, old = schedule_of(function), _read(file)
        state = following(old, schedule, now, is_first, lambda task: self._status(task) in standing.OVER)
        if state is None:
            return now + OTHER
        if state != old:
            _write(file, function, state)
        if not state.pending:
            return state.next
        if self._status(state.task) == standing.UNKNOWN:
            self._writer.put(*packed(function), name=state.task)
            found.append(state.task)
        state = done(state, schedule, now)
        _write(file, function, state)
        return state.next

    def _status(self, task: str) -> str:
        return standing.of(self._directory, task).status


def say_trouble(function: SpoolFunction, error: Exception) -> None:
    """Say that the task of a function cannot be written."""
    text = f"the next task of {function.whole} cannot be written, it is tried again"
    log.event("error", f"{for_people(text)}: {error} (said once)")


def dumped(state: State, function: str) -> bytes:
    """A state as it is kept."""
    return json.dumps({**state._asdict(), "function": function, "time": time.time()}).encode()


def loaded(text: bytes) -> State | None:
    """The reverse of dumped(); None where it makes no sense."""
    try:
        data: dict[str, Any] = json.loads(text)
        state = State(str(data["schedule"]), float(data["next"]), str(data["task"]), bool(data["pending"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    safe = not state.task or (names.is_task(state.task) and "/" not in state.task)
    return state if safe and abs(state.next) < 1e12 else None


def _read(file: int) -> State | None:
    return loaded(os.pread(file, _SIZE, 0))


def _write(file: int, function: SpoolFunction, state: State) -> None:
    data = dumped(state, function.whole)
    if len(data) > _SIZE:
        raise ValueError(f"its schedule and its name are longer than {_SIZE} bytes")
    os.pwrite(file, data.ljust(_SIZE), 0)
