"""The spooler's names of the uwsgi module, which exist where the bus has a spooler.

Results are bytes where uWSGI's are. The work is done by the public functions of ipcmules.
"""

from __future__ import annotations

import os
from typing import Any

from ipcmules.api import spoolers, tasks


def spool(message: dict[Any, Any] | None = None, /, **keywords: Any) -> bytes:
    """Enqueue a task; the path of its file as bytes (b"" where another server took it)."""
    return os.fsencode(tasks.spool(message, **keywords))


send_to_spooler = spool


def spooler_jobs() -> list[bytes]:
    """The paths of the tasks that wait."""
    return [os.fsencode(each) for each in spoolers.spooler_jobs()]


def spooler_pid() -> int:
    """The pid of the first spooler."""
    return spoolers.spooler_pid()


def spooler_pids() -> list[int]:
    """The pids of all spoolers."""
    return list(spoolers.spooler_pids())


def spooler_get_task(task_path: str | bytes, /) -> dict[Any, Any] | None:
    """The content of a task's file; spooler_task_name is here the path that was asked for, as there."""
    found = spoolers.spooler_get_task(task_path)
    return None if found is None else {**found, "spooler_task_name": os.fsencode(task_path)}


def set_spooler_frequency(frequency: int, /) -> bool:
    """How often spoolers look at their directories, in seconds."""
    if not isinstance(frequency, int):
        raise TypeError(f"set_spooler_frequency() argument 1 must be int, not {type(frequency).__name__}")
    spoolers.set_spooler_frequency(frequency)
    return True
