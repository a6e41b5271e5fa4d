"""Signals of the cluster that are for this host: each is raised here at its target, and then acknowledged.

A raise never blocks, so one is taken after the other. Once it is in the bus's table it is this host's, as
every signal is that was raised here. Knows the engine, the table and the raiser.
"""

from __future__ import annotations

import asyncio

from ipcmules.bus import log
from ipcmules.bus.layout import SIGNALS
from ipcmules.bus.table import E_HANDLER, E_STAMP, E_TARGET, H_STATE, READY
from ipcmules.carrier.engine import Engine, Raised, Taken, Taker
from ipcmules.errors import IpcMulesError
from ipcmules.member.membership import Membership

#: Until the bus is ready, and after trouble, seconds.
_PAUSE = 0.1


class Signals:
    """Takes them until stop()."""

    def __init__(self, member: Membership, engine: Engine) -> None:
        self._member = member
        self._engine = engine
        self._tasks: list[asyncio.Task[None]] = []
        self._said: set[Raised] = set()

    def begin(self) -> None:
        """Take what comes, once the bus is ready: its app has registered handlers then."""
        self._tasks = [asyncio.ensure_future(self._run(each)) for each in self._engine.signal_takers()]

    def stop(self) -> None:
        """Take nothing more."""
        for each in self._tasks:
            each.cancel()

    async def _run(self, taker: Taker) -> None:
        while True:
            try:
                while self._member.table.cells[H_STATE] != READY:
                    await asyncio.sleep(_PAUSE)
                taken = await taker.take()
                if taken is not None:
                    await self._take(taken)
            except Exception:
                log.exception("taking a signal of the cluster:")
                await asyncio.sleep(_PAUSE)

    async def _take(self, taken: Taken) -> None:
        if self._member.table.cells[H_STATE] != READY:
            await self._engine.back(taken.token)
            return
        raised = self._engine.raised(taken)
        if raised is None:
            log.event(
                "error", f"a signal of the cluster is none: {taken.body[:100]!r}; is it another version's?"
            )
        else:
            try:
                self._raise(raised)
            except (IpcMulesError, OSError) as error:
                log.event(
                    "warning", f"signal {raised.signal} of the cluster cannot be raised here yet: {error}"
                )
                await self._engine.back(taken.token)
                await asyncio.sleep(_PAUSE)
                return
        await self._engine.done(taken.token)

    def _raise(self, raised: Raised) -> None:
        number = self._number(raised)
        if number is not None and self._member.raiser.raise_here(number, raised.processes):
            return
        if raised not in self._said:
            self._said.add(raised)
            why = "its app has no such handler" if number is None else "it names nobody on this bus"
            text = f"signal {raised.signal} to {raised.target!r}, handled by {raised.handler}()"
            log.event("warning", f"{text}, is dropped on this host: {why} (said once)")

    def _number(self, raised: Raised) -> int | None:
        """The number that this bus has for the registration: that of the host which raised it, as a rule."""
        numbers = (raised.signal, *range(SIGNALS))
        return next((number for number in numbers if self._is(number, raised)), None)

    def _is(self, number: int, raised: Raised) -> bool:
        table = self._member.table
        texts = table.text(number, E_TARGET), table.text(number, E_HANDLER)
        return bool(table.cells[table.entry(number) + E_STAMP]) and texts == (raised.target, raised.handler)
