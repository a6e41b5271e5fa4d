"""The reloads that were asked for: one after the other, and what came meanwhile is done after it, once.

Knows when the bus may reload, and says in the table and the log what became of it; one reload is reloader.py.
"""

from __future__ import annotations

from ipcmules.bus import log, table
from ipcmules.master.children.children import Child, Children
from ipcmules.master.loop.selector import Loop
from ipcmules.master.loop.service_manager import ServiceManager
from ipcmules.master.objects.objects import Objects
from ipcmules.master.reload.reloader import Host, Reload, Reread
from ipcmules.process import failures


class Reloads:
    """One after the other: what is asked for while one runs is done after it, once."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        children: Children,
        host: Host,
        reread: Reread | None,
        manager: ServiceManager,
    ) -> None:
        self._loop = loop
        self._objects = objects
        self._children = children
        self._host = host
        self._reread = reread
        self._manager = manager
        self._code = 1
        self._asked = False
        self._only = ""
        self._command = False
        self._open = False
        self._current: Reload | None = None

    def open(self) -> None:
        """The bus is ready: reload if somebody asked meanwhile."""
        self._open = True
        self._go()

    def ask(self, why: str, only: str = "", command: bool = False) -> None:
        """Reload as soon as possible. only: replace the processes of one role alone. command: have the
        command reload afterwards.
        """
        log.event("info", f"reload: {why}")
        self._command = command or (self._asked and self._command)
        self._only = only if not self._asked or self._only == only else ""
        self._asked = True
        self._go()

    def close(self) -> None:
        """The bus stops: no reload any more, and the one that runs goes no further."""
        self._open = False
        if self._current is not None:
            self._current.call_off()
            self._done(self._current, "the bus was stopped meanwhile")

    def template_ended(self, pid: int, status: int) -> bool:
        """A process ended. Returns True if it was the template that is being loaded."""
        return self._current is not None and self._current.template_ended(pid, status)

    def died(self, child: Child, ordinary: bool, text: str) -> None:
        """A child died that nobody had told to. It may be a successor that cannot live."""
        if self._current is not None:
            self._current.died(child, ordinary, text)

    def _go(self) -> None:
        if not (self._open and self._asked) or self._current is not None:
            return
        self._asked = False
        self._manager.reloading()
        self._code += 1
        cells = self._objects.table.cells
        cells[table.H_RELOADS] += 1
        current = Reload(
            self._loop,
            self._objects,
            self._children,
            self._host,
            self._code,
            lambda text: self._done(current, text),
            self._only,
            self._command,
        )
        self._current = current
        current.begin(self._reread)

    def _done(self, reload: Reload, text: str) -> None:
        if reload is not self._current:
            return
        self._current = None
        cells = self._objects.table.cells
        if text:
            log.event("error", f"reload failed: {text}")
            self._host.events.alarms.happened("reload_failed", text)
            failures.leave(self._objects.where, "reload", text)
            cells[table.H_RELOAD_FAILED] = cells[table.H_RELOADS]
        cells[table.H_RELOADED] = cells[table.H_RELOADS]
        self._manager.reloaded(text)
        self._loop.later(0, self._go)
