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

from ipcmules import linux, liveness, log, table
from ipcmules.config import BusConfig
from ipcmules.errors import ConfigError, LimitError
from ipcmules.master import leftovers, objects, owner, pending, spooldirs, sweep, takeover
from ipcmules.master.feeder import Feeder
from ipcmules.master.loop import Loop
from ipcmules.master.objects import Objects
from ipcmules.master.reload import Reread
from ipcmules.master.supervisor import Report, Supervisor
from ipcmules.messages import queues
from ipcmules.places import (
    BUS_VARIABLE,
    COMPAT,
    RUNTIME_VARIABLE,
    STATE_VARIABLE,
    Places,
    check_state,
    places,
)

#: Descriptors the master needs beside those of mules and farms: its loop, sockets (those of the control
#: socket too), attached workers.
_DESCRIPTORS = 192


def run(
    config: BusConfig,
    report: Callable[[dict[str, Any]], None] | None = None,
    control: int | None = None,
    reread: Reread | None = None,
) -> int:
    """Run a bus in this process until it is stopped. Main thread only, and no other thread may run.

    report: called once the bus is ready, with {"ready": True, "pid": of the master, "mules": how many,
        "workers": how many the master started, "seconds": how long the start took}.
    control: a descriptor; the bus stops when its other end is closed. It stops as well when
        config.owner ends, on SIGTERM or (without control) SIGINT, where a second one ends it at
        once, on SIGQUIT (at once), and when config.command ends. SIGHUP reloads.
    reread: gives the configuration anew at a reload, raising ConfigError or OSError; without it a reload
        brings new code alone.
    Returns the command's exit code (128 + n for a signal n), or 0.
    Raises StartError with the traceback if the app or a program could not start; ConfigError, LimitError,
    BusRunning or AccessError before anything was started. Nothing is left behind in either case.
    """
    began = time.monotonic()
    log.configure()
    log.identify(config.name, "master")
    if not os.path.isdir(config.directory):
        raise ConfigError(f"the directory {config.directory!r} does not exist: the bus's processes run there")
    queues.check_fits(config)
    _allow_descriptors(config)
    where = places(config.name)
    lock = liveness.hold(where)
    try:
        check_state(where)
        loop = Loop()
        try:
            return _Bus(config, where, loop, report or _log_report, began, reread).run(control)
        finally:
            loop.close()
    finally:
        liveness.release(where, lock)


def open_files(config: BusConfig) -> int:
    """How many files the master of such a bus may have open at once.

    It holds the FIFO of each mule, farm and worker, for itself and for raising what is due; a spool directory
    has a queue and a watch beside its FIFO.
    """
    endpoints = len(config.mules) + len(config.farms) + config.processes
    return 2 * endpoints + 6 * len(config.spooled) + _DESCRIPTORS


def _allow_descriptors(config: BusConfig) -> None:
    """Raise the master's soft limit of open files as far as it needs, or LimitError."""
    need = open_files(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and need > soft:
        if hard != resource.RLIM_INFINITY and need > hard:
            raise LimitError(
                f"the master of this bus needs {need} open files, the limit (RLIMIT_NOFILE) is {hard}: "
                f"ulimit -n {need}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


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
    ) -> None:
        self._config = config
        self._where = where
        self._loop = loop
        self._report = report
        self._began = began
        self._reread = reread
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
        owner.watch(self._loop, self._config.owner, control, self._stop)
        linux.become_subreaper()
        _export(self._where)
        if self._config.compat:
            _offer_compatibility()
        _set_title(f"ipcmules: {self._where.bus} master")
        sweep.unnamed(os.path.dirname(self._where.runtime))
        spooldirs.prepare(self._config)
        endpoints = queues.endpoints(self._config)
        takeover.take_over(self._where, self._config.mercy, self._pause, endpoints)
        if self._stop_asked:
            return 0
        made = objects.create(self._where, self._config, partial(pending.give, self._where))
        try:
            return self._supervise(made)
        finally:
            self._end(made)

    def _supervise(self, made: Objects) -> int:
        feeder = Feeder(self._loop, self._where, made.description, made.table)
        feeder.look()
        made.requeue, made.collect = feeder.add, feeder.look
        self._supervisor = Supervisor(self._loop, made, self._report, self._began, self._reread)
        if self._reload_asked:
            self._reload()
        try:
            return self._supervisor.run()
        finally:
            feeder.close()

    def _end(self, made: Objects) -> None:
        # First the word, then the drain: who sends after the drain sees the word and takes its message back.
        made.set_state(table.STOPPED)
        try:
            pending.save(self._where, made.description, made.table)
            leftovers.save(self._where, made.description)
        except OSError:
            # The next start finds it, as after a SIGKILL.
            log.exception(
                "what the bus leaves cannot be saved, so it stays where it is until its next start:"
            )
        else:
            objects.remove(self._where, made.description, made.table)
        finally:
            made.close()

    def _reload(self) -> None:
        self._reload_asked = True
        if self._supervisor is not None:
            self._supervisor.reload("asked for by SIGHUP")

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


def _export(where: Places) -> None:
    """What every process of the bus finds in its environment."""
    os.environ[BUS_VARIABLE] = where.bus
    os.environ[RUNTIME_VARIABLE] = os.path.dirname(where.runtime)
    os.environ[STATE_VARIABLE] = os.path.dirname(where.state)


def _offer_compatibility() -> None:
    """--compat: `import uwsgi` finds ours first, in every Python that is started from here."""
    paths = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each != COMPAT]
    os.environ["PYTHONPATH"] = os.pathsep.join([COMPAT, *paths])


def _set_title(title: str) -> None:
    import setproctitle

    setproctitle.setproctitle(title)
