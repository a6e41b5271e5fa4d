"""The real uWSGI, with a worker that serves nobody and mules that do what the driver asks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from benchmarks.workspace import ROOT, BenchError, Skip, Workspace, end

AGENT = "benchmarks/programs/uwsgi_agent.py"


def command() -> str:
    """The uwsgi beside this interpreter. Raises Skip if it is not installed."""
    beside = str(Path(sys.executable).with_name("uwsgi"))
    found = shutil.which(beside) or shutil.which("uwsgi")
    if found is None:
        raise Skip("uwsgi is not installed")
    return found


class UwsgiServer:
    """`agents` programmed mules that do what they are asked, then whatever the options add."""

    label = "uWSGI"

    def __init__(self, agents: int, *options: str) -> None:
        executable = command()
        self.work = Workspace("uwsgi")
        self.agents = {number: self.work.agent(f"mule{number}") for number in range(1, agents + 1)}
        self._command = [
            executable, "--master", "--no-orphans", "--die-on-term", "--processes", "1",
            "--socket", os.path.join(self.work.directory, "socket"),
            "--home", sys.prefix, "--pythonpath", str(ROOT),
            *(["--mule=" + AGENT] * agents), *options,
        ]  # fmt: skip
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> UwsgiServer:
        try:
            self._master = self.work.start(self._command)
            for agent in self.agents.values():
                agent.wait_started()
            self.wait_log(b"spawned uWSGI worker 1", 30)
        except BaseException:
            self.__exit__(BenchError, None, None)
            raise
        return self

    def wait_log(self, text: bytes, timeout: float) -> None:
        """Until uWSGI has printed that."""
        deadline = time.monotonic() + timeout
        while text not in Path(self.work.log).read_bytes():
            if time.monotonic() > deadline:
                raise BenchError(f"uWSGI did not print {text!r} within {timeout} s")
            time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._master is not None:
                # SIGINT ends it without mercy; its mules follow by their own PR_SET_PDEATHSIG.
                end(self._master, signal.SIGINT, 5)
        finally:
            self.work.__exit__(kind, error, trace)
