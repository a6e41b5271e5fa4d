"""The commands of --cron, --cron2, --unique-cron and --touch-exec: they run in process groups of their own.

What they write goes to the log, and how they end. Knows when (crons.py) and how to end a group (kill.py);
nothing of signals. As in uWSGI a command is run by /bin/sh, and may run several times at once unless it is
unique.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig, CronCommand
from ipcmules.events import specs, zones
from ipcmules.events.specs import CronSpec
from ipcmules.kernel import kill, processes, times
from ipcmules.kernel.commandline import SHELL
from ipcmules.kernel.processes import ProcessId
from ipcmules.kernel.spawn import spawn
from ipcmules.master.children.children import describe_status
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.crons import Crons
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.programs.environment import of_others
from ipcmules.master.programs.guard import Guard
from ipcmules.master.programs.output import Output
from ipcmules.process import actions

#: A longer command is cut in the log, characters.
_SHOWN = 60


@dataclass(eq=False)
class _Run:
    """A command that runs, or has left somebody in its group."""

    task: _Task
    pid: int  #: 0 once it has ended
    group: ProcessId  #: the leader of its process group
    began: float
    output: Output
    harakiri: Timer | None = None


@dataclass(eq=False)
class _Task:
    """A command of the configuration. what: the option's kind, for the log."""

    command: CronCommand
    what: str = "cron"
    last: float | None = None  #: how long the last run took, seconds
    failures: int = 0  #: runs that did not end with code 0
    runs: int = 0  #: runs that have ended
    environment: Mapping[str, str] = field(default_factory=dict)  #: what it finds there besides

    @property
    def label(self) -> str:
        """As it stands in the log."""
        text = self.command.command
        return f"{self.what} {text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'!r}"


@dataclass(eq=False)
class _Cron(_Task):
    """One that runs at certain times."""

    event: Event = field(kw_only=True)


