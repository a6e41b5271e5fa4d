"""Tasks that were given up, in dead/, and beside each a JSON file that says why (names.reason_of()).

A task that is moved back by hand (mv dead/NAME .) is a task again. Nothing here is ever removed but by
the user.
"""

from __future__ import annotations

import json
import os
import stat
import time
from typing import Any, NamedTuple

from ipcmules.spooler import attempts, names
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.directory import check_below


class Grave(NamedTuple):
    """What is known of a task that was given up."""

    name: str  #: in dead/
    priority: str  #: the subdirectory it came from, "" for none
    record: Record


def bury(directory: str, name: str, record: Record) -> str:
    """Move a task, which the caller has the lock of, to dead/; returns its path there. Raises OSError.

    The reason is written first, so that no task is there without; a full disk leaves it out.
    """
    where = os.path.join(directory, names.DEAD)
    os.makedirs(where, mode=0o700, exist_ok=True)
    check_below(directory, names.DEAD)
    priority, bare = os.path.split(name)
    target = _free(os.path.join(where, bare))
    about = {"priority": priority, "buried": time.time(), **record._asdict()}
    try:
        attempts.replace(names.reason_of(target), json.dumps(about).encode())
    except OSError:
        pass
    old = os.path.join(directory, name)
    # Says to whoever has opened the file already that it was renamed; the bit means nothing (inode(7)).
    os.chmod(old, stat.S_IMODE(os.lstat(old).st_mode) ^ stat.S_ISVTX)
    os.rename(old, target)
    attempts.remove(old)
    return target


def listing(directory: str) -> list[str]:
    """The names in dead/, oldest first."""
    try:
        found = [each for each in os.listdir(os.path.join(directory, names.DEAD)) if names.is_task(each)]
    except OSError:
        return []
    return sorted(found, key=_order)


def read(directory: str, name: str) -> Grave:
    """What is known of the task dead/NAME; an empty record where nothing is."""
    try:
        with open(os.path.join(directory, names.DEAD, names.reason_of(name)), encoding="utf-8") as file:
            data: dict[str, Any] = json.load(file)
        values = {key: type(default)(data[key]) for key, default in attempts.NONE._asdict().items()}
        priority = str(data["priority"])
        return Grave(name, priority if names.is_priority(priority) else "", Record(**values))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Grave(name, "", attempts.NONE)


def restore(directory: str, name: str) -> str:
    """Make dead/NAME a task again, due now and with no failures; returns its name.

    Raises OSError, AccessError (which is one) for a directory that others can write to.
    """
    check_below(directory, names.DEAD)
    grave = read(directory, name)
    old = os.path.join(directory, names.DEAD, name)
    os.chmod(old, 0o600)
    os.utime(old)
    if grave.priority:
        os.makedirs(os.path.join(directory, grave.priority), mode=0o750, exist_ok=True)
        check_below(directory, grave.priority)
    back = os.path.join(grave.priority, name)
    os.rename(old, _free(os.path.join(directory, back)))
    _forget(old)
    return back


def drop(directory: str, name: str) -> None:
    """Remove dead/NAME for good. Raises OSError."""
    path = os.path.join(directory, names.DEAD, name)
    os.unlink(path)
    _forget(path)


def _forget(path: str) -> None:
    try:
        os.unlink(names.reason_of(path))
    except OSError:
        pass


def _free(path: str) -> str:
    """path, or where there is such a file already (copied by hand) a name like it."""
    number, free = 0, path
    while os.path.lexists(free):
        number += 1
        free = f"{path}.{number}"
    return free


def _order(name: str) -> tuple[int, str]:
    return names.fifo_key(name) or 0, name
