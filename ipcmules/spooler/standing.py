"""How a task stands: whether it waits, runs, failed, or how it ended. For who has its name and not its lock.

Files tell it, in an order in which nothing that is there can be missed: a task moves from its place to dead/,
or is gone after its end was written. Takes no lock, unpickles nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from ipcmules.errors import AccessError
from ipcmules.spooler import attempts, claim, dead_tasks, flow_files, names, outcomes
from ipcmules.spooler.attempts import NONE, Record
from ipcmules.spooler.outcomes import End

WAITING, SCHEDULED, RUNNING, FAILED, DEAD = "waiting", "scheduled", "running", "failed", "dead"
UNKNOWN = "unknown"
#: In these nothing more comes of a task by itself.
OVER = frozenset({DEAD, UNKNOWN, *outcomes.STATES})

#: How often is looked again at a task that is nowhere: it may have been moved meanwhile.
_LOOKS = 3


class Standing(NamedTuple):
    """How a task stood.

    status: waiting; scheduled (due later); running (somebody has its lock); failed (and runs again); dead;
    succeeded, cancelled, expired; unknown (nothing is there). name: of its file, where it has one. pid: of
    who runs it, -1 if that cannot be said, 0 for nobody (a chain or group runs by its parts). due: seconds
    since 1970, 0.0 for now. record: of its failures.
    """

    status: str
    name: str = ""
    pid: int = 0
    due: float = 0.0
    record: Record = NONE
    end: End | None = None


def of(directory: str, name: str) -> Standing:
    """How the task stands. Raises AccessError where others can write to what tells it, or this user may not
    look at it; LimitError where the system refuses to open it."""
    for _look in range(_LOOKS):
        found = _waiting(directory, name)
        # After the file: it goes only when its end is written. Before it counts: the file may still be there.
        end = outcomes.read(directory, name)
        if end is not None:
            return Standing(end.state, found.name if found else "", end=end)
        if found is not None:
            return found
        bare = names.bare(name)
        if claim.status_of(f"{directory}/{names.DEAD}/{bare}") is not None:
            record = dead_tasks.read(directory, bare).record
            return Standing(DEAD, f"{names.DEAD}/{bare}", record=record)
    _check(directory, name)
    return Standing(UNKNOWN)


def _check(directory: str, name: str) -> None:
    """Raise AccessError where nothing was found because this user may not look."""
    try:
        os.lstat(f"{directory}/{name}")
    except PermissionError as error:
        raise AccessError(
            f"how task {names.id_of(name)} stands cannot be seen: {directory} may not be read by uid "
            f"{os.geteuid()} ({error.strerror}): chown or chmod it, or ask as another user"
        ) from error
    except OSError:
        pass


def locate(directory: str, name: str) -> str:
    """The name of a task's file with its priority, for who has only its bare name; the same name where it is
    under no priority. Reads the directory: it is for who finds nothing without."""
    if "/" in name or os.path.lexists(f"{directory}/{name}"):
        return name
    found = (f"{each}/{name}" for each in _priorities(directory))
    return next((each for each in found if os.path.lexists(f"{directory}/{each}")), name)


def _priorities(directory: str, below: str = "", depth: int = 0) -> Iterator[str]:
    """The numbered directories, also within others, relative to the spool directory."""
    try:
        with os.scandir(f"{directory}/{below}") as entries:
            found = [each.name for each in entries if names.is_priority(each.name)]
    except OSError:
        return
    for each in found:
        inner = f"{below}/{each}" if below else each
        yield inner
        if depth < names.DEEPEST:
            yield from _priorities(directory, inner, depth + 1)


def _waiting(directory: str, name: str) -> Standing | None:
    bare = names.bare(name)
    # Who moves a dead task back by hand may put it before all priorities.
    for place in (name,) if bare == name else (name, bare):
        path = f"{directory}/{place}"
        status = claim.status_of(path)
        if status is None:
            continue
        try:
            pid = claim.running(path)
        except FileNotFoundError:
            continue
        except OSError:
            pid = 0
        record = attempts.load(path) if claim.tried(status) else NONE
        if pid:
            return Standing(RUNNING, place, pid, record=record)
        due = claim.due(path, status, time.time())
        has_failed = bool(record.attempts or record.returned)
        if record.returned and flow_files.has_begun(directory, place):
            return Standing(RUNNING, place, record=record)  # a chain or group, by its parts
        state = FAILED if has_failed else SCHEDULED if due else WAITING
        return Standing(state, place, due=due, record=record)
    return None