class Commands:
    """The cron commands of a bus."""

    def __init__(self, loop: Loop, guards: Guard, fired: Fired, changed: Callable[[], None]) -> None:
        """guards: ends the groups if the master dies. changed() is called when a group is empty at last."""
        self._loop = loop
        self._guard = guards
        self._changed = changed
        self._crons = Crons(loop, self._due, fired)
        self._tasks: dict[str, _Cron] = {}
        self._runs: list[_Run] = []
        self._directory = "."
        self._harakiri = 0.0
        self._stopping = False

    def replace(self, config: BusConfig) -> None:
        """Have the commands of this configuration, and no others. What is running goes on."""
        if self._stopping:
            return
        self._directory, self._harakiri = config.directory, config.cron_harakiri
        time.tzset()  # the configuration's env= may have set TZ
        wanted = _tasks(config.crons)
        for digest in [each for each in self._tasks if each not in wanted]:
            self._crons.stop(self._tasks.pop(digest).event)
        for digest, task in wanted.items():
            if digest in self._tasks:
                self._tasks[digest].command = task.command
            else:
                self._tasks[digest] = task
                self._crons.start(task.event)

    def rows(self) -> list[dict[str, Any]]:
        """For `ipcmules events`: the keys of list_events(); the handler is the command."""
        return [self._row(each) for each in self._tasks.values()]

    def get(self, digest: str) -> Event | None:
        """The event of the command with this identity."""
        task = self._tasks.get(digest)
        return None if task is None else task.event

    # Running

    def touched(self, hook: str, path: str) -> None:
        """Do what --touch-exec or --hook-touch says: commands run as crons' do, the rest is done here."""
        kind, _, argument = hook.removeprefix("!").partition(":")
        if self._stopping:
            return
        if kind in ("exec", "safeexec"):
            self._start(_Task(CronCommand("", argument, harakiri=0.0), "touch"))
            return
        try:
            actions.run(hook, "--hook-touch")
            log.event("info", f"{path} was touched: {hook} is done")
        except (OSError, ValueError) as error:
            log.event("error", f"{path} was touched: {hook}: {error}")

    def run(self, digest: str) -> None:
        """Run the command with this identity now, whatever the time, and whether it is paused or not."""
        task = self._tasks.get(digest)
        if task is not None:
            self._begin(task)

    def run_once(self, what: str, command: str, environment: dict[str, str]) -> None:
        """Run a command as crons' are run. what: stands before it in the log."""
        if not self._stopping:
            self._start(_Task(CronCommand("", command, harakiri=0.0), what, environment=environment))

    def _due(self, event: Event, _count: int, _when: float) -> None:
        task = self._tasks.get(event.digest)
        if event.paused:
            event.skips += 1
        elif task is not None:
            self._begin(task)

    def _begin(self, task: _Cron) -> None:
        if self._stopping:
            return
        event = task.event
        if task.command.unique and any(run.task is task and run.pid for run in self._runs):
            event.skips += 1
            log.event("info", f"{task.label} is still running: not started again")
            return
        event.ticks += 1
        event.last = time.time()
        self._start(task)

    def _start(self, task: _Task) -> None:
        try:
            run = self._spawn(task)
        except OSError as error:  # also for want of descriptors or processes: crons pile up
            log.event("error", f"{task.label} cannot be run: {error.strerror}")
            return
        self._runs.append(run)
        self._guard.add(run.group)
        log.event("info", f"{task.label} started (pid {run.pid})")
        allowed = self._harakiri if task.command.harakiri is None else task.command.harakiri
        if allowed:
            run.harakiri = self._loop.later(allowed, lambda: self._takes_too_long(run, allowed))

    def _spawn(self, task: _Task) -> _Run:
        output = Output(self._loop, lambda line: log.event("info", f"{task.label}: {line}"))
        arguments = (SHELL, "-c", task.command.command)
        try:
            pid = spawn(
                arguments,
                self._directory,
                group=True,
                silent=True,
                output=output.writer,
                environment={**of_others(), **task.environment},
            )
        except OSError:
            output.close()
            raise
        finally:
            output.close_writer()
        return _Run(task, pid, ProcessId(pid, processes.start_time(pid)), time.monotonic(), output)

    def _takes_too_long(self, run: _Run, allowed: float) -> None:
        log.event("error", f"{run.task.label} (pid {run.group.pid}) takes longer than {allowed:g} s: killed")
        kill.send_to_group(run.group, signal.SIGKILL)

    def ended(self, pid: int, status: int) -> bool:
        """A child of the master has ended. True if it was a command; else perhaps an orphan of one."""
        run = next((each for each in self._runs if each.pid == pid), None)
        if run is None:
            self._look()
            return False
        run.pid = 0
        if run.harakiri is not None:
            run.harakiri.cancel()
        run.output.drain()
        task, took = run.task, time.monotonic() - run.began
        task.runs, task.last = task.runs + 1, took
        task.failures += status != 0
        level = "warning" if status else "info"
        log.event(level, f"{task.label} (pid {pid}) {describe_status(status)} after {took:.1f} s")
        self._look()
        return True

    def _look(self) -> None:
        """Forget the groups that nobody is in. All of them end as the master's children (subreaper)."""
        empty = [run for run in self._runs if not run.pid and not kill.group_exists(run.group.pid)]
        for run in empty:
            self._runs.remove(run)
            self._guard.discard(run.group)
            run.output.drain()
            run.output.close()
        if empty:
            self._changed()

    # Stopping

    def running(self) -> bool:
        """True while somebody is left in a command's group."""
        return bool(self._runs)

    def stop(self) -> None:
        """Start nothing more, and have what runs end."""
        self._stopping = True
        self._crons.close()
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End what runs now."""
        self._stopping = True
        self._send(signal.SIGKILL)

    def _send(self, signum: int) -> None:
        for run in self._runs:
            kill.send_to_group(run.group, signum)

    def _row(self, task: _Cron) -> dict[str, Any]:
        spec, due = task.event.spec, self._crons.next(task.event)
        assert isinstance(spec, CronSpec)
        return {
            "id": task.event.digest,
            "kind": "command",
            "signal": None,
            "target": None,
            "handler": task.command.command,
            "runs": task.runs,
            "exceptions": task.failures,
            "last_duration": task.last,
            "schedule": task.command.when,
            "interval": None,
            "iterations": None,
            "fields": None,
            "zone": spec.zone,
            "path": None,
            "recursive": None,
            "next": due,
            "next_iso": None if due is None else times.iso(due),
            "last": task.event.last or None,
            "ticks": task.event.ticks,
            "skips": task.event.skips,
            "paused": task.event.paused,
            "overlap": not task.command.unique,
            "owner": os.getpid(),
            "runtime": False,
            "generation": 0,
        }


def _tasks(commands: tuple[CronCommand, ...]) -> dict[str, _Cron]:
    """By identity: when, what, and the how manyth of the same."""
    found: dict[str, _Cron] = {}
    ours = processes.current()
    for each in commands:
        spec = specs.cron(each.when, tz=zones.current_zone())
        for occurrence in range(len(commands)):
            parts = ("command", each.when, spec.zone, each.command, str(occurrence))
            text = "\0".join(parts).encode(errors="surrogateescape")
            digest = hashlib.sha256(text).hexdigest()[:32]
            if digest not in found:
                found[digest] = _Cron(each, event=Event(digest, spec, 0, 0, False, ours))
                break
    return found
