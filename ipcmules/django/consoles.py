"""The tasks as the admin shows them: found, filtered, acted upon. Knows files, and nothing of pages."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ipcmules.api.handles import handle
from ipcmules.django import places
from ipcmules.django.records import CALL, TASK, History
from ipcmules.errors import AccessError
from ipcmules.kernel import times
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import mending, names, peek, texts
from ipcmules.spooler.peek import Peek

#: So many are shown on a page; of a directory so many are looked at, at most.
MOST, _LOOKED_AT = 200, 20_000
#: Arguments that say what the page says already, and how others are called there.
_UNTOLD = ("ud_spool_func", "ud_spool_ret", "priority", "at")
_TITLES = {"ipcmules_name": "Whole name", TASK: "Task", CALL: "Called with"}
#: States that can be asked for; without one all that is there, dead ones too.
STATES = (*peek.STATES, *peek.ENDED)


@dataclass(frozen=True)
class Row:
    """A task as it is shown: texts only, which the page has to escape."""

    key: str
    directory: str
    state: str
    function: str
    enqueued: datetime
    due: datetime | None
    attempts: int
    task_id: str
    progress: str


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to; "" for anything. function and task_id: parts of the names."""

    state: str = ""
    function: str = ""
    directory: str = ""
    task_id: str = ""

    def may_be(self, name: str) -> bool:
        """False if the name of a file says that it is not wanted."""
        return not self.task_id or self.task_id in name

    def means(self, task: Peek) -> bool:
        """True if a task is wanted."""
        if self.state and task.state != self.state:
            return False
        return self.function in task.function


def rows(wanted: Wanted) -> tuple[list[Row], bool, list[str]]:
    """The first MOST tasks, whether there are more, and what could not be looked at."""
    problems: list[str] = []
    found = itertools.islice(_tasks(wanted, problems), MOST + 1)
    shown = [_row(each) for each in found]
    return shown[:MOST], len(shown) > MOST, problems


def _tasks(wanted: Wanted, problems: list[str]) -> Iterator[Peek]:
    for number, directory in enumerate(places.of_project()):
        if wanted.directory and wanted.directory != str(number):
            continue
        try:
            looked = itertools.islice(_in(directory, wanted), _LOOKED_AT)
            yield from filter(wanted.means, looked)
        except (OSError, AccessError) as error:
            problems.append(for_people(f"{directory}: {error}"))


def _in(directory: str, wanted: Wanted) -> Iterator[Peek]:
    if wanted.state in peek.ENDED:
        yield from peek.ended(directory, wanted.may_be)
        return
    if wanted.state != peek.DEAD:
        yield from peek.waiting(directory, wanted.may_be)
    if wanted.state in ("", peek.DEAD):
        yield from peek.buried(directory, wanted.may_be)


def find(key: str) -> Peek | None:
    """The task that a row's key means; None where it is gone, or that is no key."""
    number, _colon, name = key.partition(":")
    directories = places.of_project()
    if not number.isascii() or not number.isdigit() or int(number) >= len(directories):
        return None
    directory = directories[int(number)]
    *above, last = name.split("/")
    if above == [names.RESULTS] and last.startswith(names.RESULT):
        bare = names.TASK + last[len(names.RESULT) :]
        return next(peek.ended(directory, lambda each: each == bare), None)
    is_below = above == [names.DEAD] or all(map(names.is_priority, above))
    return peek.at(directory, name) if is_below and names.is_task(last) else None


def _key(task: Peek) -> str:
    directories = places.of_project()
    number = directories.index(task.directory) if task.directory in directories else len(directories)
    return f"{number}:{task.name}"


def _row(task: Peek) -> Row:
    said = task.progress
    total = "" if said is None or said["total"] is None else f"/{said['total']}"
    return Row(
        key=_key(task),
        directory=for_people(task.directory),
        state=task.state,
        function=for_people(task.function) or "(none)",
        enqueued=_when(task.enqueued) or datetime.fromtimestamp(0).astimezone(),
        due=_when(task.due),
        attempts=task.record.attempts if task.end is None else task.end.attempts,
        task_id=for_people(task.id),
        progress="" if said is None else for_people(f"{said['done']}{total} {said['note']}"),
    )


def details(task: Peek) -> tuple[Row, list[tuple[str, str]], str]:
    """What is known of one: its row, further lines, and the last traceback."""
    bare = names.TASK + task.id
    try:
        history = History.read(task.directory, bare)
    except AccessError:
        history = None
    lines = [
        ("File", for_people(task.path)),
        ("Process", str(task.pid) if task.pid > 0 else ""),
        ("Priority", task.priority),
        ("Bytes", str(task.size)),
        ("Problem", for_people(task.problem)),
        ("Reason", for_people(task.record.reason if task.end is None else task.end.reason)),
        ("Last failure", times.local(task.record.time) if task.record.time else ""),
        ("Ended", times.local(task.end.time) if task.end is not None else ""),
        *((_TITLES.get(key, f"Argument {key}"), text) for key, text in _arguments(task, history).items()),
        ("Returned", _returned(task, history)),
    ]
    trace = task.record.traceback
    if history is not None and not trace:
        trace = next((each.error[1] for each in reversed(history.attempts) if each.error), "")
    return _row(task), [each for each in lines if each[1]], for_people(trace, lines=True)


def _arguments(task: Peek, history: History | None) -> dict[str, str]:
    found = texts.arguments(task)
    if history is not None:
        found[CALL] = for_people(json.dumps({"args": history.call.args, "kwargs": history.call.kwargs}))[
            :2000
        ]
        found[TASK] = for_people(history.call.path)
    return {key: text for key, text in found.items() if key not in _UNTOLD}


def _returned(task: Peek, history: History | None) -> str:
    if history is not None and history.finished:
        return for_people(json.dumps(history.returned))[:2000]
    return (texts.result(task.end) or "") if task.end is not None else ""


def _cancel(task: Peek) -> str:
    """Cancel a task that is not over; one that runs is asked. Returns why that cannot be, or ""."""
    if task.state in (peek.DEAD, *peek.ENDED):
        return f"it is over ({task.state})"
    try:
        is_gone = handle(task.path, task.directory).cancel(grace=None)
    except OSError as error:
        return f"it cannot be cancelled: {error.strerror or error}"
    return "" if is_gone or task.state == peek.RUNNING or not os.path.lexists(task.path) else "it runs"


#: What can be done to tasks: its name, in words, the permission it takes, and how: "" or why not.
ACTIONS: dict[str, tuple[str, str, Callable[[Peek], str]]] = {
    "retry": ("Retry", "change", mending.retry),
    "run": ("Run now", "change", mending.retry),
    "cancel": ("Cancel", "change", _cancel),
    "drop": ("Drop for good", "delete", mending.drop),
}


def _when(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds).astimezone() if seconds else None
    except (OverflowError, ValueError, OSError):
        return None
