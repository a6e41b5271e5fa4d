"""Tasks with results of a spooler of the cluster: enqueued on one host, run by the one spooler of another."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.peers import nats, spoolers
from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.queues import APP
from benchmarks.programs import queue_app_names as names
from benchmarks.workspace import ROOT, BenchError, base_environment

_SPOOLER = "bench"


class ClusterTasks:
    """As queues.Queue. replicas: of as many servers."""

    def __init__(self, replicas: int) -> None:
        nats.program()
        self._replicas = replicas

    def throughput(self, count: int) -> float:
        """Tasks a second that the spooler runs of so many that wait for it."""
        with nats.servers(self._replicas) as urls, self._host("sends", urls, 0) as sends:
            self._drive(sends, "fill", count)
            self._wait_stored(sends, count)
            with self._host("runs", urls, 1) as runs:
                return spoolers.rate(spoolers.wait_count(runs.work.directory, count, 120))

    def latency(self, count: int) -> float:
        """Seconds from enqueueing to the result, the median."""
        with (
            nats.servers(self._replicas) as urls,
            self._host("runs", urls, 1),
            self._host("sends", urls, 0) as sends,
        ):
            return self._drive(sends, "latency", count)

    @contextlib.contextmanager
    def _host(self, name: str, urls: str, processes: int) -> Iterator[IpcmulesBus]:
        options = ["--cluster", urls, "--host", name, "--cluster-replicas", str(self._replicas)]
        options += ["--cluster-spooler", f"{_SPOOLER}:{processes}", "--import", APP]
        options += ["--spooler-quiet", "--spooler-nice", "0"]
        variables = {names.QUEUE: names.OURS, names.PLACE: _SPOOLER}
        with IpcmulesBus(0, *options, variables=variables, suffix=f"-{name}") as bus:
            yield bus

    @staticmethod
    def _drive(bus: IpcmulesBus, what: str, count: int) -> float:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.programs.queue_driver", what, str(count)],
            env={
                **base_environment(), **bus.environment,
                "IPCMULES_BUS": bus.name, "BENCH_DIRECTORY": bus.work.directory,
            },
            cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"a spooler of the cluster: {done.stderr[-500:]}")
        return float(done.stdout)

    @staticmethod
    def _wait_stored(bus: IpcmulesBus, count: int) -> None:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                found = json.loads(bus.run("status", "--cluster", "--json"))
                if found["cluster"]["spoolers"][_SPOOLER]["stored"] >= count:
                    return
            if time.monotonic() > deadline:
                raise BenchError(f"{count} tasks were not stored within 120 s")
            time.sleep(0.1)
