"""What people do to single tasks that they look at: run them again or now, drop them.

Knows files and locks; runs nothing.
"""

from __future__ import annotations

import os

from ipcmules.spooler import attempts, claim, dead_tasks, directory, peek
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.peek import Peek


def retry(task: Peek) -> str:
    """Have a task run now, with no failures; returns why that cannot be, or ""."""
    if task.pid:
        return _runs(task.pid)
    if task.end is not None:
        return f"it is over ({task.state}): call its function again"
    try:
        directory.check(task.directory)
        directory.check_below(task.directory, os.path.dirname(task.name))
        if task.state == peek.DEAD:
            dead_tasks.restore(task.directory, os.path.basename(task.name))
            return ""
        attempts.remove(task.path)
        os.chmod(task.path, 0o600)
        os.utime(task.path)  # also seen by the bus that watches the directory
    except OSError as error:
        return f"it cannot be run again: {error.strerror or error}"
    return ""


def drop(task: Peek) -> str:
    """Remove a task; returns why that cannot be, or ""."""
    try:
        if task.state == peek.DEAD:
            dead_tasks.drop(task.directory, os.path.basename(task.name))
            return ""
        if task.end is not None:
            os.unlink(task.path)
            return ""
        held = claim.take(task.path)
        if isinstance(held, Refusal):
            return _runs(task.pid) if held.why == claim.BUSY else held.reason or "it is gone"
        try:
            os.unlink(task.path)
            attempts.remove(task.path)
        finally:
            claim.release(held)
    except OSError as error:
        return f"it cannot be removed: {error.strerror}"
    return ""


def _runs(pid: int) -> str:
    who = f" (pid {pid})" if pid > 0 else ""
    return f"a process has it{who}, which runs or writes it: wait, or stop that process"
