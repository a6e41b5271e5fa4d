"""The end of a bus's processes: first those that give work, then the mules, then whoever did not go.

The command and the workers get SIGTERM first; when they are gone, or half of the mercy is over, the mules
get it and drain their queues; when the mercy is over everybody gets SIGKILL.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from ipcmules import log
from ipcmules.master.children import Child, Children
from ipcmules.master.loop import Loop

#: How long a command that was interrupted (Ctrl-C) may take before it gets SIGTERM too, seconds.
_AFTER_INTERRUPT = 2.0


class Stop:
    """A stop under way. The supervisor tells it of deaths; pids are asked for when they are needed."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        template: Callable[[], int],
        command: Callable[[], int],
        mercy: float,
    ) -> None:
        self._loop = loop
        self._children = children
        self._template = template
        self._command = command
        self._mercy = mercy
        self._mules_told = False
        self._killing = False

    def begin(self, interrupted: bool) -> None:
        """Send the first signals and set the deadlines.

        interrupted: the command has had a SIGINT of its own, and gets the time to act on it.
        """
        if interrupted:
            self._loop.later(
                min(_AFTER_INTERRUPT, self._mercy), lambda: _send(self._command(), signal.SIGTERM)
            )
        else:
            _send(self._command(), signal.SIGTERM)
        for child in self._children.running("worker"):
            _send(child.pid, signal.SIGTERM)
        self._loop.later(self._mercy / 2, self._tell_mules)
        self._loop.later(self._mercy, self._mercy_is_over)
        self.check()

    def check(self) -> None:
        """Somebody has ended: go on if nobody is left that gives work."""
        if not self._command() and not self._children.running("worker"):
            self._tell_mules()

    def joined(self, child: Child) -> None:
        """A process that was being forked when the stop began is there now."""
        if self._killing:
            _send(child.pid, signal.SIGKILL)
        elif self._mules_told or child.role == "worker":
            _send(child.pid, signal.SIGTERM)

    def hurry(self) -> None:
        """Kill everybody now."""
        self._killing = True
        pids = [self._command(), self._template(), *(child.pid for child in self._children.running())]
        for pid in pids:
            _send(pid, signal.SIGKILL)

    def _tell_mules(self) -> None:
        if self._mules_told:
            return
        self._mules_told = True
        for child in self._children.running("mule"):
            _send(child.pid, signal.SIGTERM)

    def _mercy_is_over(self) -> None:
        left = [str(child) for child in self._children.running()]
        if self._command():
            left.append("the command")
        if left and self._mercy:
            log.event("warning", f"killed after {self._mercy:g} s of mercy: {', '.join(left)}")
        self.hurry()


def _send(pid: int, signum: int) -> None:
    # Only this process reaps its children, so the pid cannot be somebody else's yet.
    if pid:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass
