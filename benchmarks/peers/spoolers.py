"""Spoolers and a task queue for Python that empty what was enqueued before they started, and then end.

Each side fills its store, starts, is waited for, and reports the rate from its first task to its last: so
neither the start nor the driver counts.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.programs import tally
from benchmarks.workspace import ROOT, BenchError, Skip, Workspace, base_environment, end

APP = "benchmarks.programs.spool_app"
_TMPFS = "/dev/shm"

#: Starts the spoolers of a directory: (directory, processes) to a running side.
Start = Callable[[str, int], AbstractContextManager[IpcmulesBus | UwsgiServer]]


@contextmanager
def directory(parent: str = _TMPFS) -> Iterator[str]:
    """An empty directory on tmpfs, where the disk does not decide."""
    where = parent if os.path.isdir(parent) else tempfile.gettempdir()
    path = tempfile.mkdtemp(prefix="bench-spool-", dir=where)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def ours(path: str, processes: int = 1, agents: int = 0, *more: str) -> IpcmulesBus:
    options = ["--spooler", path, "--spooler-processes", str(processes), "--spooler-quiet", "--import", APP]
    return IpcmulesBus(agents, *options, *more)


def uwsgi(path: str, processes: int = 1, agents: int = 0) -> UwsgiServer:
    options = ["--spooler", path, "--spooler-processes", str(processes), "--spooler-quiet"]
    return UwsgiServer(agents, *options, "--shared-import", APP)


def fill(path: str, count: int, at: float = 0) -> None:
    """Write tasks, two processes at a time; their files are the same for both sides."""
    half = count // 2
    children = [_fork(lambda part=part: _write(path, part, at)) for part in (half, count - half)]  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
    for child in children:
        _pid, status = os.waitpid(child, 0)
        if status:
            raise BenchError(f"the tasks could not be written: status {status}")


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _write(path: str, count: int, at: float) -> None:
    from ipcmules.spooler import request
    from ipcmules.spooler.enqueue import Writer

    writer = Writer(path)
    task = request.read({"key": "value", "number": 1} | ({"at": at} if at else {}))
    for _ in range(count):
        writer.put(task.head, at=task.at)


def wait_count(where: str, count: int, timeout: float) -> tally.Sum:
    """Until so many tasks have run."""
    deadline = time.monotonic() + timeout
    while True:
        found = tally.read(where)
        if found.count >= count:
            return found
        if time.monotonic() > deadline:
            raise BenchError(f"{found.count} of {count} tasks had run after {timeout} s")
        time.sleep(0.02)


def rate(found: tally.Sum) -> float:
    return (found.count - 1) / (found.last - found.first)


def drain(start: Start, path: str, count: int, processes: int = 1, timeout: float = 120) -> float:
    """Tasks a second with a backlog of that many."""
    fill(path, count)
    with start(path, processes) as side:
        found = wait_count(side.work.directory, count, timeout)
    if found.count != count:
        raise BenchError(f"{found.count} tasks ran, {count} were enqueued")
    return rate(found)


class Huey:
    """huey with one consumer process, on SQLite or on files."""

    def __init__(self, storage: str) -> None:
        if importlib.util.find_spec("huey") is None:
            raise Skip("huey is not installed")
        self._storage = storage

    def enqueue(self, count: int) -> float:
        """Tasks a second that one process enqueues."""
        with Workspace("huey") as work, directory() as path:
            return count / self._fill(work, path, count)

    def drain(self, count: int) -> float:
        """Tasks a second that one consumer process runs."""
        with Workspace("huey") as work, directory() as path:
            self._fill(work, path, count)
            consumer = Path(sys.executable).with_name("huey_consumer")
            command = [str(consumer), "benchmarks.programs.huey_app.huey"]  # as its users start it
            child = work.start([sys.executable, *command], **self._environment(path))
            found = wait_count(work.directory, count, 120)
            end(child, 15, 5)
        return rate(found)

    def _fill(self, work: Workspace, path: str, count: int) -> float:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.programs.huey_enqueue", str(count)],
            env={**base_environment(), "BENCH_DIRECTORY": work.directory, **self._environment(path)},
            cwd=ROOT, check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return float(done.stdout)

    def _environment(self, path: str) -> dict[str, str]:
        return {"BENCH_HUEY_STORAGE": self._storage, "BENCH_HUEY_PATH": path}
