"""Mischief of the kind 'kill': kills, stops, restarts and reloads."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

from chaos import looking
from chaos.looking import identity
from ipcmules.kernel.processes import ProcessId

if TYPE_CHECKING:
    from chaos.director import Deeds, Director

#: Longest SIGSTOP, seconds.
_STOPPED = 0.4


class Killing:
    """Whom it hits is random; the director counts each kill for the ledger."""

    def __init__(self, director: Director) -> None:
        self._director = director
        self._random = director.random

    def deeds(self) -> Deeds:
        """What to do, with weights."""
        return [
            (7, self._kill_mule),
            (3, self._kill_sender),
            (3, self._kill_template),
            (3, self._kill_master),
            (2, self._restart_master),
            (3, self._reload),
            (6, self._stop_somebody),
        ]

    def _kill_mule(self) -> None:
        mules = looking.mules()
        if mules:
            number, process = self._random.choice(mules)
            if self._kill("mule", process):
                self._director.mule_kills[number] += 1

    def _kill_sender(self) -> None:
        running = self._director.running_senders()
        if running:
            sender = self._random.choice(running)
            assert sender.process is not None
            sender.killed.add(sender.name)
            self._kill("sender", identity(sender.process))

    def _kill_template(self) -> None:
        template = looking.template(self._director.master.pid)
        if template is not None:
            self._kill("template", template)

    def _kill_master(self) -> None:
        """Once, or again while the successor takes over."""
        director = self._director
        for _ in range(self._random.choice((1, 1, 2, 3))):
            self._kill("master", identity(director.master))
            director.master.wait()
            director.start_master()
            director.sleep(self._random.uniform(0.0, 0.7))
        director.wait_ready()

    def _restart_master(self) -> None:
        director = self._director
        director.deeds["restarts"] += 1
        director.continue_all()
        # Before its handlers are there SIGTERM ends it as any program.
        expected = (0,) if director.is_ready() else (0, -signal.SIGTERM)
        director.master.send_signal(signal.SIGTERM)
        try:
            code = director.master.wait(director.patience)
            if code not in expected and not director.may_fail_to_start():
                director.problems.append(f"the master ended with {code} at SIGTERM")
        except subprocess.TimeoutExpired:
            director.problems.append("the master did not stop in time")
            self._kill("master", identity(director.master))
            director.master.wait()
        time.sleep(self._random.uniform(0.0, 0.3))
        director.start_master()
        if self._random.random() < 0.5:
            director.wait_ready()

    def _reload(self) -> None:
        # SIGHUP ends a process that has no handler for it yet.
        if self._director.is_ready():
            self._director.master.send_signal(signal.SIGHUP)
            self._director.deeds["reloads"] += 1

    def _stop_somebody(self) -> None:
        director = self._director
        candidates = [process for _, process in looking.mules()]
        candidates += [identity(each.process) for each in director.running_senders() if each.process]
        candidates += [identity(director.master)]
        template = looking.template(director.master.pid)
        candidates += [template] if template is not None else []
        process = self._random.choice(candidates)
        if looking.send(process, signal.SIGSTOP):
            director.deeds["stops"] += 1
            director.stopped.append((time.monotonic() + self._random.uniform(0.01, _STOPPED), process))

    def _kill(self, role: str, process: ProcessId) -> bool:
        ready = self._director.is_ready()
        if not looking.send(process, signal.SIGKILL):
            return False
        self._director.killed(role, process.pid, ready)
        return True
