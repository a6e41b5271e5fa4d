"""Chains and groups of the cluster: told of the ends of their parts, cancelled with them, and forgotten.

A whole waits as a task that is put off. Whose part was the last of its stage to end brings it forward; where
such a word is lost the whole looks by itself, at its time. Knows the engine alone; how a whole goes on says
spooler/flows.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from ipcmules.carrier.engine import Away
from ipcmules.carrier.tasks.values import Stored, Superseded, TaskEngine
from ipcmules.spooler import codec, flow_files, outcomes
from ipcmules.spooler.flow_files import State

#: One try to bring a whole forward, seconds; it may move so often meanwhile.
_TRY, _MOVES = 10.0, 5
#: So many parts are cancelled at once.
_TOGETHER = 16
_NAME = flow_files.NAME.encode()


def kin_of(data: bytes) -> tuple[bool, str]:
    """Of a task: whether it is a chain or group, and whose part it is, '' for none."""
    if _NAME not in data and flow_files.KEY not in data:
        return False, ""
    try:
        arguments, _end = codec.unpack(data)
    except codec.Malformed:
        return False, ""
    return flow_files.kin(arguments)


class Flows:
    """Of the spoolers that a host knows."""

    def __init__(self, engine: TaskEngine, host: str) -> None:
        self._engine = engine
        self._host = host
        #: By spooler: told that a whole is to be run again; False where it is not here.
        self.here: dict[str, Callable[[str], bool]] = {}
        #: Cancels a task.
        self.cancel: Callable[[str, str], Awaitable[object]]

    # A part is over

    async def over(self, spooler: str, part: str, whole: str, succeeded: bool) -> None:
        """A part is over: after the last one, or one that did not succeed, the whole is run."""
        with contextlib.suppress(Away):  # the whole looks by itself, too
            if not succeeded or await self._was_last(spooler, part, whole):
                await self._wake(spooler, whole)

    async def _was_last(self, spooler: str, part: str, whole: str) -> bool:
        """True if the other parts of the stage are over, too.

        Each part looks at others, far from each other, up to the first that is not over, which will look
        itself. So all of them together look at few times as many as there are, also where those beside one
        another end one after the other.
        """
        state, place = await self._state(spooler, whole), flow_files.place_of(part)
        if state is None or place is None or place[0] != state.stage:
            return False
        if not state.written:
            return False  # who writes the parts looks at them after that
        count = state.sizes[state.stage]
        stride = _stride(count)
        for step in range(1, count):
            other = flow_files.part_name(whole, state.stage, (place[1] + step * stride) % count)
            end = await self._engine.state(spooler, other)
            if end is None or end.what != "ended":
                return False
        return True

    async def _state(self, spooler: str, whole: str) -> State | None:
        data, _version = await self._engine.flow(spooler, whole)
        return flow_files.parsed(data)

    async def wake(self, spooler: str, whole: str) -> None:
        """Have a whole run now, or again after who runs it now."""
        with contextlib.suppress(Away):
            await self._wake(spooler, whole)

    async def _wake(self, spooler: str, whole: str) -> None:
        for _move in range(_MOVES):
            task = await self._engine.find(spooler, whole)
            if task is None or self._is_told_here(spooler, whole):
                return
            state = await self._engine.state(spooler, whole)
            if state is not None and state.what == "runs" and state.place == task.place:
                if state.host != self._host:
                    await self._engine.tell(state.host, {"do": "wake", "of": spooler, "name": whole})
                    return
            elif task.due <= time.time():
                return  # it is to be run already
            if await self._bring_forward(task):
                return

    def _is_told_here(self, spooler: str, whole: str) -> bool:
        told = self.here.get(spooler)
        return told is not None and told(whole)

    async def _bring_forward(self, task: Stored) -> bool:
        now = replace(task, due=0.0, record=task.record._replace(wait=0.0))
        try:
            await self._engine.put_back(now, _TRY)
        except Superseded:
            return False
        await self._engine.remove(task)
        return True

    # A whole is over

    async def forget(self, spooler: str, whole: str) -> None:
        """It has succeeded, or is gone: nobody asks for its parts any more."""
        with contextlib.suppress(Away):  # the servers forget it by themselves, later
            state = await self._state(spooler, whole)
            if state is not None:
                await self._engine.forget_flow(spooler, whole, state.all_parts())

    async def cancel_parts(self, spooler: str, whole: str) -> None:
        """It was cancelled: its parts that wait are, too; those that run are asked. Raises Away."""
        state = await self._state(spooler, whole)
        if state is None:
            return
        parts = state.parts(state.stage)
        for start in range(0, len(parts), _TOGETHER):
            await asyncio.gather(*(self.cancel(spooler, each) for each in parts[start : start + _TOGETHER]))
        await self._engine.forget_flow(spooler, whole, ())

    # What is said of it

    async def progress(self, spooler: str, whole: str) -> dict[str, Any] | None:
        """How far it is, as a task says it."""
        data, _version = await self._engine.flow(spooler, whole)
        state = flow_files.parsed(data)
        if state is None:
            return None
        about = json.loads(data)
        return {
            "done": state.stage,
            "total": len(state.sizes),
            "note": about.get("titles", ""),
            "time": about.get("time", 0.0),
        }


def _stride(count: int) -> int:
    """By which all of so many are come to, each far from those before: about the golden section of them."""
    found = max(1, round(count * 0.618))
    while math.gcd(found, count) != 1:
        found += 1
    return found


def has_succeeded(data: bytes) -> bool:
    """True if what is said of a task's end is that it succeeded."""
    end = outcomes.parsed(data)
    return end is not None and end.state == outcomes.SUCCEEDED
