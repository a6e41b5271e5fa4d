"""Tasks of the cluster that come by themselves: one a tick, whichever hosts live.

What stands in a file for a directory of this host (schedules.py) stands in the cluster: who writes it says
which state it has read, and is refused where that is another one by now. The task's name is in the state
before the task is stored, so whoever goes on stores it under that name. Asks the carrier, and never waits
long for it: a spooler has other work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.cluster import client
from ipcmules.errors import SpoolError
from ipcmules.spooler import clustered, keyed, schedules
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.schedules import Ticks

#: The carrier answers within so many seconds, or it is asked again.
_PATIENCE = 2.0
#: After so many tries in vain it is said, and tried less often: at a start the carrier is a bit later.
_QUIET, _AGAIN = 5, 1.0
#: The clocks of two hosts are not farther apart, seconds: else one of them was set back.
_APART = 60.0
#: Who is overtaken by another host looks again at once, so often.
_LOOKS = 3


class ClusterTicker(Ticks):
    """Has the tasks stored that are due in a spooler of the cluster."""

    def __init__(self, where: Places, spooler: str, functions: Iterable[SpoolFunction]) -> None:
        super().__init__(functions)
        self._where = where
        self._spooler = spooler
        self._in_vain = 0

    def _succeeded(self) -> None:
        self._in_vain = 0

    def _failed(self, function: SpoolFunction, now: float, error: Exception) -> float:
        self._in_vain += 1
        if self._in_vain == _QUIET:
            schedules.say_trouble(function, error)
        return now + (_AGAIN if self._in_vain < _QUIET else schedules.TROUBLE)

    def _look(self, function: SpoolFunction, now: float, is_first: bool, found: list[str]) -> float:
        for _ in range(_LOOKS):
            after = self._go_on(function, now, is_first)
            if after is not None:
                return after
        raise OSError("other hosts write it all the time")

    def _go_on(self, function: SpoolFunction, now: float, is_first: bool) -> float | None:
        """When to look again; None where another host was first."""
        schedule, key = schedules.schedule_of(function), keyed.digest(function.whole)
        told, text = self._ask({"do": "schedule", "key": key})
        old, place, is_over = schedules.loaded(text), int(told["place"]), bool(told["over"])
        state = schedules.following(old, schedule, now, is_first, lambda _task: is_over, _APART)
        if state is None:
            return now + schedules.OTHER
        if state != old:
            head = {"do": "schedule-set", "key": key, "place": place}
            told, _ = self._ask(head, schedules.dumped(state, function.whole))
            if told["said"] == "overtaken":
                return None
            place = int(told["place"])
        if not state.pending:
            return state.next
        task, after = b"".join(schedules.packed(function)), schedules.done(state, schedule, now)
        head = {"do": "schedule-store", "key": key, "place": place, "name": state.task}
        head["then"] = schedules.dumped(after, function.whole).decode()
        told, _ = self._ask(head, task)
        return None if told["said"] == "overtaken" else after.next

    def _ask(self, head: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Raises OSError where the carrier, or the cluster, does not answer, or refuses."""
        told, data = client.ask(self._where, {**head, "of": self._spooler}, body, _PATIENCE)
        if told["said"] in ("away", "refused"):
            raise OSError(told["why"])
        return told, data


def able(functions: Iterable[SpoolFunction]) -> list[SpoolFunction]:
    """Those whose tasks may be the cluster's; of the others the log says why not."""
    found = []
    for each in functions:
        try:
            clustered.check(*schedules.packed(each))
        except SpoolError as error:
            log.event("error", f"tasks of {each.name}() do not come by themselves: {error}")
        else:
            found.append(each)
    return found
