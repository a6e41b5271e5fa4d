"""What a spooler here that runs a chain or group of the cluster asks (spooler/flow_cluster.py).

Knows the engine alone.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ipcmules.carrier.tasks.values import Stored, Superseded, TaskEngine
from ipcmules.spooler import outcomes, standing

Answer = tuple[dict[str, Any], bytes]

#: One try to store a part, seconds; so many parts are looked at at once.
_TRY, _TOGETHER = 5.0, 32


class FlowAnswers:
    """Of the spoolers that a host knows."""

    def __init__(self, engine: TaskEngine) -> None:
        self._engine = engine
        self.answers = {
            "flow": self._flow,
            "flow-save": self._save,
            "flow-parts": self._parts,
            "flow-put": self._put,
            "flow-end": self._value,
        }

    async def _flow(self, question: dict[str, Any], _body: bytes) -> Answer:
        data, version = await self._engine.flow(question["of"], question["name"])
        return {"said": "flow", "version": version}, data

    async def _save(self, question: dict[str, Any], body: bytes) -> Answer:
        before = int(question["version"])
        try:
            version = await self._engine.save_flow(question["of"], question["name"], body, before)
        except Superseded:
            return {"said": "overtaken"}, b""
        return {"said": "saved", "version": version}, b""

    async def _put(self, question: dict[str, Any], body: bytes) -> Answer:
        await self._engine.store(Stored(question["of"], question["name"], body), _TRY)
        return {"said": "stored"}, b""

    async def _value(self, question: dict[str, Any], _body: bytes) -> Answer:
        state = await self._engine.state(question["of"], question["name"])
        return {"said": "end"}, state.data if state is not None and state.what == "ended" else b""

    async def _parts(self, question: dict[str, Any], body: bytes) -> Answer:
        parts: list[str] = json.loads(body)
        found: list[tuple[str, str]] = []
        for start in range(0, len(parts), _TOGETHER):
            looks = (self._standing(question["of"], each) for each in parts[start : start + _TOGETHER])
            found += await asyncio.gather(*looks)
        return {"said": "parts"}, json.dumps(found).encode()

    async def _standing(self, spooler: str, part: str) -> tuple[str, str]:
        """How a part stands, and why it failed. In an order in which nothing that is there can be missed."""
        end = await self._end(spooler, part)
        if end is not None:
            return end
        if await self._engine.find(spooler, part) is not None:
            return standing.WAITING, ""
        dead = await self._engine.find_dead(spooler, part)
        if dead is not None:
            return standing.DEAD, dead.record.reason
        return await self._end(spooler, part) or (standing.UNKNOWN, "")

    async def _end(self, spooler: str, part: str) -> tuple[str, str] | None:
        state = await self._engine.state(spooler, part)
        end = outcomes.parsed(state.data) if state is not None and state.what == "ended" else None
        return None if end is None else (end.state, end.reason)
