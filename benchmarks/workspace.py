"""Everything a measure leaves in the world, and how it goes away again: directories, processes, FIFOs.

Knows nothing of what the processes are. Every wait has a deadline. What the driver starts dies with
the driver even if that is killed (PR_SET_PDEATHSIG), and its processes are groups of their own, so that
an interrupt at the keyboard reaches the driver alone and the driver cleans up.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.programs import channel

#: The checkout: `benchmarks` is imported from here in every process under test.
ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """A process under test did not do what it was asked to do in time."""


class Skip(Exception):
    """This machine cannot take that measure; the text says why."""


def die_with_driver() -> None:
    """To be called in a child: SIGTERM when the driver is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Agent:
    """The driver's end of a channel to one process under test."""

    def __init__(self, directory: str, name: str) -> None:
        self.name = name
        self.pid = 0
        requests, answers = channel.paths(directory, name)
        os.mkfifo(requests, 0o600)
        os.mkfifo(answers, 0o600)
        # The answers are opened for writing too, so that they have no end while a process restarts.
        self._answers = os.open(answers, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._reader = os.open(requests, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._requests = os.open(requests, os.O_WRONLY | os.O_CLOEXEC)
        self._pending = b""

    def wait_started(self, timeout: float = 30) -> None:
        """Until the process has opened its end."""
        self.pid = self.answer(timeout)["pid"]
        os.close(self._reader)
        self._reader = -1

    def ask(self, request: str, *arguments: Any) -> None:
        os.write(self._requests, json.dumps([request, arguments]).encode() + b"\n")

    def answer(self, timeout: float = 30) -> Any:
        """The answer to the oldest request. Raises BenchError when it does not come in time."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise BenchError(f"{self.name} did not answer within {timeout} s")
            self._pending += os.read(self._answers, 65536)
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def call(self, request: str, *arguments: Any, timeout: float = 30) -> Any:
        self.ask(request, *arguments)
        return self.answer(timeout)

    def close(self) -> None:
        for descriptor in (self._answers, self._requests, self._reader):
            if descriptor >= 0:
                os.close(descriptor)


class Workspace:
    """A temporary directory with the agents and processes of one side. Use it in a `with` block."""

    def __init__(self, name: str) -> None:
        self.directory = tempfile.mkdtemp(prefix=f"bench-{name}-")
        self.log = os.path.join(self.directory, "log")
        self._agents: list[Agent] = []
        self._children: list[subprocess.Popen[bytes]] = []

    def agent(self, name: str) -> Agent:
        """Make the channel to a process; it must start later and serve that name."""
        agent = Agent(self.directory, name)
        self._agents.append(agent)
        return agent

    def start(self, command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a command from the checkout, with its output in the log."""
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**base_environment(), channel.DIRECTORY_VARIABLE: self.directory, **environment},
                start_new_session=True,
                preexec_fn=die_with_driver,  # noqa: PLW1509 - the driver has no threads
            )
        self._children.append(child)
        return child

    def tail(self, lines: int = 12) -> str:
        """The end of what the processes printed, for an error."""
        with contextlib.suppress(OSError):
            return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def rest(self) -> None:
        """Tell the agents that no more requests come."""
        for agent in self._agents:
            with contextlib.suppress(OSError):
                agent.ask("rest")

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, (Skip, KeyboardInterrupt)):
            print(self.tail(), file=sys.stderr)
        for child in self._children:
            end(child, signal.SIGKILL, 5)
        for agent in self._agents:
            agent.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def base_environment() -> dict[str, str]:
    """This process's environment without a bus of somebody else's, and with the checkout importable.

    Compiled modules are kept, as they are for an installed package: else each import would compile anew.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IPCMULES_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    others = [each for each in kept.get("PYTHONPATH", "").split(os.pathsep) if each]
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *others])
    return kept


def end(child: subprocess.Popen[bytes], number: int, timeout: float) -> bool:
    """Send a signal to a child's group and wait. False if it is still there after that time."""
    if child.poll() is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout)
        return True
    return False
