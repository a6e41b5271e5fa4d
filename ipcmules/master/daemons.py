"""The programs beside the mules: the application command, and the daemons of --attach-daemon.

Each leads a process group of its own, and what is done to it is done to the group. The exception: a
command whose stdin is a terminal stays in the launcher's group, so that it may read, and Ctrl-C and Ctrl-Z
reach both as in any pipeline. Ctrl-C is then the command's business, as it may be a prompt: the bus ends when
the command does. guard.py sees to the groups if the master dies.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ipcmules import log
from ipcmules.config import BusConfig
from ipcmules.errors import StartError
from ipcmules.master import guard
from ipcmules.master.children import Child, describe_status
from ipcmules.master.commandline import split
from ipcmules.master.events.commands import Commands
from ipcmules.master.events.fired import Fired
from ipcmules.master.guard import Guard
from ipcmules.master.loop import Loop
from ipcmules.master.sockets import Sockets
from ipcmules.master.spawn import spawn

#: What a leader leaves in its group has so long to end, seconds.
_GRACE = 5.0
#: How often a group without its leader is looked at, seconds.
_LOOK = 0.05


@dataclass(eq=False)
class Program:
    """The command or a daemon. pid is 0 while it does not run; group stays until nobody is in it."""

    arguments: tuple[str, ...]
    label: str
    pid: int = 0
    group: int = 0
    #: Counts its young deaths, as for a mule.
    life: Child = field(default_factory=lambda: Child("daemon", 0))

    @property
    def running(self) -> bool:
        """True while it or anybody of its group runs."""
        return bool(self.pid or self.group)

    def send(self, signum: int) -> None:
        """Send a signal to all of it."""
        if self.group:
            guard.send(self.group, signum)
        elif self.pid:
            os.kill(self.pid, signum)  # not reaped yet, so the pid is its own


class Daemons:
    """The command and the daemons of a bus, started, watched and ended."""

    def __init__(
        self,
        loop: Loop,
        config: BusConfig,
        command_ended: Callable[[int], None],
        changed: Callable[[], None],
        fired: Fired,
    ) -> None:
        """command_ended(wait status) is called once; changed() when a group is empty at last.

        fired: what crons have fired last.
        """
        self._loop = loop
        self._changed = changed
        self._directory = config.directory
        self._command_ended = command_ended
        self._command = Program(config.command, "the command")
        self._texts = config.daemons
        self._daemons = [_daemon(each) for each in config.daemons]
        #: Those that a reload has taken out of the configuration, until they have ended.
        self._retired: list[Program] = []
        self._sockets = Sockets(config.sockets, config.directory)
        #: The listener; started and ended as a daemon, and no reload changes it.
        self._listener = Program(self._sockets.command(), "the listener") if config.sockets else None
        self._guard = Guard(f"ipcmules: {config.name} guard", config.mercy)
        self.crons = Commands(loop, self._guard, fired, changed)
        self._stopping = False
        self._looking = False

    # Starting

    def start_daemons(self) -> None:
        """Start every daemon. One that cannot be started is tried again, with growing delay."""
        for each in self._served():
            self._start_daemon(each)

    def _served(self) -> list[Program]:
        """The daemons and the listener."""
        return [*self._daemons, *((self._listener,) if self._listener is not None else ())]

    def start_command(self) -> None:
        """Start the command, if the bus has one. Raises StartError."""
        if not self._command.arguments:
            return
        try:
            self._start(self._command, group=not os.isatty(0))
        except OSError as error:
            name = self._command.arguments[0]
            raise StartError(f"the command {name!r} cannot be run: {error.strerror}") from error

    def _start_daemon(self, daemon: Program) -> None:
        if self._stopping or daemon.running or daemon not in self._served():
            return
        try:
            self._start(daemon, group=True, silent=True)
        except OSError as error:
            delay = max(daemon.life.died(), 0.1)
            text = f"{daemon.label} cannot be run ({error.strerror}): trying again in {delay:g} s"
            log.event("error", text)
            self._loop.later(delay, lambda: self._start_daemon(daemon))

    def replace_daemons(self, texts: tuple[str, ...]) -> None:
        """A reload has brought these: end the others, start the new ones."""
        if texts == self._texts or self._stopping:
            return
        self._texts = texts
        before = list(self._daemons)
        wanted = [_daemon(each) for each in texts]
        self._daemons = []
        for each in wanted:
            same = next((old for old in before if old.label == each.label), None)
            if same is not None:
                before.remove(same)
            self._daemons.append(same or each)
        self._retired += before
        for each in before:
            each.send(signal.SIGTERM)
            self._loop.later(_GRACE, partial(each.send, signal.SIGKILL))
        self.start_daemons()

    def _start(self, program: Program, group: bool, silent: bool = False) -> None:
        program.life.born = time.monotonic()
        keep = self._sockets.descriptors if program is self._listener else None
        program.pid = spawn(program.arguments, self._directory, keep, group=group, silent=silent)
        if group:
            program.group = program.pid
            self._guard.add(program.group)

    # Deaths

    def ended(self, pid: int, status: int) -> bool:
        """A child of the master has ended. True if it was one of these, or the guard."""
        if self._guard.ended(pid):
            return True
        for program in self._all():
            if program.pid == pid:
                self._ended(program, status)
                return True
        self._look()  # perhaps an orphan of one of them
        return self.crons.ended(pid, status)

    def _ended(self, program: Program, status: int) -> None:
        pid, program.pid = program.pid, 0
        # What it leaves is of no use to anybody, and in the way of its successor.
        self._end_rest(program)
        if program is self._command:
            self._command_ended(status)
        elif program in self._retired:
            self._retired.remove(program)
        elif not self._stopping:
            delay = program.life.died()
            when = f" in {delay:g} s" if delay else ""
            text = f"{program.label} (pid {pid}) {describe_status(status)}: starting it again{when}"
            log.event("warning", text)
            self._loop.later(delay, lambda: self._start_daemon(program))

    def _end_rest(self, program: Program) -> None:
        group = program.group
        if not group:
            return
        if program is not self._command:
            guard.send(group, signal.SIGKILL)
            self._forget(program)
            return
        if not guard.send(group, signal.SIGTERM):
            self._forget(program)
            return

        def kill() -> None:
            if program.group:
                guard.send(program.group, signal.SIGKILL)

        self._loop.later(_GRACE, kill)
        self._watch()

    def _watch(self) -> None:
        """Ask until the group is empty: not everybody in it is this process's child."""
        if self._looking:
            return
        self._looking = True

        def again() -> None:
            self._looking = False
            self._look()
            if self._command.group and not self._command.pid:
                self._watch()

        self._loop.later(_LOOK, again)

    def _look(self) -> None:
        program = self._command
        if program.group and not program.pid and not guard.send(program.group, 0):
            self._forget(program)

    def _forget(self, program: Program) -> None:
        self._guard.discard(program.group)
        program.group = 0
        self._changed()

    # Stopping

    def command_runs(self) -> bool:
        """True while the command or its group does."""
        return self._command.running

    def running(self) -> bool:
        """True while any of them does, or a cron's command."""
        return self.crons.running() or any(each.running for each in self._all())

    def _all(self) -> list[Program]:
        return [self._command, *self._served(), *self._retired]

    def command_on_terminal(self) -> bool:
        """True while the command runs in the launcher's group: the terminal's signals reach it as well."""
        return bool(self._command.pid and not self._command.group)

    def stop_command(self, signum: int) -> None:
        """Have the command end."""
        self._command.send(signum)

    def stop_daemons(self) -> None:
        """Have the daemons end; none is started again."""
        self._stopping = True
        for each in self._served():
            each.send(signal.SIGTERM)

    def kill_command(self) -> None:
        """End the command and its group now."""
        self._command.send(signal.SIGKILL)

    def kill_daemons(self) -> None:
        """End the daemons now."""
        self._stopping = True
        for each in (*self._served(), *self._retired):
            each.send(signal.SIGKILL)

    def close(self) -> None:
        """Nobody is left: end the guard."""
        self._guard.finish()
        self._sockets.close()


def _daemon(text: str) -> Program:
    return Program(split(text), f"daemon {text!r}")
