"""What was before a task that is taken: another host had it, it was put back since, or it is none at all.

Knows the engine alone.
"""

from __future__ import annotations

import time

from ipcmules.bus import log
from ipcmules.carrier.engine import Away
from ipcmules.carrier.tasks.values import Delivery, Stored, TaskEngine
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import names
from ipcmules.spooler.attempts import Record


class Before:
    """Of the tasks of one spooler. deadline: seconds, after which a host counts as dead."""

    def __init__(self, engine: TaskEngine, spooler: str, deadline: float) -> None:
        self._engine = engine
        self._spooler = spooler
        self._deadline = deadline

    async def is_old(self, task: Stored) -> bool:
        """True if it was put back, by a host that died before it could end this version."""
        try:
            found = await self._engine.find(self._spooler, task.name)
        except Away:
            return False
        return found is not None and found.place != task.place

    async def end(self, task: Stored) -> bytes | None:
        """What was told of its end, by a host that died before it could remove this version, or that was
        overtaken; None for nothing. For a task of which that is kept long enough."""
        try:
            state = await self._engine.state(self._spooler, task.name)
        except Away:
            return None
        return state.data if state is not None and state.what == "ended" else None

    async def failures(self, task: Stored) -> Record:
        """Its failures, where a host had it before: one more, unless that handed it back."""
        try:
            state = await self._engine.state(self._spooler, task.name)
        except Away:
            return task.record
        if state is None or state.what != "runs" or state.place != task.place:
            return task.record
        reason = f"host {state.host} died, or was not heard of for {self._deadline:g} s, while it had it"
        log.event("warning", f"task {for_people(task.name)}: {reason}: it runs here")
        record = state.record
        return Record(record.attempts + 1, record.returned, time.time(), 0.0, reason)

    async def bury_nonsense(self, delivery: Delivery) -> None:
        """It makes no sense: it is dead."""
        record = Record(time=time.time(), reason="this is no task of this version of ipcmules")
        task = Stored(self._spooler, names.new_name(), delivery.data, record=record, place=delivery.place)
        await self._engine.bury(task)
        await self._engine.done(delivery.token)
