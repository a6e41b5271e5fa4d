"""Reloading: a new template loads the new code, then all processes are replaced; or the old code stays.

One Reload is one of them; asked.py has the order of what is asked for. The supervisor owns the template and
the children; what a reload needs of it is said in Host.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Protocol

from ipcmules.bus import description as descriptions
from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import exhaustion
from ipcmules.master.children import last_words
from ipcmules.master.children.children import Child, Children, describe_status
from ipcmules.master.children.templates import Template
from ipcmules.master.events.service import Events
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.master.reload.roll import PATIENCE, Roll
from ipcmules.options.cluster import Cluster
from ipcmules.signals import entries
from ipcmules.signals.registry_lock import registry_lock
from ipcmules.signals.threads import threads

#: When to try again while another process holds the registry's lock: the master waits for nobody. Seconds.
_AGAIN = 0.1

#: Reads the configuration again. Raises ConfigError or OSError.
Reread = Callable[[], BusConfig]


class Host(Protocol):
    """What a reload needs of the supervisor: it owns the templates, and forks."""

    @property
    def events(self) -> Events:
        """The timers, crons and monitors."""

    def adopt(self, template: Template) -> Template | None:
        """Fork from this template from now on. Returns the one before."""

    def retire(self, template: Template) -> None:
        """It is needed no more: end it."""

    def spawn(self, child: Child) -> None:
        """Start a child that does not run."""

    def reload_command(self) -> None:
        """The mules have the new code: the web server is to load it, too."""

    def reconfigured(self) -> None:
        """The configuration in the description counts from now on; it may be as it was."""

    def forked(self, role: str, number: int, pid: int) -> None:
        """As templates.Listener."""

    def refused(self, role: str, number: int, reason: str) -> None:
        """As templates.Listener."""

    def template_loaded(self) -> None:
        """As templates.Listener."""

    def template_failed(self, text: str) -> None:
        """As templates.Listener."""


class Reload:
    """One reload. done(text) is called once, with '' or what failed."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        children: Children,
        host: Host,
        code: int,
        done: Callable[[str], None],
        only: str = "",
        command: bool = False,
    ) -> None:
        self._loop = loop
        self._command = command
        self._objects = objects
        self._wanted = [each for each in children if not only or each.role == only]
        self._only = only
        self._children = children
        self._host = host
        self._code = code
        self._done = done
        self._began = time.monotonic()
        self._before = objects.description
        self._environment = dict(os.environ)
        self._entries = entries.snapshot(objects.table)
        self._loading: Template | None = None  #: the new template, until it has loaded
        self._old: Template | None = None  #: the one before, while the new one's processes are on trial
        self._new: Template | None = None
        self._patience: Timer | None = None
        self._question: last_words.Question | None = None
        self._over = self._retried = False
        self._roll: Roll | None = None

    def begin(self, reread: Reread | None) -> None:
        """Read the configuration again and start the new template."""
        problem = self._reconfigure(reread)
        if problem:
            self._fail(problem)
            return
        self._host.events.book.begin_trial(self._code)
        self._load()

    def _load(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        try:
            self._loading = Template(self._loop, self, self._code, trial=True)
        except OSError as error:
            self._fail(f"no other template can be started: {error.strerror}; {exhaustion.remedy(error)}")
            return
        self._patience = self._loop.later(self._time(), self._takes_too_long)

    def call_off(self) -> None:
        """Go no further: the bus stops."""
        self._over = True
        self._stop_loading()
        if self._roll is not None:
            self._roll.cancel()
        if self._old is not None:
            self._host.retire(self._old)

    # The configuration

    def _reconfigure(self, reread: Reread | None) -> str:
        if reread is None:
            return ""
        try:
            config = reread()
        except (OSError, ValueError) as error:
            return f"the configuration cannot be read again: {error}"
        now = self._before.config
        changed = [
            what
            for what, before, after in (
                ("mules", now.mules, config.mules),
                ("farms", now.farms, config.farms),
                ("locks", now.locks, config.locks),
                ("processes", now.processes, config.processes),
                ("spoolers", now.spoolers, config.spoolers),
                ("spooler-processes", now.spooler_processes, config.spooler_processes),
                ("bus", now.name, config.name),
                ("the cluster's options", _cluster(now), _cluster(config)),
            )
            if before != after
        ]
        if changed:
            return (
                f"the configuration changes {', '.join(changed)}, which a running bus cannot: "
                "stop the bus and start it again"
            )
        self._describe(replace(self._before, config=config))
        return ""

    def _describe(self, found: descriptions.Description) -> None:
        if found.config != self._objects.description.config:
            self._objects.description = found
            descriptions.write(self._objects.where, found)

    # The new template: templates.Listener

    def template_loaded(self) -> None:
        """The new code is there: now the processes."""
        template, self._loading = self._loading, None
        if template is None or self._patience is None:
            return
        if self._question is not None:  # too late: it is dying of the question
            self._loading = template
            return
        self._patience.cancel()
        self._host.reconfigured()  # not before: what does not load ends no daemon
        template.listener = self._host
        self._new = template
        self._old = self._host.adopt(template)
        self._roll = Roll(self._loop, self._objects, self._code, self._wanted, self._host.spawn, self._rolled)
        self._roll.begin()

    def template_failed(self, text: str) -> None:
        """The new code cannot be loaded."""
        self._fail(f"the new code could not be loaded; the old code goes on:\n{text}")

    def forked(self, role: str, number: int, pid: int) -> None:
        """As templates.Listener; a template that loads forks nothing."""
        self._host.forked(role, number, pid)

    def refused(self, role: str, number: int, reason: str) -> None:
        """As forked()."""
        self._host.refused(role, number, reason)

    def template_ended(self, pid: int, status: int) -> bool:
        """A process ended. Returns True if it was the template that is being loaded."""
        if self._old is not None and pid == self._old.pid:
            self._old.close()
            self._old = None
            return True
        if self._loading is None or pid != self._loading.pid:
            return False
        template = self._loading
        template.close()  # hears what it said at last
        if self._question is not None:
            self._loading = None
            self._question.ended()
        elif self._loading is not None and template.given_up and not self._retried:
            self._retried = True
            self._load()
        elif self._loading is not None:
            self._loading = None
            self._fail(
                f"the new template (the process that loads the app) {describe_status(status)} while it "
                "loaded the new code; the old code goes on"
            )
        return True

    def _time(self) -> float:
        return max(self._objects.description.config.mercy, PATIENCE)

    def _takes_too_long(self) -> None:
        template = self._loading
        if template is None:
            return

        def failed(text: str) -> None:
            more = f". It was doing this:\n{text}" if text else ""
            if self._new is None and not self._over:
                self._fail(
                    f"the new code was not loaded within {self._time():g} s; the old code goes on{more}"
                )

        path = self._objects.where.stack("template")
        self._question = last_words.Question(self._loop, template.pid, path, failed)

    def _stop_loading(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._loading is not None:
            self._host.retire(self._loading)
            self._loading = None

    # The processes

    def died(self, child: Child, ordinary: bool, text: str) -> None:
        """As Reloads.died()."""
        if self._roll is not None:
            self._roll.died(child, ordinary, text)

    def _rolled(self, text: str) -> None:
        self._roll = None
        if text:
            self._fail(f"the old code goes on: {text}")
            return
        if self._old is not None:
            self._host.retire(self._old)
            self._old = None
        if not self._only:  # else processes of the old code go on, with their signals and events
            self._host.events.drop_outdated(self._code)
            self._with_registry(self._drop_outdated)
        seconds = time.monotonic() - self._began
        log.event("info", f"reloaded: {len(self._wanted)} processes replaced in {seconds:.2f} s")
        if self._command:
            self._host.reload_command()
        self._done("")

    def _drop_outdated(self) -> None:
        dropped = entries.drop_outdated(self._objects.table, self._code)
        if dropped:
            log.event("info", f"signals that the new code does not register: {', '.join(map(str, dropped))}")

    def _fail(self, text: str) -> None:
        """Back to what was before, then say so."""
        self._over = True
        self._stop_loading()
        os.environ.clear()
        os.environ.update(self._environment)
        self._describe(self._before)
        self._host.reconfigured()
        self._host.events.book.take_back()
        self._with_registry(self._take_back)
        if self._new is None:
            self._done(text)
        elif self._old is None:
            # The old template has died meanwhile: there is nothing to go back to.
            self._done(f"{text}\n(the old template is dead: what was replaced stays so)")
        else:
            self._roll_back(self._old, text)

    def _roll_back(self, old: Template, text: str) -> None:
        new = self._host.adopt(old)
        self._old = None
        if new is not None:
            self._host.retire(new)

        def ended(_text: str) -> None:
            self._roll = None
            self._host.events.book.take_back()
            self._with_registry(self._take_back)
            self._done(text)

        replaced = [child for child in self._children if child.code == self._code]
        self._roll = Roll(
            self._loop, self._objects, old.code, replaced, self._host.spawn, ended, strict=False
        )
        self._roll.begin()

    def _take_back(self) -> None:
        entries.take_back(self._objects.table, self._entries, self._code)

    def _with_registry(self, write: Callable[[], None]) -> None:
        try:
            with threads(), registry_lock(self._objects.where, patience=0.0):
                write()
        except IpcMulesError:  # another process has the lock, or there is no descriptor for it
            self._loop.later(_AGAIN, lambda: self._with_registry(write))


def _cluster(config: BusConfig) -> list[object]:
    return [getattr(config, each.name) for each in fields(Cluster)]
