"""The start of a bus: from the template's first fork until every process is ready.

Looks at the processes' records, and says in the log what is missing where it takes long. Knows readiness;
what follows from it is the supervisor's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ipcmules.bus import log
from ipcmules.master.children import readiness
from ipcmules.master.children.children import Children
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects

#: How often the table is looked at while the bus starts, seconds. Never afterwards.
_LOOK = 0.005
#: When a start that takes long is mentioned, seconds.
_FIRST_WORD, _NEXT_WORD = 10.0, 30.0
#: So many of the processes that are not ready are named.
_NAMED = 10


class Start:
    """That of one bus."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        children: Children,
        loading: Callable[[], bool],
        ready: Callable[[], None],
        began: float,
    ) -> None:
        """loading() tells whether the app is being loaded; ready() is called once, when all are ready.

        began: time.monotonic() of the master's own start.
        """
        self._loop = loop
        self._objects = objects
        self._children = children
        self._loading = loading
        self._ready = ready
        self._began = began
        self._given_up = False
        self._word: Timer | None = None
        #: True from when every process was ready, for ever.
        self.done = False

    def begin(self) -> None:
        """The template has been started."""
        self._word = self._loop.later(_FIRST_WORD, self._say_what_is_missing)

    def watch(self) -> None:
        """All processes have been asked for: wait until they are ready."""
        if self._given_up or self.done:
            return
        for child in self._children:
            child.ready = child.ready or readiness.is_ready(self._objects, child)
        if not all(child.ready for child in self._children):
            self._loop.later(_LOOK, self.watch)
            return
        self.done = True
        if self._word is not None:
            self._word.cancel()
        self._ready()

    def give_up(self) -> None:
        """The bus ends: nobody waits any more."""
        self._given_up = True

    def report(self) -> dict[str, Any]:
        """What the launcher or the embedding program is told, once it is done."""
        config = self._objects.description.config
        return {
            "ready": True,
            "pid": os.getpid(),
            "mules": len(config.mules),
            "workers": config.processes,
            "spoolers": len(config.spooler_directories),
            "seconds": time.monotonic() - self._began,
        }

    def _say_what_is_missing(self) -> None:
        if self.done or self._given_up:
            return
        what = "the app to load" if self._loading() else self._missing()
        log.event("warning", f"starting for {time.monotonic() - self._began:.0f} s, still waiting for {what}")
        self._word = self._loop.later(_NEXT_WORD, self._say_what_is_missing)

    def _missing(self) -> str:
        waiting = [str(child) for child in self._children if not child.ready]
        return ", ".join(waiting[:_NAMED]) + (" ..." if len(waiting) > _NAMED else "")
