"""The programs beside the mules: the application command, and the daemons of --attach-daemon.

Each leads a process group of its own. A signal that asks it to end goes to the leader first, which may let
its children finish (a task queue's worker does), and to the group when the leader has ended or its time is
over. The exception: a command whose stdin is a terminal stays in the launcher's group, so that it may read,
and Ctrl-C and Ctrl-Z reach both as in any pipeline. Ctrl-C is then the command's business, as it may be a
prompt: the bus ends when the command does. guard.py sees to the groups if the master dies.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from ipcmules.bus import log
from ipcmules.bus import programs as report
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import places
from ipcmules.errors import StartError
from ipcmules.kernel import exhaustion, kill, processes
from ipcmules.kernel.commandline import split
from ipcmules.kernel.processes import ProcessId
from ipcmules.kernel.spawn import spawn
from ipcmules.master.children.children import describe_status
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.loop.selector import Loop
from ipcmules.master.programs import servers
from ipcmules.master.programs.crons import Commands
from ipcmules.master.programs.environment import of_command, of_others
from ipcmules.master.programs.guard import Guard
from ipcmules.master.programs.program import Program
from ipcmules.options.daemons import Daemon

#: What a leader leaves in its group has so long to end, seconds.
_GRACE = 5.0
#: And a group whose leader has not ended in its time, seconds.
_LAST = 1.0
#: How often a group without its leader is looked at, seconds.
_LOOK = 0.05


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
        self._daemons = _daemons(config)
        #: Those that a reload has taken out of the configuration, until they have ended.
        self._retired: list[Program] = []
        #: Those that serve sockets; started and ended as daemons, and no reload changes them.
        self._servers = servers.of(config)
        self._guard = Guard(f"ipcmules: {config.name} guard", config.mercy)
        self.crons = Commands(loop, self._guard, fired, changed)
        self._mercy = config.mercy
        self._where = places(config.name)
        self._stopping = False
        #: While the command is ended to be started again.
        self._restarting = False
        self._looking = False

    # Starting

    def start_daemons(self) -> None:
        """Start every daemon. One that cannot be started is tried again, with growing delay."""
        for each in self._served():
            self._start_daemon(each)

    def _served(self) -> list[Program]:
        """The daemons, and those that serve sockets."""
        return [*self._daemons, *self._servers]

    def start_command(self) -> None:
        """Start the command, if the bus has one. Raises StartError."""
        if not self._command.arguments:
            return
        self._restarting = False
        try:
            self._start(self._command, group=not os.isatty(0))
        except OSError as error:
            name = self._command.arguments[0]
            remedy = f"; {exhaustion.remedy(error)}" if exhaustion.refused(error) else ""
            raise StartError(f"the command {name!r} cannot be run: {error.strerror}{remedy}") from error

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

    def replace_daemons(self, config: BusConfig) -> None:
        """A reload has brought these: end the others, start the new ones."""
        before, wanted = list(self._daemons), _daemons(config)
        if list(map(_what, wanted)) == list(map(_what, before)) or self._stopping:
            return
        self._daemons = []
        for each in wanted:
            same = next((old for old in before if _what(old) == _what(each)), None)
            if same is not None:
                before.remove(same)
            self._daemons.append(same or each)
        self._retired += before
        for each in before:
            self._end(each, self._mercy)
        self.start_daemons()

    def touched(self, path: str) -> None:
        """End those that are to be started again when this file is touched."""
        for each in self._daemons:
            if each.pid and path in each.described.touch:
                log.event("info", f"{path} was touched: {each.label} (pid {each.pid}) is started again")
                self._end(each, self._mercy)

    def _end(self, program: Program, seconds: float) -> None:
        """Have it end within so many seconds: the leader first."""
        pid, group = program.pid, program.group
        program.tell(program.described.stop_signal)

        def again(signum: int) -> None:
            if program.running and (program.pid, program.group) in ((pid, group), (0, group)):
                program.send(signum)

        self._loop.later(seconds, partial(again, signal.SIGTERM))
        self._loop.later(seconds + min(_LAST, seconds), partial(again, signal.SIGKILL))

    def _start(self, program: Program, group: bool, silent: bool = False) -> None:
        program.life.born = time.monotonic()
        keep = program.descriptors or None
        program.pid = spawn(
            program.arguments,
            program.described.directory or self._directory,
            keep,
            group=group,
            silent=silent,
            environment=of_command() if program is self._command else of_others(),
            user=(program.described.uid, program.described.gid),
        )
        if group:
            program.group = ProcessId(program.pid, processes.start_time(program.pid))
            self._guard.add(program.group)
        self._report()

    def _report(self) -> None:
        """Say what runs, for `status`."""
        report.write(
            self._where,
            report.Row(self._command.arguments, self._command.pid) if self._command.arguments else None,
            [report.Row(each.arguments, each.pid) for each in self._daemons],
        )

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
        again = program is self._command and self._restarting
        # What it leaves is of no use to anybody, and in the way of its successor.
        self._end_rest(program)
        self._report()
        if again:
            self._start_again()
        elif program is self._command:
            self._command_ended(status)
        elif program in self._retired:
            self._retired.remove(program)
        elif program.described.control and not self._stopping:
            text = f"{program.label} (pid {pid}) {describe_status(status)}: the bus stops with it"
            log.event("warning", text)
            self._command_ended(0)
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
        if program is not self._command and not self._stopping:
            kill.send_to_group(group, signal.SIGKILL)
            self._forget(program)
            return
        if not kill.send_to_group(group, signal.SIGTERM):
            self._forget(program)
            return

        def end() -> None:
            if program.group:
                kill.send_to_group(program.group, signal.SIGKILL)

        self._loop.later(_GRACE, end)
        self._watch()

    def _watch(self) -> None:
        """Ask until the group is empty: not everybody in it is this process's child."""
        if self._looking:
            return
        self._looking = True

        def again() -> None:
            self._looking = False
            self._look()
            if any(each.group and not each.pid for each in self._all()):
                self._watch()

        self._loop.later(_LOOK, again)

    def _look(self) -> None:
        for program in self._all():
            if program.group and not program.pid and not kill.group_exists(program.group.pid):
                self._forget(program)

    def _forget(self, program: Program) -> None:
        if program.group is not None:
            self._guard.discard(program.group)
        program.group = None
        if program is self._command and self._restarting:
            self._start_again()
        self._changed()

    # Starting the command again

    def command_pid(self) -> int:
        """The command's pid, 0 if it does not run."""
        return self._command.pid

    def restart_command(self) -> None:
        """End the command and start it again when nobody of its group is left."""
        if self._command.pid and not self._restarting:
            self._restarting = True
            self._end(self._command, self._mercy)

    def _start_again(self) -> None:
        if self._command.running:
            return  # what it left in its group still ends
        try:
            self.start_command()
        except StartError as error:
            log.event("error", f"reload: {error}")
            self._command_ended(127 << 8)
        else:
            log.event("info", f"reload: the command runs again (pid {self._command.pid})")

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

    def stop_command(self, signum: int, group: bool = False) -> None:
        """Have the command end. group: tell its group as well as its leader."""
        self._restarting = False
        if group:
            self._command.send(signum)
        else:
            self._command.tell(signum)

    def stop_daemons(self, seconds: float) -> None:
        """Have the daemons end within so many seconds; none is started again."""
        self._stopping = True
        for each in self._served():
            self._end(each, seconds)

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
        for each in self._servers:
            each.close()


def _daemons(config: BusConfig) -> list[Program]:
    described = [
        *map(Daemon, config.daemons),
        *(Daemon(each, control=True) for each in config.control_daemons),
        *config.described_daemons,
    ]
    return [
        Program(split(each.command), f"{'control ' * each.control}daemon {each.command!r}", described=each)
        for each in described
    ]


def _what(program: Program) -> Daemon:
    return program.described
