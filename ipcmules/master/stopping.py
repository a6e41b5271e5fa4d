"""The end of a bus's processes: first those that give work, then the mules, then whoever did not go.

The command, the workers, the spoolers and the commands of crons get SIGTERM first (the command SIGINT, where
that stopped the bus); when they are gone, or half of the mercy is over, the mules get it and drain their
queues; when the mercy is over everybody gets SIGKILL. The daemons come last: mules may need them to the end.
The leader of a group is told first, the group when half of the mercy (of a daemon, all) is over or the leader
is gone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from ipcmules.bus import log
from ipcmules.kernel import kill, processes
from ipcmules.master.children import deaths
from ipcmules.master.children.children import Child, Children
from ipcmules.master.loop.selector import Loop
from ipcmules.master.programs.daemons import Daemons

#: The daemons have what is left of the mercy, and at least so long, seconds; but never more than the mercy.
_DAEMONS = 5.0
#: How often it is said for whom the stop waits, seconds.
_WORD = 5.0


class Stop:
    """A stop under way. The supervisor tells it of deaths; pids are asked for when they are needed."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        template: Callable[[], int],
        programs: Daemons,
        mercy: float,
        told: Callable[[Child], None],
    ) -> None:
        """told(spooler) is called when one is told to end."""
        self._loop = loop
        self._children = children
        self._template = template
        self._programs = programs
        self._mercy = mercy
        self._told = told
        self._mules_told = False
        self._daemons_told = False
        self._killing = False
        self._began = 0.0

    def begin(self, signum: int) -> None:
        """Send the first signals (signum to the command) and set the deadlines."""
        # Ctrl-C goes to all of a terminal's group.
        self._programs.stop_command(signum, group=signum == signal.SIGINT)
        self._programs.crons.stop()
        for child in self._givers():
            if child.role == "spooler":
                self._told(child)
            kill.send_to_child(child.pid, signal.SIGTERM)
        self._began = time.monotonic()
        self._loop.later(_WORD, self._say_who_is_left)
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
            _kill(child)
        elif self._mules_told or child.role != "mule":
            kill.send_to_child(child.pid, signal.SIGTERM)

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
        kill.send_to_child(self._template(), signal.SIGKILL)
        for child in self._children.running():
            _kill(child)

    def _half_is_over(self) -> None:
        self._programs.stop_command(signal.SIGTERM, group=True)  # it may have ignored SIGINT
        self._tell_mules()

    def _tell_daemons(self) -> None:
        if self._daemons_told:
            return
        self._daemons_told = True
        left = self._mercy - (time.monotonic() - self._began)
        self._programs.stop_daemons(min(self._mercy, max(left, _DAEMONS)))

    def _tell_mules(self) -> None:
        if self._mules_told:
            return
        self._mules_told = True
        for child in self._children.running("mule"):
            kill.send_to_child(child.pid, signal.SIGTERM)

    def _say_who_is_left(self) -> None:
        left = [f"{child} ({processes.describe(child.pid)})" for child in self._children.running()]
        template = self._template()
        if template:
            left.append(f"the template ({processes.describe(template)})")
        left += self._programs_left()
        if left:
            told = "killed and is not dead yet" if self._killing else "told to end"
            seconds = time.monotonic() - self._began
            names = ", ".join(left[:10])
            log.event("info", f"stopping for {seconds:.0f} s, waiting for what was {told}: {names}")
        self._loop.later(_WORD, self._say_who_is_left)

    def _programs_left(self) -> list[str]:
        left = ["the command"] if self._programs.command_runs() else []
        return left + (["commands of crons"] if self._programs.crons.running() else [])

    def _mercy_is_over(self) -> None:
        left = [str(child) for child in self._children.running()] + self._programs_left()
        if left and self._mercy:
            log.event("warning", f"killed after {self._mercy:g} s of mercy: {', '.join(left)}")
        if self._mercy:
            self._kill_others()
        else:
            self.hurry()


def _kill(child: Child) -> None:
    if child.sentence != deaths.HARAKIRI:
        child.sentence = deaths.MERCY
    kill.send_to_child(child.pid, signal.SIGKILL)
