"""The master at work: from the template's start over readiness and respawns to the last process's end.

One Supervisor a run. It decides; children.py remembers, templates.py talks to the template, start.py waits
for readiness, stopping.py ends things. Single-threaded, and it runs no user code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from ipcmules import log, table
from ipcmules.config import BusConfig
from ipcmules.errors import StartError
from ipcmules.master import after_death, deaths, pending, readiness, spooldirs
from ipcmules.master.attached import Attached
from ipcmules.master.children import Child, Children, describe_status, exit_code
from ipcmules.master.control import Control
from ipcmules.master.daemons import Daemons
from ipcmules.master.events.configured import Configured
from ipcmules.master.events.service import Events
from ipcmules.master.harakiri import Harakiri
from ipcmules.master.loop import Loop
from ipcmules.master.objects import Objects
from ipcmules.master.reload import Reloads, Reread
from ipcmules.master.resting import Resting
from ipcmules.master.spooldirs import SpoolDirs
from ipcmules.master.start import Start
from ipcmules.master.stopping import Stop
from ipcmules.master.templates import Template
from ipcmules.master.touch import Touch

Report = Callable[[dict[str, Any]], None]

#: A template that is needed no more has so long to end, seconds.
_RETIREMENT = 5.0
#: A start that failed ends its processes within this many seconds.
_SHORT_MERCY = 3.0


class Supervisor:
    """Runs one bus whose objects exist."""

    def __init__(
        self, loop: Loop, objects: Objects, report: Report, began: float, reread: Reread | None = None
    ) -> None:
        self._loop = loop
        self._objects = objects
        self._report = report
        self._children = Children(self._config)
        self._start = Start(loop, objects, self._children, self._loading, self._become_ready, began)
        self._attached = Attached(loop, objects)
        self._harakiri = Harakiri(loop, objects, self._children)
        self._control = Control(loop, objects.where.runtime)
        self.events = Events(loop, objects, self._control)
        self._reloads = Reloads(loop, objects, self._children, self, reread)
        self._touch = Touch(loop, lambda path: self.reload(f"{path} was touched"))
        self._touch_spoolers = Touch(loop, lambda path: self._reloads.ask(f"{path} was touched", "spooler"))
        self._spools = SpoolDirs(loop, objects)
        self._resting = Resting(loop, objects, self._spools.queues, self.spawn)
        self._wanted: list[Child] = []
        #: Deaths of pids nobody has told us about yet: the template's word comes by another way.
        self._unknown_deaths: dict[int, int] = {}
        self._template: Template | None = None
        #: Templates that are needed no more and have not ended yet, by pid.
        self._retired: dict[int, Template] = {}
        self._template_failures = 0
        self._programs = Daemons(loop, self._config, self._command_ended, self._check_stop, self.events.fired)
        self.events.also_listed.append(self._programs.crons.rows)
        self._configured = Configured(self.events.book)
        self._stop: Stop | None = None
        self._failure: StartError | None = None
        self._code = 0

    @property
    def _config(self) -> BusConfig:
        return self._objects.description.config

    def run(self) -> int:
        """Run the bus to its end. Returns the exit code; raises StartError if it could not start."""
        self._loop.watch(self._objects.notify, self._notified)
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._spools.begin()
        self._programs.start_daemons()
        self._start_template()
        self._start.begin()
        while not self._over():
            self._loop.run_once()
        self._programs.close()
        self._attached.close()
        self._control.close()
        self._resting.close()
        self._spools.close()
        if self._failure is not None:
            raise self._failure
        return self._code

    def reload(self, why: str) -> None:
        """Replace the code and the processes, once the bus is ready."""
        if self._stop is None:
            self._reloads.ask(why)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End the bus gracefully; nothing new if it is ending already. signum: what the command is told."""
        self._begin_stop(self._config.mercy, signum)

    def stop_at_once(self) -> None:
        """End the bus without waiting any longer for anybody."""
        if self._stop is None:
            self._begin_stop(0.0)
        else:
            self._stop.hurry()

    def leaves_interrupts(self) -> bool:
        """True while Ctrl-C is the command's business: it is on the terminal too, and the bus ends with it.

        As for a child of system(3): Ctrl-C in a prompt or an editor is not the end of the launcher's work.
        """
        return self._stop is None and self._programs.command_on_terminal()

    # The template

    def _start_template(self) -> None:
        if self._stop is None and self._template is None:
            self._template = Template(self._loop, self, self._objects.table.cells[table.H_CODE])

    def adopt(self, template: Template) -> Template | None:
        """Fork from this template from now on. Returns the one before, which is the caller's now."""
        before, self._template = self._template, template
        self._objects.table.cells[table.H_CODE] = template.code
        self._fork_wanted()
        return before

    def retire(self, template: Template) -> None:
        """End a template that is needed no more."""
        self._retired[template.pid] = template
        template.finish()

        def kill() -> None:
            if template.pid in self._retired:
                os.kill(template.pid, signal.SIGKILL)

        self._loop.later(_RETIREMENT, kill)

    def reconfigured(self) -> None:
        """A reload has brought another configuration, or taken it back."""
        self._watch_touched()
        self._programs.replace_daemons(self._config.daemons)
        self._schedule()

    def _schedule(self) -> None:
        self._programs.crons.replace(self._config)
        self._configured.replace(self._config.signal_events)

    def _watch_touched(self) -> None:
        self._touch.watch(self._config.touch_reload)
        self._touch_spoolers.watch(self._config.touch_spoolers_reload)

    def template_loaded(self) -> None:
        """The template can fork."""
        self._template_failures = 0
        if not self._start.done and not self._wanted:
            self._wanted = list(self._children)
            self._start.watch()
        self._fork_wanted()

    def template_failed(self, text: str) -> None:
        """The app could not be loaded."""
        if self._start.done:
            log.event("error", f"the template was started again and could not load the app:\n{text}")
        else:
            self._fail(f"the app could not be loaded:\n{text}")

    def _template_ended(self, template: Template, status: int) -> None:
        self._template = None
        template.close()
        if self._stop is not None:
            return
        if not self._start.done:
            self._fail(f"the template (the process that loads the app) {describe_status(status)}")
            return
        self._template_failures += 1
        delay = min(0.1 * 2 ** min(self._template_failures - 1, 10), 30.0)
        log.event("warning", f"the template {describe_status(status)}: starting it again in {delay:g} s")
        self._loop.later(delay, self._start_template)

    # Mules, spoolers and workers

    def spawn(self, child: Child) -> None:
        """Have a child forked that does not run."""
        if self._stop is None and not child.pid and not child.asked and child not in self._wanted:
            self._wanted.append(child)
            self._fork_wanted()

    def _fork_wanted(self) -> None:
        if self._template is None or not self._template.loaded or not self._wanted:
            return
        wanted, self._wanted = self._wanted, []
        for child in wanted:
            readiness.before_spawn(self._objects, child)
            child.code, child.asked = self._template.code, self._template.pid
        self._template.fork([child.key for child in wanted])

    def forked(self, role: str, number: int, pid: int) -> None:
        """The template forked a process."""
        child = self._children.get(role, number)
        self._children.started(child, pid)
        readiness.after_spawn(self._objects, child)
        status = self._unknown_deaths.pop(pid, None)
        if status is not None:
            self._ended(pid, status)
        elif self._stop is not None:
            self._stop.joined(child)

    def refused(self, role: str, number: int, reason: str) -> None:
        """The kernel would not fork."""
        child = self._children.get(role, number)
        child.asked = 0
        if not self._start.done:
            self._fail(f"{child} could not be forked: {reason}")
            return
        child.young_deaths += 1
        delay = max(child.delay(), 0.1)
        log.event("error", f"{child} could not be forked ({reason}): trying again in {delay:g} s")
        self._loop.later(delay, lambda: self.spawn(child))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if self._template is not None and pid == self._template.pid:
            self._template_ended(self._template, status)
            self._ask_again(pid)
        elif self._reloads.template_ended(pid, status):
            self._ask_again(pid)
        elif pid in self._retired:
            self._retired.pop(pid).close()
            self._ask_again(pid)
        elif self._programs.ended(pid, status):
            self._check_stop()
        elif (child := self._children.ended(pid)) is not None:
            self._harakiri.ended(pid)
            self._child_ended(child, pid, status)
        else:
            self._unknown_deaths[pid] = status
            if len(self._unknown_deaths) > 1000:  # orphans of the command's: nobody will ask for them
                self._unknown_deaths.pop(next(iter(self._unknown_deaths)))
            self._check_stop()

    def _ask_again(self, pid: int) -> None:
        """A template has ended: what it was asked for and did not do is another's work."""
        for child in self._children:
            if child.asked == pid:
                child.asked = 0
                self.spawn(child)

    def _child_ended(self, child: Child, pid: int, status: int) -> None:
        leaving = self._objects.table.cells[readiness.record_of(self._objects, child) + table.R_LEAVING]
        child.death = deaths.judge(child.sentence, leaving, status)
        worked = after_death.clean_up(self._objects, child, pid)
        if self._stop is not None:
            self._stop.check()
            return
        text = readiness.take_failure(self._objects, child)
        if (
            not self._start.done
            and not child.ready
            and not readiness.may_respawn(self._objects, child, status, worked)
        ):
            self._fail(
                f"{readiness.describe(child, self._config)} {describe_status(status)} {_details(text)}"
            )
            return
        child.ready = True
        if deaths.kind_of(child.death) == deaths.IDLE:
            self._resting.add(child)
            return
        after_death.nudge(self._objects, child)
        if child.role == "spooler":  # what it took from the queue may not have been run
            self._spools.look(spooldirs.number_of(self._config, child.number))
        delay = 0.0
        if child.sentence in (deaths.RELOADED, deaths.MERCY) or deaths.is_planned(child.death):
            child.young_deaths = 0
        else:
            delay = child.died()
            ordinary = readiness.may_respawn(self._objects, child, status, worked)
            self._reloads.died(child, ordinary, text)
        when = f" in {delay:g} s" if delay else ""
        log.event(
            "info" if deaths.is_planned(child.death) else "warning",
            f"{child} (pid {pid}) {deaths.describe(child.death)}: starting it again{when}{_indent(text)}",
        )
        if delay:
            self._loop.later(delay, lambda: self.spawn(child))
        else:
            self.spawn(child)

    # Readiness

    def _loading(self) -> bool:
        return self._template is not None and not self._template.loaded

    def _notified(self) -> None:
        try:
            os.read(self._objects.notify, 4096)
        except BlockingIOError:
            pass
        self._attached.look()
        self._harakiri.look()
        if self._objects.collect is not None and self._stop is None:
            self._objects.collect()

    def _become_ready(self) -> None:
        self._objects.set_state(table.READY)
        pending.release(self._objects.where, self._objects.description, self._objects.table)
        self._watch_touched()
        self._schedule()
        try:
            self._programs.start_command()
        except StartError as error:
            self._fail(str(error))
            return
        for child in self._children:
            text = readiness.take_failure(self._objects, child)
            if text:
                log.event("error", f"{child}:\n{text}")
        self._report(self._start.report())
        self._reloads.open()

    # The command

    def _command_ended(self, status: int) -> None:
        if self._stop is None:
            self._code = exit_code(status)
            self.stop()
            return
        if os.WIFEXITED(status):  # not of the signal that the stop sent it
            self._code = exit_code(status)

    # The end

    def _fail(self, text: str) -> None:
        if self._failure is None:
            self._failure = StartError(f"bus {self._config.name!r} could not start: {text.rstrip()}")
        if self._stop is None:
            self._begin_stop(min(self._config.mercy, _SHORT_MERCY))

    def _check_stop(self) -> None:
        if self._stop is not None:
            self._stop.check()

    def _begin_stop(self, mercy: float, signum: int = signal.SIGTERM) -> None:
        if self._stop is None:
            self._objects.set_state(table.STOPPING)
            self._start.give_up()
            self.events.close()
            self._reloads.close()
            if self._template is not None:
                self._template.finish()
            self._stop = Stop(self._loop, self._children, self._running_template, self._programs, mercy)
            self._stop.begin(signum)

    def _running_template(self) -> int:
        return self._template.pid if self._template is not None else 0

    def _over(self) -> bool:
        return self._stop is not None and not (
            self._children.running() or self._programs.running() or self._template or self._retired
        )


def _details(text: str) -> str:
    return f"before it was ready:\n{text}" if text else "before it was ready"


def _indent(text: str) -> str:
    return f"\n{text}" if text else ""
