"""The spooler's names of the uwsgi module, which exist where the bus has a spooler.

Results are bytes where uWSGI's are. The work is done by the public functions of ipcmules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ipcmules
from ipcmules import wire
from ipcmules.compat import state
from ipcmules.errors import ConfigError
from ipcmules.listener import pickles
from ipcmules.listener.requests import read_key


def spool(message: dict[Any, Any] | None = None, /, **keywords: Any) -> bytes:
    """Enqueue a task; the path of its file as bytes (b"" where another server took it)."""
    task = {**(message or {}), **keywords}
    spooler = task.get("spooler", task.get(b"spooler"))
    where = os.fsdecode(spooler) if isinstance(spooler, (bytes, str)) else ""
    if ":" in where and not where.startswith("/"):
        return _spool_over_the_wire(task, where)
    return os.fsencode(_native("spool")(task))


send_to_spooler = spool


def _spool_over_the_wire(task: dict[Any, Any], address: str) -> bytes:
    rest = {key: value for key, value in task.items() if key not in ("spooler", b"spooler")}
    if "body" in rest or b"body" in rest:
        raise ConfigError("a body cannot travel over a socket: put it into a key, or spool into a directory")
    variables = wire.as_variables(rest)
    found = state.config()
    if found is not None and found.socket_key_file:
        variables = pickles.sign(variables, read_key(found.socket_key_file))
    wire.send_task(variables, address)
    return b""


def spooler_jobs() -> list[bytes]:
    """The paths of the tasks that wait."""
    return [os.fsencode(each) for each in _native("spooler_jobs")()]


def spooler_pid() -> int:
    """The pid of the first spooler."""
    return int(_native("spooler_pid")())


def spooler_pids() -> list[int]:
    """The pids of all spoolers."""
    return list(_native("spooler_pids")())


def spooler_get_task(task_path: str | bytes, /) -> dict[Any, Any] | None:
    """The content of a task's file."""
    found: dict[Any, Any] | None = _native("spooler_get_task")(task_path)
    return found


def set_spooler_frequency(frequency: int, /) -> bool:
    """How often spoolers look at their directories, in seconds."""
    _native("set_spooler_frequency")(frequency)
    return True


def _native(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(ipcmules, name, None)
    if found is None:
        raise NotImplementedError(f"uwsgi.{name}(): this version of ipcmules has no {name}")
    return found
