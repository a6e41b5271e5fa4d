"""What the page shows that is in no snapshot: tasks, dead letters, the log. Reads, and changes nothing."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ipcmules.bus import description
from ipcmules.bus.places import Places
from ipcmules.errors import ConfigError, SpoolError
from ipcmules.messages import kept, letters
from ipcmules.messages.kept import Kept
from ipcmules.spooler import names, peek, texts
from ipcmules.spooler.peek import Peek

#: So many tasks are looked at for a list, and so many of them, and of dead letters, are in it.
_LOOKED_AT, _LISTED = 20_000, 200
#: As much of a message is shown, and of the log's end, bytes.
_MESSAGE, _LOG = 4096, 1 << 17


@dataclass(frozen=True)
class Wanted:
    """Which tasks are meant: in this state, of this function, with this text in what is known of them."""

    state: str = ""
    function: str = ""
    search: str = ""

    @classmethod
    def of(cls, given: Any) -> Wanted:
        """From what a browser sent. Raises ConfigError."""
        texts_given = {key: given.get(key) or "" for key in ("state", "function", "search")}
        if not all(isinstance(each, str) for each in texts_given.values()):
            raise ConfigError("which tasks are meant is said by texts")
        states = (*peek.STATES, *peek.ENDED)
        if texts_given["state"] not in ("", *states):
            raise ConfigError(f"the state {texts_given['state']!r} is none: give one of {', '.join(states)}")
        return cls(**texts_given)

    def means(self, task: Peek) -> bool:
        """True if a task is meant."""
        if (self.state and task.state != self.state) or (self.function and task.function != self.function):
            return False
        search = self.search.lower()
        return not search or any(search in each.lower() for each in _said(task))


def _said(task: Peek) -> Iterator[str]:
    yield task.id
    yield task.function
    yield task.record.reason
    yield task.problem
    if task.end is not None:
        yield task.end.reason
    for name, value in texts.arguments(task).items():
        yield f"{name}={value}"


def directories(where: Places) -> list[str]:
    """The spool directories of a bus, also of one that has ended by SIGKILL."""
    found = description.load(where)
    return [] if found is None else [each.directory for each in found.config.spoolers]


def tasks(where: Places, wanted: Wanted, most: int = _LISTED) -> tuple[list[Peek], bool]:
    """The tasks that are meant, at most so many, and whether there may be more."""
    found: list[Peek] = []
    seen = 0
    for directory in directories(where):
        for each in _all(directory, wanted.state):
            seen += 1
            if wanted.means(each):
                found.append(each)
            if len(found) > most or seen >= _LOOKED_AT:
                return found[:most], True
    return found, False


def _all(directory: str, state: str) -> Iterator[Peek]:
    """Those in a directory that may be in a state; what has ended only where that is asked for."""
    try:
        if state in peek.ENDED:
            yield from peek.ended(directory)
            return
        if state != peek.DEAD and os.path.isdir(directory):
            yield from peek.waiting(directory)
        if state in ("", peek.DEAD):
            yield from peek.buried(directory)
    except OSError as error:
        raise SpoolError(f"the spool directory {directory} cannot be read: {error.strerror}") from error


def task(where: Places, key: str) -> Peek | None:
    """The task with a key; None if it is gone. Raises ConfigError for what is no key of this bus's."""
    path = _path(key)
    directory = next((each for each in directories(where) if path.startswith(f"{each}/")), None)
    if directory is None:
        raise ConfigError("this is no task of the bus's directories")
    name = path[len(directory) + 1 :]
    above, _slash, bare = name.rpartition("/")
    if above == names.RESULTS and bare.startswith(names.RESULT):
        wanted = names.TASK + bare[len(names.RESULT) :]
        return next(peek.ended(directory, lambda each: each == wanted), None)
    if not names.is_task(bare) or not (above in ("", names.DEAD) or names.is_priority(above)):
        raise ConfigError("this is no task's name")
    return peek.at(directory, name)


def key_of(task_seen: Peek) -> str:
    """What the page calls a task, whatever bytes its path has."""
    return base64.urlsafe_b64encode(os.fsencode(task_seen.path)).decode()


def _path(key: str) -> str:
    try:
        data = base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise ConfigError("this is no task's key") from error
    if b"\0" in data or b".." in data.split(b"/"):
        raise ConfigError("this is no task's key")
    return os.fsdecode(data)


def told(task_seen: Peek, whole: bool = False) -> dict[str, Any]:
    """A task for the page."""
    return {"key": key_of(task_seen), **texts.as_json(task_seen, whole)}


def dead_letters(where: Places, search: str = "") -> dict[str, Any]:
    """The dead letters, the oldest first, at most so many."""
    problems: list[str] = []
    found, waiting = letters.headers(where, problems.append)
    meant = [each for each in found if not search or search.lower() in _of_letter(each)]
    return {
        "letters": [letters.told(each) for each in meant[:_LISTED]],
        "more": len(meant) > _LISTED,
        "waiting": waiting,
        "problems": problems,
    }


def _of_letter(each: Kept) -> str:
    return f"{each.id} {each.endpoint} {each.process} {each.reason}".lower()


def letter(where: Places, wanted: str) -> Kept | None:
    """The dead letter with an ID, and its message; None if it is gone."""
    found, _waiting = letters.headers(where, lambda _problem: None)
    path = next((each.path for each in found if each.id == wanted), None)
    if path is None:
        return None
    try:
        return kept.load(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the dead letter {wanted} cannot be read: {error}") from error


def message(found: Kept) -> dict[str, Any]:
    """A dead letter for the page, with the beginning of its message as text."""
    text = found.data[:_MESSAGE].decode("utf-8", "backslashreplace")
    return {**letters.told(found), "text": text, "cut": max(len(found.data) - _MESSAGE, 0)}


def log_tail(where: Places) -> dict[str, Any]:
    """The end of the log: of the file that the master's stderr is."""
    found = description.load(where)
    if found is None or not found.master.alive():
        return {"file": "", "text": "", "problem": "the bus does not run"}
    stderr = f"/proc/{found.master.pid}/fd/2"
    try:
        name = os.readlink(stderr)
        # Only a file: a terminal or a pipe is not read here, somebody else would miss it.
        if not stat.S_ISREG(os.stat(stderr).st_mode):
            return {
                "file": "",
                "text": "",
                "problem": "the log is in no file: start the bus with --log-file FILE",
            }
        with open(os.open(stderr, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - _LOG, 0))
            data = file.read(_LOG)
    except OSError as error:
        return {"file": "", "text": "", "problem": f"the log cannot be read: {error.strerror}"}
    if size > _LOG:
        data = data.partition(b"\n")[2]
    return {"file": name, "text": data.decode("utf-8", "backslashreplace"), "problem": ""}
