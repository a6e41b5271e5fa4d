"""Our own side: a bus started by `ipcmules run`, as a user starts one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from benchmarks.workspace import ROOT, BenchError, Workspace, end

#: The programmed mule of the measures; a path, as on a user's command line.
AGENT = "benchmarks/programs/ipcmules_agent.py"
_READY = re.compile(rb"\bready\b", re.IGNORECASE)


def command() -> list[str]:
    """The launcher: the console script beside this interpreter, or the package in the checkout."""
    script = Path(sys.executable).with_name("ipcmules")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-m", "ipcmules"]


class IpcmulesBus:
    """`agents` programmed mules that do what they are asked, then whatever the options add."""

    label = "ipcmules"

    def __init__(
        self,
        agents: int,
        *options: str,
        timeout: float = 60,
        variables: Mapping[str, str] | None = None,
        suffix: str = "",
    ) -> None:
        self.work = Workspace("ipcmules")
        self.agents = {number: self.work.agent(f"mule{number}") for number in range(1, agents + 1)}
        self.name = f"bench{os.getpid()}{suffix}"
        self._options = [*(["--mule=" + AGENT] * agents), *options]
        self._timeout = timeout
        self.environment = {
            "IPCMULES_RUNTIME_DIR": os.path.join(self.work.directory, "run"),
            "IPCMULES_STATE_DIR": os.path.join(self.work.directory, "state"),
            **(variables or {}),
        }
        self._master: subprocess.Popen[bytes] | None = None
        #: Seconds from the command to the line that says that the bus is ready.
        self.started_in = 0.0

    def __enter__(self) -> IpcmulesBus:
        try:
            self._start()
        except BaseException:
            self.__exit__(BenchError, None, None)
            raise
        return self

    def _start(self) -> None:
        start = time.monotonic()
        run = [*command(), "run", "--bus", self.name, "--mule-reload-mercy", "5", *self._options]
        self._master = self.work.start(run, **self.environment)
        self._wait_ready(start + self._timeout)
        self.started_in = time.monotonic() - start
        for agent in self.agents.values():
            agent.wait_started(self._timeout)

    def _wait_ready(self, deadline: float) -> None:
        assert self._master is not None
        while not _READY.search(Path(self.work.log).read_bytes()):
            if self._master.poll() is not None:
                raise BenchError(f"ipcmules run ended with {self._master.returncode}: {self.work.tail()}")
            if time.monotonic() > deadline:
                raise BenchError(f"ipcmules run was not ready within {self._timeout} s")
            time.sleep(0.005)

    @property
    def master(self) -> int:
        """The master's pid."""
        assert self._master is not None
        return self._master.pid

    def run(self, *arguments: str) -> str:
        """Run another command of the command line on this bus; what it printed."""
        done = subprocess.run(
            [*command(), arguments[0], "--bus", self.name, *arguments[1:]],
            env={**os.environ, **self.environment}, cwd=ROOT,
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return done.stdout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stop()
        finally:
            self.work.__exit__(kind, error, trace)

    def _stop(self) -> None:
        if self._master is None:
            return
        if self._master.poll() is None:
            self._master.send_signal(signal.SIGTERM)
        self.work.rest()
        if end(self._master, signal.SIGTERM, 15):
            return
        end(self._master, signal.SIGKILL, 5)
        # A bus of that name takes over whatever the killed one left, and removes it at its own end.
        clean = [*command(), "run", "--bus", self.name, "--", shutil.which("true") or "true"]
        end(self.work.start(clean, **self.environment), 0, 15)
