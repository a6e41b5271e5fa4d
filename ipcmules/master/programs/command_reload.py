"""Having the command load its code again, after a reload has replaced the mules.

The web servers below it have said how they do that (bus/webservers.py). Otherwise it is told by the signal of
--command-reload-signal, or the log says that it keeps its code.
"""

from __future__ import annotations

import signal

from ipcmules.bus import log, webservers
from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.programs.daemons import Daemons


def reload(programs: Daemons, where: Places, config: BusConfig, shared: Table) -> None:
    """Tell the command, or the web servers below it, and say in the log what was done."""
    pid = programs.command_pid()
    if not pid:
        return
    if config.command_reload_signal:
        kill.send_to_child(pid, signal.Signals[config.command_reload_signal])
        log.event("info", f"reload: the command (pid {pid}) was sent {config.command_reload_signal}")
        return
    servers = webservers.found(where)
    if any(each.reload == "restart" for each in servers):
        names = ", ".join(f"{each.kind} (pid {each.process.pid})" for each in servers)
        log.event(
            "info", f"reload: the command is ended and started again, for {names} loads no new code else"
        )
        _await_workers(shared, {each.process for each in servers})
        programs.restart_command()
        return
    for each in servers:
        if kill.send(each.process, signal.SIGHUP):
            text = f"{each.kind} (pid {each.process.pid}) was sent SIGHUP, to replace its workers"
            log.event("info", f"reload: {text}")
    if not servers:
        log.event(
            "info",
            f"reload: the command (pid {pid}) keeps its code: it is no web server that is known (gunicorn, "
            "granian, uvicorn): --command-reload-signal says how it reloads",
        )


def _await_workers(shared: Table, servers: set[ProcessId]) -> None:
    """The servers end, and their workers: what is raised for them waits for those of the next server."""
    master = processes.current()
    for number in range(1, WORKER_SLOTS + 1):
        record = shared.worker(number)
        if shared.parent(record) in servers:
            shared.set_parent(record, master)
