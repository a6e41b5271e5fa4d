"""What is paused of spoolers of the cluster on all hosts: a note of the cluster's, and a file here says so.

The file is what spoolers of this host read, as for every directory. Knows the engine and that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipcmules.bus import log
from ipcmules.carrier.engine import Away
from ipcmules.carrier.tasks.values import PAUSED, Superseded, TaskEngine
from ipcmules.cluster.tasks import HAND
from ipcmules.spooler import pauses

#: Who is overtaken by another host tries again, so often.
_TRIES = 10


class Pausing:
    """directories: of the spoolers that this bus knows, by name."""

    def __init__(self, engine: TaskEngine, directories: Mapping[str, str]) -> None:
        self._engine = engine
        self._directories = directories
        engine.on_pauses(self._heed)

    def _heed(self, spooler: str, text: bytes) -> None:
        try:
            pauses.set_everywhere(f"{self._directories[spooler]}/{HAND}", pauses.loaded(text))
        except OSError as error:
            log.event("error", f"what is paused of spooler {spooler!r} cannot be written: {error}")

    async def answer(self, question: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        """Pause all, or the tasks of a function, or resume them. Raises Away, Refused."""
        spooler, function = question["of"], question["function"]
        for _ in range(_TRIES):
            text, place = await self._engine.note(spooler, PAUSED)
            new = pauses.changed(pauses.loaded(text), function, bool(question["paused"]))
            if new is None:
                return {"said": "paused", "changed": False}, b""
            try:
                await self._engine.set_note(spooler, PAUSED, pauses.dumped(new), place)
            except Superseded:
                continue
            self._heed(spooler, pauses.dumped(new))
            return {"said": "paused", "changed": True}, b""
        raise Away("other hosts pause and resume it at the same time")

    async def of(self, spooler: str) -> list[str]:
        """What is paused: functions, '*' for everything."""
        text, _place = await self._engine.note(spooler, PAUSED)
        found = pauses.loaded(text)
        return [*(["*"] if found.everything else []), *sorted(found.functions)]
