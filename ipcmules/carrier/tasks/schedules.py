"""What spoolers ask about tasks that come by themselves. A schedule's state is a note of the cluster's, which
is replaced only by who has read it.

Knows the engine; what is in a state the spoolers say (spooler/clustered_schedules.py), but for the last
task's name.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from ipcmules.carrier.tasks.values import Stored, Superseded, TaskEngine
from ipcmules.spooler import schedules, standing

Answer = tuple[dict[str, Any], bytes]

#: One try to tell the cluster, seconds.
_TRY = 5.0
_OVERTAKEN: Answer = {"said": "overtaken"}, b""


class Schedules:
    """Of the spoolers that this bus knows."""

    def __init__(
        self, engine: TaskEngine, find: Callable[[dict[str, Any], bytes], Awaitable[Answer]]
    ) -> None:
        """find: answers how a task stands."""
        self._engine = engine
        self._find = find
        #: The spoolers of this host ask at the same moment: one after the other they get in nobody's way.
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.answers = {
            "schedule": self._alone(self._look),
            "schedule-set": self._alone(self._set),
            "schedule-store": self._alone(self._store),
        }

    def _alone(
        self, answer: Callable[[dict[str, Any], bytes], Awaitable[Answer]]
    ) -> Callable[[dict[str, Any], bytes], Awaitable[Answer]]:
        async def alone(question: dict[str, Any], body: bytes) -> Answer:
            async with self._locks[question["of"], question["key"]]:
                return await answer(question, body)

        return alone

    async def _look(self, question: dict[str, Any], _body: bytes) -> Answer:
        text, place = await self._engine.note(question["of"], _about(question))
        state = schedules.loaded(text)
        is_over = state is None or not state.task or await self._is_over(question["of"], state.task)
        return {"said": "schedule", "place": place, "over": is_over}, text

    async def _set(self, question: dict[str, Any], body: bytes) -> Answer:
        try:
            place = await self._engine.set_note(
                question["of"], _about(question), body, int(question["place"])
            )
        except Superseded:
            return _OVERTAKEN
        return {"said": "set", "place": place}, b""

    async def _store(self, question: dict[str, Any], body: bytes) -> Answer:
        """Store the task that a state names, and then put another state in its place."""
        spooler, name = question["of"], question["name"]
        # Who was stopped for long comes with a task that has run since.
        _text, place = await self._engine.note(spooler, _about(question))
        if place != int(question["place"]):
            return _OVERTAKEN
        status, ended = await self._find({"of": spooler, "name": name}, b"")
        if status["status"] == standing.UNKNOWN and not ended:
            await self._engine.store(Stored(spooler, name, body), _TRY)
        return await self._set(question, question["then"].encode())

    async def _is_over(self, spooler: str, name: str) -> bool:
        found, _end = await self._find({"of": spooler, "name": name}, b"")
        return found["status"] in standing.OVER


def _about(question: dict[str, Any]) -> str:
    return f"schedule~{question['key']}"
