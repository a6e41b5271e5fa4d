"""What the flat functions share: a checked timeout, the end of a bus under a call, a signal's handler."""

from __future__ import annotations

import time
from collections.abc import Callable
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


def over_stops(call: Callable[[float | None], bool | None], what: str, timeout: float | None) -> bool | None:
    """The result of a call, which is made again on the next bus of the name where this one stops.

    what: for the error where there is none, as of after_stop().
    """
    began = time.monotonic()
    while True:
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        try:
            return call(left)
        except BusStopped:
            after_stop(what, left)


def run_signal(shared: int, unregistered: str = "log") -> None:
    """Run the handler of a shared signal number here."""
    # Imported when the first signal comes: a process that only sends does not need it.
    with importing:
        from ipcmules.process import dispatch

    dispatch.run_signal(shared, unregistered)
