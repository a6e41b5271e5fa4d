"""Cancelling a task: gone at once where it waits; where it runs, asked first.

The request is a file beside the task, and the task's mode says that there may be one, as for failures: so a
task that nobody cancels costs no look. Whoever gets the lock of the task does it: a spooler that takes it,
the one that finds its process dead, or who asks. Knows files and locks, not processes.
"""

from __future__ import annotations

import os
import time

from ipcmules.spooler import attempts, claim, names, outcomes, unrun
from ipcmules.spooler.claim import Held, Refusal
from ipcmules.spooler.outcomes import CANCELLED, End

_REASON = "it was cancelled"


def request(directory: str, name: str) -> None:
    """Ask whoever runs or takes a task not to run it (again). Raises OSError, FileNotFoundError where it is
    gone."""
    path = f"{directory}/{name}"
    os.lstat(path)
    attempts.replace(names.cancel_of(path), b"")
    try:
        # After the file: who sees the mode looks for it.
        os.chmod(path, attempts.MARKED)
    except FileNotFoundError:
        _unlink(names.cancel_of(path))
        raise


def is_asked(path: str) -> bool:
    """True if somebody asked to cancel the task at path."""
    return os.path.lexists(names.cancel_of(path))


def take(directory: str, name: str) -> bool:
    """Cancel a task that nobody runs. False where somebody has its lock, or it is gone.

    Raises OSError where it cannot be removed.
    """
    path = f"{directory}/{name}"
    held = claim.take(path)
    if isinstance(held, Refusal):
        return False
    try:
        # From here on nobody runs it, however this process ends.
        request(directory, name)
        finish(directory, name, held)
    finally:
        claim.release(held)
    return True


def finish(
    directory: str, name: str, held: Held, reason: str = _REASON, state: str = CANCELLED, keep: float = 0.0
) -> None:
    """Remove a task whose lock this process has, and say that it was cancelled. Raises OSError.

    state: what else is said. keep: seconds for which that is kept, if they are more than KEEP.

    What says so is written before; on a full disk the task goes all the same.
    """
    path = held.path
    if not outcomes.is_over(directory, name):
        count = attempts.load(path).attempts if claim.tried(held.status) else 0
        try:
            keep = max(keep, unrun.keep(directory, name, held.file))
            end = End(state, time.time(), count, reason=reason)
            outcomes.write(directory, name, end, max(keep, outcomes.KEEP))
        except OSError:
            pass  # it is as if it had been removed by hand
    remove(directory, name, path)


def remove(directory: str, name: str, path: str) -> None:
    """Remove a task that is over, with what stands beside it. Raises OSError where the task cannot be."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # moved or removed by hand meanwhile
    attempts.remove(path)
    outcomes.forget(directory, names.progress_of(name))
    _unlink(names.cancel_of(path))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # swept
