"""What stands in flows/: how far a chain or group is, and a mark for each of its tasks that is not over.

The last task of a stage to end removes the directory of marks, and wakes the whole; one that does not succeed
removes it at once. Knows names and files; what they are for says flows.py.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ipcmules.kernel import files
from ipcmules.spooler import names

#: What tasks that are chains or groups are for.
NAME = "ipcmules.flow"
#: The key by which a task says whose part it is.
KEY = b"ipcmules_flow"
DIRECTORY = "flows"
_STATE, _MARKS = "ipcmules_flow_on_", "ipcmules_waiting_on_"
#: What is left of a whole that is gone is removed after so many seconds.
_YOUTH = 60.0


class State(NamedTuple):
    """How far a whole is.

    name: of its task. stage: which one is next. written: all of its tasks were written. sizes: how many tasks
    each stage has.
    """

    name: str
    stage: int
    written: bool
    sizes: list[int]

    def parts(self, stage: int) -> list[str]:
        """The names of the tasks of a stage."""
        return [part_name(self.name, stage, number) for number in range(self.sizes[stage])]

    def all_parts(self) -> Iterator[str]:
        """The names of the tasks of all stages that were begun."""
        for stage in range(self.stage + 1):
            yield from self.parts(stage)


def part_name(name: str, stage: int, number: int) -> str:
    """The name of a part's task. name: of the whole, relative to the directory, with its priority."""
    first, seconds, microseconds = name.rsplit("_", 2)
    return f"{first}-{stage}.{number}_{seconds}_{microseconds}"


def place_of(part: str) -> tuple[int, int] | None:
    """Of which stage a part is, and which of its tasks, by its name; None for what is no part's name."""
    try:
        stage, number = part.rsplit("_", 2)[0].rpartition("-")[2].split(".")
        return int(stage), int(number)
    except ValueError:
        return None


def state_of(directory: str, name: str) -> str:
    """The path of the file that says how far a whole is."""
    return f"{directory}/{DIRECTORY}/{_STATE}{names.bare(name)[len(names.TASK) :]}"


def marks_of(directory: str, name: str) -> str:
    """The path of the directory with a mark for each part that is not over."""
    return f"{directory}/{DIRECTORY}/{_MARKS}{names.bare(name)[len(names.TASK) :]}"


def read(path: str) -> State | None:
    """A state by its path, None where there is none that makes sense."""
    try:
        with open(path, "rb") as file:
            return parsed(file.read())
    except OSError:
        return None


def parsed(text: bytes) -> State | None:
    """A state as it is written, None where it makes no sense."""
    try:
        data = json.loads(text)
        name = str(data["name"])
        sizes = [int(each) for each in data["sizes"]]
        found = State(name, int(data["stage"]), bool(data["written"]), sizes)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if names.is_inside(name) and 0 <= found.stage < len(sizes) else None


def write(directory: str, state: State) -> None:
    """Say how far a whole is. Raises OSError."""
    where = f"{directory}/{DIRECTORY}"
    os.makedirs(where, mode=0o700, exist_ok=True)
    data = json.dumps(state._asdict()).encode()
    files.replace(state_of(directory, state.name), data, temporary=f"{where}/{names.new_name(names.WRITING)}")


def kin(arguments: Mapping[bytes, bytes]) -> tuple[bool, str]:
    """Of a task: whether it is a whole, and the name of the one whose part it is, '' for none."""
    whole = os.fsdecode(arguments.get(KEY, b""))
    is_whole = arguments.get(b"ipcmules_name") == NAME.encode()
    return is_whole, whole if whole and names.is_inside(whole) else ""


def has_begun(directory: str, name: str) -> bool:
    """True if a task is a whole that was begun, and is not forgotten."""
    return os.path.lexists(state_of(directory, name))


def mark(directory: str, whole: str, part: str) -> None:
    """A part is not over. Raises OSError."""
    path = f"{marks_of(directory, whole)}/{names.id_of(names.bare(part))}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def clear_marks(directory: str, whole: str) -> None:
    """Begin anew with no mark. Raises OSError."""
    marks = marks_of(directory, whole)
    shutil.rmtree(marks, ignore_errors=True)
    os.makedirs(marks, mode=0o700)


def is_waiting(directory: str, whole: str) -> bool:
    """False if all parts of a stage have told that they are over, or one that it has not succeeded."""
    return os.path.lexists(marks_of(directory, whole))


def tell(directory: str, whole: str, part: str, succeeded: bool) -> None:
    """A part is over: after the last one, or one that did not succeed, the whole is run. Never raises."""
    if not names.is_inside(whole):
        return
    marks = marks_of(directory, whole)
    try:
        if succeeded:
            os.unlink(f"{marks}/{names.id_of(names.bare(part))}")
            os.rmdir(marks)
        else:
            shutil.rmtree(marks)
    except OSError:
        return  # there are others, or it has been told; the whole looks by itself, too
    wake(directory, whole)


def wake(directory: str, whole: str) -> None:
    """Have a whole run now: a master that watches the directory tells a spooler of the new time."""
    try:
        now = time.time()
        os.utime(f"{directory}/{whole}", (now, now))
    except OSError:
        pass  # it is gone


def forget(directory: str, name: str) -> None:
    """Remove what is known of a whole that is over."""
    files.remove(state_of(directory, name))
    shutil.rmtree(marks_of(directory, name), ignore_errors=True)


def sweep(directory: str) -> int:
    """Remove what is left of wholes whose tasks are gone; returns how many."""
    where, now, count = f"{directory}/{DIRECTORY}", time.time(), 0
    try:
        with os.scandir(where) as entries:
            old = [
                each.name for each in entries if abs(now - each.stat(follow_symlinks=False).st_mtime) > _YOUTH
            ]
    except OSError:
        return 0
    for each in old:
        if each.startswith(names.WRITING):
            count += files.remove(f"{where}/{each}")
        elif each.startswith(_STATE):
            state = read(f"{where}/{each}")
            if state is None or not _is_there(directory, state.name):
                forget(directory, names.TASK + each[len(_STATE) :])
                count += 1
        elif each.startswith(_MARKS) and not os.path.lexists(f"{where}/{_STATE}{each[len(_MARKS) :]}"):
            shutil.rmtree(f"{where}/{each}", ignore_errors=True)
            count += 1
    return count


def _is_there(directory: str, name: str) -> bool:
    return any(
        os.path.lexists(f"{directory}/{each}")
        for each in (name, names.bare(name), f"{names.DEAD}/{names.bare(name)}")
    )
