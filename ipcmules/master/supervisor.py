"""The master at work: from the template's start over readiness and respawns to the last process's end.

One Supervisor a run. It decides; children.py remembers, forking.py has the templates, start.py waits for
readiness, stopping.py ends things. Single-threaded, and it runs no user code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from ipcmules.bus import log, table
from ipcmules.bus.config import BusConfig
from ipcmules.errors import StartError
from ipcmules.kernel import exhaustion
from ipcmules.master.children import after_death, deaths, job_control, readiness, task_in_hand
from ipcmules.master.children.attached import Attached
from ipcmules.master.children.children import Child, Children, describe_status, exit_code
from ipcmules.master.children.deadlines import Harakiri
from ipcmules.master.children.forking import Forking
from ipcmules.master.children.replacing import Restarts
from ipcmules.master.children.resting import Resting
from ipcmules.master.children.start import Start
from ipcmules.master.children.templates import Template
from ipcmules.master.events.configured import Configured
from ipcmules.master.events.service import Events
from ipcmules.master.leftovers import saved_signals
from ipcmules.master.leftovers.strays import Strays
from ipcmules.master.loop.control_socket import Control
from ipcmules.master.loop.selector import Loop
from ipcmules.master.loop.service_manager import ServiceManager
from ipcmules.master.objects import spooldirs
from ipcmules.master.objects.objects import Objects
from ipcmules.master.objects.spooldirs import SpoolDirs
from ipcmules.master.objects.sweeping import Sweeping
from ipcmules.master.programs import command_reload
from ipcmules.master.programs.daemons import Daemons
from ipcmules.master.reload.asked import Reloads
from ipcmules.master.reload.reloader import Reread
from ipcmules.master.reload.watched import Watched
from ipcmules.master.stopping import Stop
from ipcmules.signals.raiser import Raiser

Report = Callable[[dict[str, Any]], None]

#: What a mule had in hand and nothing takes is tried again so often, seconds.
_AGAIN = 2.0
#: A start that failed ends its processes within this many seconds.
_SHORT_MERCY = 3.0


class Supervisor:
    """Runs one bus whose objects exist."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        report: Report,
        began: float,
        manager: ServiceManager,
        reread: Reread | None = None,
    ) -> None:
        self._loop = loop
        self._objects = objects
        self._report = report
        self._manager = manager
        self._children = Children(self._config)
        self._forking = Forking(loop, objects, self._children, self)
        self._start = Start(
            loop, objects, self._children, self._forking.is_loading, self._become_ready, began
        )
        self._strays = Strays(loop, objects)
        self._harakiri = Harakiri(loop, objects, self._children)
        #: The master's own, one for all: what is dropped is said once a number and process.
        self._raiser = Raiser(objects.where, objects.description, objects.table)
        self._attached = Attached(loop, objects, self._raiser)
        self._control = Control(loop, objects.where.runtime)
        self.events = Events(loop, objects, self._control, self._raiser)
        self._restarts = Restarts(loop, objects, self._children, self._control)
        self._reloads = Reloads(loop, objects, self._children, self, reread, manager)
        self._spools = SpoolDirs(loop, objects)
        self._sweeping = Sweeping(loop, objects.caches)
        self._resting = Resting(loop, objects, self._spools.queues, self.spawn)
        #: Deaths of pids nobody has told us about yet: the template's word comes by another way.
        self._unknown_deaths: dict[int, int] = {}
        self._template_failures = 0
        self._programs = Daemons(loop, self._config, self._command_ended, self._check_stop, self.events.fired)
        self._watched = Watched(loop, self._reloads.ask, self._programs.crons.touched, self._programs.touched)
        self.events.others = self._programs.crons
        self.events.alarms.run = self._programs.crons.run_once
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
        job_control.watch(self._loop, self._children)
        self._spools.begin()
        self._sweeping.begin()
        self._programs.start_daemons()
        self._start_template()
        self._start.begin()
        while not self._over():
            self._loop.run_once()
        self._programs.close()
        self._attached.close()
        self._strays.close()
        self._control.close()
        self._resting.close()
        self._spools.close()
        self._sweeping.close()
        self._raiser.close()
        if self._failure is not None:
            raise self._failure
        return self._code

    def reload(self, why: str) -> None:
        """Replace the code and the processes, then have the command reload, once the bus is ready."""
        if self._stop is None:
            self._reloads.ask(why, command=True)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End the bus gracefully; nothing new if it is ending already. signum: what the command is told."""
        self._begin_stop(self._config.mercy, signum)

    def stop_at_once(self) -> None:
        """End the bus without waiting any longer for anybody."""
        if self._stop is None:
            self._begin_stop(0.0)
        else:
            self._stop.hurry()

    def abandon(self) -> None:
        """Another master has the bus: end what was started here, and nothing else."""
        self._objects.lost = True
        self._objects.set_state(table.STOPPED)
        self._begin_stop(min(self._config.mercy, _SHORT_MERCY))

    def repaired(self) -> None:
        """Files of the runtime directory were removed and made again: wake-ups may have been missed."""
        where = self._objects.where
        if self._stop is None and not os.path.lexists(where.control):
            self._control.rebind(where.runtime)
        after_death.nudge_everybody(self._objects, self._raiser)
        self._look_around()

    def leaves_interrupts(self) -> bool:
        """True while Ctrl-C is the command's business: it is on the terminal too, and the bus ends with it.

        As for a child of system(3): Ctrl-C in a prompt or an editor is not the end of the launcher's work.
        """
        return self._stop is None and self._programs.command_on_terminal()

    # The template

    def _start_template(self) -> None:
        if self._stop is not None:
            return
        try:
            self._forking.start_template()
        except OSError as error:
            if self._start.done or not exhaustion.refused(error):
                raise  # the loop tries again
            self._fail(str(exhaustion.explain(error, "the template (the process that loads the app)")))

    def adopt(self, template: Template) -> Template | None:
        """Fork from this template from now on. Returns the one before, which is the caller's now."""
        return self._forking.adopt(template)

    def retire(self, template: Template) -> None:
        """End a template that is needed no more."""
        self._forking.retire(template)

    def reload_command(self) -> None:
        """The mules have the new code: have the web server load it."""
        if self._stop is None:
            command_reload.reload(self._programs, self._objects.where, self._config, self._objects.table)

    def reconfigured(self) -> None:
        """A reload has brought another configuration, or taken it back."""
        self._watched.watch(self._config)
        self._programs.replace_daemons(self._config)
        self._schedule()

    def _schedule(self) -> None:
        self._programs.crons.replace(self._config)
        self._configured.replace(self._config.signal_events)
        self.events.alarms.replace(self._config.on_alarm)

    def template_loaded(self) -> None:
        """The template can fork."""
        self._template_failures = 0
        if not self._start.done and self._forking.want_all():
            self._start.watch()
        self._forking.go_on()

    def template_failed(self, text: str) -> None:
        """The app could not be loaded."""
        if self._start.done:
            log.event("error", f"the template was started again and could not load the app:\n{text}")
        else:
            self._fail(f"the app could not be loaded:\n{text}")

    def _template_ended(self, template: Template, status: int) -> None:
        if self._stop is not None:
            return
        if not self._start.done and not template.given_up:
            self._fail(f"the template (the process that loads the app) {describe_status(status)}")
            return
        self._template_failures += 1
        delay = min(0.1 * 2 ** min(self._template_failures - 1, 10), 30.0)
        log.event("warning", f"the template {describe_status(status)}: starting it again in {delay:g} s")
        self._loop.later(delay, self._start_template)

    # Mules, spoolers and workers

    def spawn(self, child: Child) -> None:
        """Have a child forked that does not run."""
        if self._stop is None:
            self._forking.want(child)

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
            self._loop.attempt(partial(self._ended, pid, status))

    def _ended(self, pid: int, status: int) -> None:
        if (template := self._forking.ended(pid)) is not None:
            self._template_ended(template, status)
            self._ask_again(pid)
        elif self._reloads.template_ended(pid, status) or self._forking.retired_ended(pid):
            self._ask_again(pid)
        elif self._programs.ended(pid, status):
            self._check_stop()
        elif (child := self._children.ended(pid)) is not None:
            self._harakiri.ended(pid)
            self._loop.attempt(partial(self._child_ended, child, pid, status))
        else:
            self._unknown_deaths[pid] = status
            if len(self._unknown_deaths) > 1000:  # orphans of the command's: nobody will ask for them
                self._unknown_deaths.pop(next(iter(self._unknown_deaths)))
            self._check_stop()

    def _ask_again(self, pid: int) -> None:
        """A template has ended: what it was asked for and did not do is another's work."""
        if self._stop is None:
            self._forking.ask_again(pid)

    def _child_ended(self, child: Child, pid: int, status: int) -> None:
        leaving = self._objects.table.cells[readiness.record_of(self._objects, child) + table.R_LEAVING]
        child.death = deaths.judge(child.sentence, leaving, status)
        worked = after_death.try_clean_up(self._objects, child, pid)
        if self._stop is not None:
            self._stop.check()  # what could not be put away is saved at the very end, or at the next start
            return
        if worked is None:
            self._loop.later(_AGAIN, lambda: self._put_away_at_last(child, pid, status))
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
        if child.sentence in (deaths.RELOADED, deaths.ASKED, deaths.MERCY) or deaths.is_planned(child.death):
            child.young_deaths = 0
        else:
            delay = child.died(of_task=child.role == "spooler" and worked)
            ordinary = readiness.may_respawn(self._objects, child, status, worked)
            self._reloads.died(child, ordinary, text)
        after_death.report(child, pid, delay, text, self.events.alarms.happened)
        if delay:
            self._loop.later(delay, lambda: self.spawn(child))
        else:
            self.spawn(child)

    def _put_away_at_last(self, child: Child, pid: int, status: int) -> None:
        if self._stop is None:
            self._child_ended(child, pid, status)

    # Readiness

    def _notified(self) -> None:
        try:
            os.read(self._objects.notify, 4096)
        except BlockingIOError:
            pass
        self._look_around()

    def _look_around(self) -> None:
        self._loop.attempt(self._attached.look)
        self._strays.look()
        self._harakiri.look()
        if self._objects.collect is not None and self._stop is None:
            self._loop.attempt(self._objects.collect)

    def _become_ready(self) -> None:
        self._objects.set_state(table.READY)
        saved_signals.release(self._objects.table, self._raiser)
        self._watched.watch(self._config)
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
        report = self._start.report()
        self._report(report)
        self._manager.ready(report)
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
            self._manager.stopping(mercy, str(self._failure or ""))
            self._forking.finish()
            self._stop = Stop(
                self._loop,
                self._children,
                self._forking.pid,
                self._programs,
                mercy,
                lambda child: task_in_hand.tell(self._objects, child),
            )
            self._stop.begin(signum)

    def _over(self) -> bool:
        return self._stop is not None and not (
            self._children.running() or self._programs.running() or self._forking.running()
        )


def _details(text: str) -> str:
    return f"before it was ready:\n{text}" if text else "before it was ready"
