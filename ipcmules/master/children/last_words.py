"""Asking a process for its last words, the Python stacks of its threads (process/stacks.py). It dies of that.

Knows the loop and the signal. Waits a second at most: the process may be stopped, or not listening.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ipcmules.kernel import kill
from ipcmules.master.loop.selector import Loop
from ipcmules.process.stacks import ASK

#: How often the answer is looked at, and how long at most, seconds.
_LOOK, _PATIENCE = 0.02, 1.0


class Question:
    """One process that was asked. answered(text) is called once, with '' if it said nothing."""

    def __init__(self, loop: Loop, pid: int, path: str, answered: Callable[[str], None]) -> None:
        """pid: a child that was not waited for; when it ends, call ended()."""
        self._loop = loop
        self._path = path
        self._answered = answered
        self._over = False
        self._deadline = time.monotonic() + _PATIENCE
        try:
            # Whoever made the file listens. Any other process just ends, which is what is wanted in the end.
            os.truncate(path, 0)
            if not kill.send_to_child(pid, ASK):
                self._deadline = 0.0
        except FileNotFoundError:
            self._deadline = 0.0
        loop.later(_LOOK, self._look)

    def ended(self) -> None:
        """The process has ended: what it said is all there."""
        if not self._over:
            self._over = True
            self._answered(self._read())

    def _look(self) -> None:
        if self._over:
            return
        if time.monotonic() >= self._deadline:
            self.ended()
        else:
            self._loop.later(_LOOK, self._look)

    def _read(self) -> str:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                return file.read().rstrip()
        except OSError:
            return ""
