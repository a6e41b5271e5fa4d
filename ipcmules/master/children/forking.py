"""Who forks and who is to be forked: the template in service, those before it, and the children wanted.

Knows templates and the records of children. When a template is started, and what its end or its words mean,
is the supervisor's.
"""

from __future__ import annotations

import signal

from ipcmules.bus import table
from ipcmules.kernel import kill
from ipcmules.master.children import readiness
from ipcmules.master.children.children import Child, Children
from ipcmules.master.children.templates import Listener, Template
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects.objects import Objects

#: A template that is needed no more has so long to end, seconds.
_RETIREMENT = 5.0


class Forking:
    """That of one bus."""

    def __init__(self, loop: Loop, objects: Objects, children: Children, listener: Listener) -> None:
        """listener hears what the templates started here say."""
        self._loop = loop
        self._objects = objects
        self._children = children
        self._listener = listener
        #: The one in service; None before the first and between two.
        self.template: Template | None = None
        #: Templates that are needed no more and have not ended yet, by pid.
        self._retired: dict[int, Template] = {}
        self._wanted: list[Child] = []

    def start_template(self) -> None:
        """Start one, if there is none. Raises OSError where there is no process or descriptor for it."""
        if self.template is None:
            self.template = Template(self._loop, self._listener, self._objects.table.cells[table.H_CODE])

    def adopt(self, template: Template) -> Template | None:
        """Fork from this template from now on. Returns the one before, which is the caller's now."""
        before, self.template = self.template, template
        self._objects.table.cells[table.H_CODE] = template.code
        self.go_on()
        return before

    def retire(self, template: Template) -> None:
        """End a template that is needed no more."""
        self._retired[template.pid] = template
        template.finish()

        def end() -> None:
            if template.pid in self._retired:
                kill.send_to_child(template.pid, signal.SIGKILL)

        self._loop.later(_RETIREMENT, end)

    def finish(self) -> None:
        """The bus ends: the template does what it was asked for, then ends too."""
        if self.template is not None:
            self.template.finish()
            self._loop.later(_RETIREMENT, self._end_template)

    def _end_template(self) -> None:
        if self.template is not None:  # it may be stopped: then it does not see that it is to end
            kill.send_to_child(self.template.pid, signal.SIGKILL)

    def want(self, child: Child) -> None:
        """Have a child forked that does not run, as soon as a template can."""
        if not (child.pid or child.asked or child.held) and child not in self._wanted:
            self._wanted.append(child)
            self.go_on()

    def want_all(self) -> bool:
        """At the start of a bus: every child there is. False if a template before has left some."""
        if self._wanted:
            return False
        self._wanted = list(self._children)
        return True

    def go_on(self) -> None:
        """Ask the template for what is wanted, if it has loaded the app."""
        if self.template is None or not self.template.loaded or not self._wanted:
            return
        wanted, self._wanted = self._wanted, []
        for child in wanted:
            readiness.before_spawn(self._objects, child)
            child.code, child.asked = self.template.code, self.template.pid
        self.template.fork([child.key for child in wanted])

    def ask_again(self, pid: int) -> None:
        """A template has ended: what it was asked for and did not do is another's work."""
        for child in self._children:
            if child.asked == pid:
                child.asked = 0
                self.want(child)

    def ended(self, pid: int) -> Template | None:
        """The template in service, out of service now, if that is who has ended."""
        if self.template is None or pid != self.template.pid:
            return None
        ended, self.template = self.template, None
        ended.close()
        return ended

    def retired_ended(self, pid: int) -> bool:
        """True if one that was needed no more has ended."""
        ended = self._retired.pop(pid, None)
        if ended is not None:
            ended.close()
        return ended is not None

    def is_loading(self) -> bool:
        """True while the template in service loads the app."""
        return self.template is not None and not self.template.loaded

    def pid(self) -> int:
        """Of the template in service; 0 if there is none."""
        return self.template.pid if self.template is not None else 0

    def running(self) -> bool:
        """True while any template has not ended."""
        return self.template is not None or bool(self._retired)
