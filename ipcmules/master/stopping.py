"""The end of a bus's processes: first those that give work, then the mules, then whoever did not go.

The command, the workers, the spoolers and the commands of crons get SIGTERM first (the command SIGINT, where
that stopped the bus); when they are gone, or half of the mercy is over, the mules get it and drain their
queues; when the mercy is over everybody gets SIGKILL. The daemons come last: mules may need them to the end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from ipcmules import log
from ipcmules.master.children import Child, Children
from ipcmules.master.daemons import Daemons
from ipcmules.master.loop import Loop

#: The daemons have so long to end when everybody else has, seconds; at most the mercy.
_DAEMONS = 5.0


class Stop:
    """A stop under way. The supervisor tells it of deaths; pids are asked for when they are needed."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        template: Callable[[], int],
        programs: Daemons,
        mercy: float,
    ) -> None:
        self._loop = loop
        self._children = children
        self._template = template
        self._programs = programs
        self._mercy = mercy
        self._mules_told = False
        self._daemons_told = False
        self._killing = False

    def begin(self, signum: int) -> None:
        """Send the first signals (signum to the command) and set the deadlines."""
        self._programs.stop_command(signum)
        self._programs.crons.stop()
        for child in self._givers():
            _send(child.pid, signal.SIGTERM)
        self._loop.later(self._mercy / 2, self._half_is_over)
        self._loop.later(self._mercy, self._mercy_is_over)
        self.check()

    def check(self) -> None:
        """Somebody has ended: go on if nobody is left that gives work."""
        programs = self._programs.command_runs() or self._programs.crons.running()
        if programs or self._givers():
            return
        self._tell_mules()
        if not self._children.running():
            self._tell_daemons()

    def joined(self, child: Child) -> None:
        """A process that was being forked when the stop began is there now."""
        if self._killing:
            _send(child.pid, signal.SIGKILL)
        elif self._mules_told or child.role != "mule":
            _send(child.pid, signal.SIGTERM)

    def _givers(self) -> list[Child]:
        return [child for child in self._children.running() if child.role != "mule"]

    def hurry(self) -> None:
        """Kill everybody now."""
        self._programs.kill_daemons()
        self._kill_others()

    def _kill_others(self) -> None:
        self._killing = True
        self._programs.kill_command()
        self._programs.crons.kill()
        for pid in [self._template(), *(child.pid for child in self._children.running())]:
            _send(pid, signal.SIGKILL)

    def _half_is_over(self) -> None:
        self._programs.stop_command(signal.SIGTERM)  # it may have ignored SIGINT
        self._tell_mules()

    def _tell_daemons(self) -> None:
        if self._daemons_told:
            return
        self._daemons_told = True
        self._programs.stop_daemons()
        self._loop.later(min(self._mercy, _DAEMONS), self._programs.kill_daemons)

    def _tell_mules(self) -> None:
        if self._mules_told:
            return
        self._mules_told = True
        for child in self._children.running("mule"):
            _send(child.pid, signal.SIGTERM)

    def _mercy_is_over(self) -> None:
        left = [str(child) for child in self._children.running()]
        if self._programs.command_runs():
            left.append("the command")
        if self._programs.crons.running():
            left.append("commands of crons")
        if left and self._mercy:
            log.event("warning", f"killed after {self._mercy:g} s of mercy: {', '.join(left)}")
        if self._mercy:
            self._kill_others()
        else:
            self.hurry()


def _send(pid: int, signum: int) -> None:
    # Only this process reaps its children, so the pid cannot be somebody else's yet.
    if pid:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass
