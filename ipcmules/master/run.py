"""The master's entry: from a configuration to the bus's end, and its exit code.

Holds the bus's lock from before anything is touched until everything is removed.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ipcmules.bus import liveness, log, table
from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.places import (
    BUS_VARIABLE,
    COMPAT,
    RUNTIME_VARIABLE,
    STATE_VARIABLE,
    Places,
    check_state,
    places,
)
from ipcmules.errors import BusRunning, ConfigError, IpcMulesError, LimitError
from ipcmules.kernel import exhaustion, linux, processes, stray
from ipcmules.kernel.pidfile import PidFile
from ipcmules.kernel.supervision import Notifier
from ipcmules.locks import locks
from ipcmules.master.leftovers import dead_buses, saved_messages, saved_signals, takeover
from ipcmules.master.leftovers.feeder import Feeder
from ipcmules.master.leftovers.settling import Settling
from ipcmules.master.loop import control_socket as control_end
from ipcmules.master.loop import owner
from ipcmules.master.loop.selector import Loop
from ipcmules.master.loop.service_manager import ServiceManager
from ipcmules.master.objects import objects, spooldirs
from ipcmules.master.objects.objects import Objects
from ipcmules.master.objects.upkeep import Upkeep
from ipcmules.master.reload.reloader import Reread
from ipcmules.master.supervisor import Report, Supervisor
from ipcmules.messages import kept, queues

#: Descriptors that the master needs beside those of its queues and FIFOs: its loop, timers, sockets,
#: templates and guards, those of the control socket, and what it opens for a moment.
_DESCRIPTORS = 64 + control_end.MOST
#: And for each worker that attaches itself: to see its end, and its FIFO.
_A_WORKER = 2
Status = Callable[[Places], str]


def run(
    config: BusConfig,
    report: Callable[[dict[str, Any]], None] | None = None,
    control: int | None = None,
    reread: Reread | None = None,
    status: Status | None = None,
    notifier: Notifier | None = None,
    pidfile: PidFile | None = None,
) -> int:
    """Run a bus in this process until it is stopped. Main thread only, and no other thread may run.

    report: called once the bus is ready, with {"ready": True, "pid": of the master, "mules": how many,
        "workers": how many the master started, "seconds": how long the start took}.
    control: a descriptor; the bus stops when its other end is closed. It stops as well when
        config.owner ends, on SIGTERM or (without control) SIGINT, where a second one ends it at
        once, on SIGQUIT (at once), and when config.command ends. SIGHUP reloads, SIGUSR1 logs the status.
    reread: gives the configuration anew at a reload, raising ConfigError or OSError; without it a reload
        brings new code alone.
    status: gives the text that SIGUSR1 has logged.
    notifier: the service manager that is to hear how the bus is.
    pidfile: where the master's pid is to be while it has the bus.
    Returns the command's exit code (128 + n for a signal n), or 0.
    Raises StartError with the traceback if the app or a program could not start; ConfigError, LimitError,
    BusRunning or AccessError before anything was started. Nothing is left behind in either case.
    """
    began = time.monotonic()
    log.configure()
    log.prepare()
    log.identify(config.name, "master")
    if not os.path.isdir(config.directory):
        raise ConfigError(f"the directory {config.directory!r} does not exist: the bus's processes run there")
    processes.current()  # raises where there is no /proc
    queues.check_fits(config)
    _allow_descriptors(config)
    where = places(config.name)
    lock = liveness.hold(where)
    try:
        check_state(where)
        if pidfile is not None:
            pidfile.write()
        try:
            loop = Loop()
        except OSError as error:
            raise exhaustion.explain(error, f"bus {config.name!r} cannot start") from error
        manager = ServiceManager(loop, notifier)
        bus = _Bus(config, where, loop, report or _log_report, began, reread, status, lock, manager)
        try:
            return bus.run(control)
        except OSError as error:
            if isinstance(error, IpcMulesError) or not exhaustion.refused(error):
                raise
            raise exhaustion.explain(error, f"bus {config.name!r} cannot go on") from error
        finally:
            lock = bus.lock
            loop.close()
    finally:
        if pidfile is not None:
            pidfile.remove()
        liveness.release(where, lock)


def open_files(config: BusConfig, attached: int = 0) -> int:
    """How many files the master of such a bus may have open at once, with so many attached workers.

    It holds the FIFO of each mule, farm and worker, for itself and for raising what is due, and each worker's
    pidfd; a spool directory has a queue and a watch beside its FIFO; a socket may be open twice.
    """
    endpoints = 2 * (len(config.mules) + len(config.farms)) + (1 + _A_WORKER) * config.processes
    directories, sockets = 6 * len(config.spooled), 2 * len(config.sockets)
    return endpoints + directories + sockets + _A_WORKER * attached + _DESCRIPTORS


def _allow_descriptors(config: BusConfig) -> None:
    """Raise the master's soft limit of open files as far as it needs, or LimitError."""
    need, attached = open_files(config), WORKER_SLOTS - config.processes
    for_all = open_files(config, attached)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and for_all > hard:
        remedy = f"ulimit -n {for_all} (LimitNOFILE= of a unit; docker: --ulimit nofile={for_all})"
        if need > hard:
            raise LimitError(
                f"the master of this bus needs {need} open files, and {for_all} with all workers that can "
                f"attach themselves; the limit (RLIMIT_NOFILE) is {hard}: {remedy}"
            )
        log.event(
            "warning",
            f"the limit of open files (RLIMIT_NOFILE) is {hard}: enough for {(hard - need) // _A_WORKER} "
            f"attached workers of {attached}, with more of them timers may not reach all, and their ends are "
            f"seen late; {remedy}",
        )
        for_all = hard
    if soft != resource.RLIM_INFINITY and for_all > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (for_all, hard))


def _log_report(what: dict[str, Any]) -> None:
    log.event("info", f"ready: {what['mules']} mules, {what['workers']} workers in {what['seconds']:.2f} s")


class _Bus:
    """One run of a bus whose lock is held."""

    def __init__(
        self,
        config: BusConfig,
        where: Places,
        loop: Loop,
        report: Report,
        began: float,
        reread: Reread | None,
        status: Status | None,
        lock: int,
        manager: ServiceManager,
    ) -> None:
        #: The descriptor that holds the bus's lock.
        self.lock = lock
        self._lost = ""
        self._config = config
        self._where = where
        self._loop = loop
        self._report = report
        self._began = began
        self._reread = reread
        self._status = status
        self._manager = manager
        self._reload_asked = False
        self._stop_asked = False
        self._signalled = False
        self._supervisor: Supervisor | None = None

    def run(self, control: int | None) -> int:
        self._loop.on_signal(signal.SIGTERM, lambda: self._stop_by_signal(signal.SIGTERM))
        self._loop.on_signal(signal.SIGHUP, self._reload)
        # A terminal sends Ctrl-C to an embedding program as well, and what follows from it is that program's.
        if control is None:
            self._loop.on_signal(signal.SIGINT, lambda: self._stop_by_signal(signal.SIGINT))
        else:
            self._loop.on_signal(signal.SIGINT, lambda: None)
        self._loop.on_signal(signal.SIGQUIT, self._stop_at_once)
        self._loop.on_signal(signal.SIGUSR1, self._say_status)
        stray.ignore()
        owner.watch(self._loop, self._config.owner, control, self._stop)
        linux.become_subreaper()
        _export(self._where, self._config)
        processes.set_title(f"ipcmules: {self._where.bus} master")
        dead_buses.unnamed(os.path.dirname(self._where.runtime))
        spooldirs.prepare(self._config)
        self._take_over()
        if self._stop_asked:
            return 0
        made = objects.create(self._where, self._config, partial(saved_signals.give, self._where))
        saved_signals.forget(self._where)
        try:
            return self._supervise(made)
        finally:
            self._end(made)

    def _take_over(self) -> None:
        try:
            if self._config.named and (count := kept.take_older(self._where)):
                log.event("info", f"{count} messages that an older version kept are this bus's now")
            endpoints = queues.endpoints(self._config)
            self._manager.starting(self._config.mercy)
            takeover.take_over(self._where, self._config.mercy, self._pause, endpoints)
        except IpcMulesError:
            raise
        except OSError as error:
            raise LimitError(
                f"what bus {self._where.bus!r} left at its last end cannot be saved in {self._where.state}: "
                f"{error.strerror or error}; it stays where it is: make room and start again"
            ) from error

    def _supervise(self, made: Objects) -> int:
        feeder = Feeder(self._loop, self._where, made.description, made.table)
        feeder.begin()
        settling = Settling(self._loop, self._where)
        settling.look()

        def collect() -> None:
            feeder.look()
            settling.look()

        made.requeue, made.collect = feeder.add, collect
        reread = None if self._reread is None else partial(_reread, self._reread, self._where)
        self._supervisor = Supervisor(self._loop, made, self._report, self._began, self._manager, reread)
        if self._reload_asked:
            self._reload()
        upkeep = Upkeep(self._loop, made, self.lock, self._renewed, self._supervisor.repaired, self._leave_it)
        upkeep.begin()
        try:
            code = self._supervisor.run()
            if self._lost:
                raise BusRunning(self._lost)
            return code
        finally:
            upkeep.close()
            settling.close()
            feeder.close()

    def _renewed(self, lock: int) -> None:
        self.lock = lock

    def _leave_it(self, text: str) -> None:
        """Another master has the bus: end what was started here, and touch nothing."""
        self._lost = text
        if self._supervisor is not None:
            self._supervisor.abandon()

    def _end(self, made: Objects) -> None:
        if made.lost:
            locks.remove(made.description.semaphores)  # they have keys of their own
            made.close()
            return
        self._manager.saving()
        # First the word, then the drain: who sends after the drain sees the word and takes its message back.
        made.set_state(table.STOPPED)
        try:
            saved_signals.save(self._where, made.description, made.table)
            saved_messages.save(self._where, made.description)
        except OSError as error:
            # The next start finds it, as after a SIGKILL.
            log.event(
                "error",
                f"what the bus leaves cannot be saved in {self._where.state} ({error.strerror or error}), so "
                "it stays where it is, in queues and shared memory, until the next start",
            )
        else:
            objects.remove(self._where, made.description, made.table)
        finally:
            made.close()

    def _reload(self) -> None:
        self._reload_asked = True
        if self._supervisor is not None:
            self._supervisor.reload("asked for by SIGHUP")

    def _say_status(self) -> None:
        """SIGUSR1, as in uWSGI. Nothing that goes wrong with it may be the end of the bus."""
        log.reopen()
        try:
            if self._status is None:
                text = f"'ipcmules status --bus {self._where.bus}' shows the status"
            else:
                text = self._status(self._where)
        except Exception:
            log.exception("the status, which SIGUSR1 asks for, cannot be told:")
        else:
            log.event("info", text)

    def _stop(self, signum: int = signal.SIGTERM) -> None:
        self._stop_asked = True
        if self._supervisor is not None:
            self._supervisor.stop(signum)

    def _stop_by_signal(self, signum: int) -> None:
        """The first signal stops gracefully (the owner's end may have done so), a second one at once."""
        if signum == signal.SIGINT and self._supervisor is not None and self._supervisor.leaves_interrupts():
            return
        again, self._signalled = self._signalled, True
        if again:
            self._stop_at_once()
        else:
            self._stop(signum)

    def _stop_at_once(self) -> None:
        self._stop_asked = True
        if self._supervisor is not None:
            self._supervisor.stop_at_once()

    def _pause(self, seconds: float) -> bool:
        timer = self._loop.later(seconds, lambda: None)
        self._loop.run_once()
        timer.cancel()
        return not self._stop_asked


def _reread(reread: Reread, where: Places) -> BusConfig:
    """The configuration anew: what it sets in the environment (PYTHONPATH) goes behind what is needed."""
    config = reread()
    _export(where, config)
    return config


def _export(where: Places, config: BusConfig) -> None:
    """What every process of the bus finds in its environment."""
    os.environ[BUS_VARIABLE] = where.bus
    os.environ[RUNTIME_VARIABLE] = os.path.dirname(where.runtime)
    os.environ[STATE_VARIABLE] = os.path.dirname(where.state)
    if config.compat:
        _offer_compatibility()


def _offer_compatibility() -> None:
    """--compat: `import uwsgi` finds ours first, in every Python that is started from here."""
    paths = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each != COMPAT]
    os.environ["PYTHONPATH"] = os.pathsep.join([COMPAT, *paths])
