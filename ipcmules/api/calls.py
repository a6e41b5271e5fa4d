"""What the flat functions share: a checked timeout, the end of a bus under a call, a signal's handler."""

from __future__ import annotations

from typing import Any

from ipcmules.errors import BusStopped
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership


def checked_timeout(timeout: Any) -> float:
    """A timeout in seconds, or ValueError."""
    if isinstance(timeout, (int, float)) and timeout >= 0:
        return timeout
    raise ValueError(f"timeout={timeout!r}: give seconds, 0 or more, or None to wait for ever")


def after_stop(what: str, timeout: float | None) -> None:
    """The bus ended under a call, which had no effect: join its successor if there is one.

    what: for the error, what to do again. timeout: seconds to wait for a successor that is being made.
    Raises BusStopped if there is none.
    """
    member = membership.peek()
    where = member.where if member is not None else None
    membership.leave()
    if where is None:
        return
    try:
        membership.rejoin(where, timeout)
    except BusStopped as error:
        raise BusStopped(f"{error}: {what} again when the bus is back") from error


def run_signal(shared: int, unregistered: str = "log") -> None:
    """Run the handler of a shared signal number here."""
    # Imported when the first signal comes: a process that only sends does not need it.
    with importing:
        from ipcmules.process import dispatch

    dispatch.run_signal(shared, unregistered)
