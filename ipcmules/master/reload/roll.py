"""Replacing mules, spoolers and workers one after the other by processes of the template that counts now.

Each is told to finish what it holds and to leave the rest (children/replacing.py); its successor must be
ready before the next is told. Knows children and readiness; who forks the successors is the supervisor's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ipcmules.bus import log
from ipcmules.kernel import processes
from ipcmules.master.children import deaths, readiness, replacing
from ipcmules.master.children.children import Child
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects

#: How often a successor is looked at while it starts, seconds.
_LOOK = 0.01
#: How often one that was killed and is not dead is mentioned, seconds.
_WORD = 5.0
#: A successor has as long as the mercy to be ready, and at least so many seconds.
PATIENCE = 5.0


class Roll:
    """One round. ended(text) is called once: with '' when all are replaced, else with what stopped it."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        code: int,
        children: Iterable[Child],
        spawn: Callable[[Child], None],
        ended: Callable[[str], None],
        strict: bool = True,
    ) -> None:
        """code: the generation of the successors. strict: stop at the first successor that fails."""
        self.code = code
        self._loop = loop
        self._objects = objects
        self._waiting = list(children)
        self._spawn = spawn
        self._ended = ended
        self._strict = strict
        self._mercy = objects.description.config.mercy
        self._current: Child | None = None
        self._since = self._next_word = 0.0
        self._timer: Timer | None = None
        self._over = False

    def begin(self) -> None:
        """Replace the first one."""
        self._next()

    def cancel(self) -> None:
        """Replace nobody any more; who was told to end ends. ended() is not called."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def died(self, child: Child, ordinary: bool, text: str) -> None:
        """A successor died. ordinary: not in a way that would fail the bus's start."""
        if self._over or child is not self._current or child.code != self.code:
            return
        if ordinary or not self._strict:
            self._next()
        else:
            config = self._objects.description.config
            more = f" before it was ready:\n{text}" if text else " before it was ready"
            self._end(f"{readiness.describe(child, config)} {deaths.describe(child.death)}{more}")

    def _next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._waiting:
            self._end("")
            return
        self._current = self._waiting.pop(0)
        self._since = self._next_word = 0.0
        self._look()

    def _end(self, text: str) -> None:
        self.cancel()
        self._ended(text)

    def _look(self) -> None:
        child = self._current
        if self._over or child is None:
            return
        if child.pid and child.code != self.code:
            replacing.tell(self._loop, self._objects, child, deaths.RELOADED)
            self._say_if_undead(child)
        elif child.pid and readiness.is_ready(self._objects, child):
            self._next()
            return
        elif child.asked and child.code != self.code:
            self._since = 0.0  # it is waited for the template before, which answers or is replaced
        elif self._too_late():
            self._give_up(child)
            return
        elif child.resting:  # its successor will be of the new code
            self._next()
            return
        elif not child.pid:  # it may wait for its next start: that is now
            self._spawn(child)
        self._timer = self._loop.later(_LOOK, self._look)

    def _too_late(self) -> bool:
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > max(self._mercy, PATIENCE)

    def _give_up(self, child: Child) -> None:
        if self._strict:
            self._end(f"{child} of the new code was not ready within {max(self._mercy, PATIENCE):g} s")
        else:
            self._next()

    def _say_if_undead(self, child: Child) -> None:
        if child.sentence != deaths.MERCY or time.monotonic() <= self._next_word:
            return
        first, self._next_word = not self._next_word, time.monotonic() + _WORD
        if not first:
            log.event("warning", f"{child} was killed and is not dead yet: {processes.describe(child.pid)}")
