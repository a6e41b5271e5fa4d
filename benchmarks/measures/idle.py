"""100 signal-only mules with an app loaded: how fast they start, what they cost while nothing happens."""

from __future__ import annotations

import json
import os
import time

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.proc import pss, voluntary_switches
from benchmarks.rows import Bench, Row, absolute, seconds
from benchmarks.workspace import BenchError

APP = "benchmarks.programs.idle_app"
MULES = 100
MIB = 1 << 20


def _wait_size(path: str, size: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not os.path.exists(path) or os.path.getsize(path) < size:
        if time.monotonic() > deadline:
            raise BenchError(f"not every mule had collected its garbage within {timeout} s")
        time.sleep(0.05)


def run(bench: Bench) -> list[Row]:
    watched = 2.0 if bench.quick else 10.0
    with IpcmulesBus(0, "--mules", str(MULES), "--import", APP) as bus:
        status = json.loads(bus.run("status", "--json"))
        pids = [mule["pid"] for mule in status["mules"]]
        time.sleep(1)
        before = sum(voluntary_switches(pid) for pid in [*pids, bus.master])
        time.sleep(watched)
        wakeups = sum(voluntary_switches(pid) for pid in [*pids, bus.master]) - before
        idle = max(pss(pid) for pid in pids)
        bus.run("signal", "30")
        _wait_size(os.path.join(bus.work.directory, "collected"), MULES, 60)
        time.sleep(1)
        collected = max(pss(pid) for pid in pids)
        start = bus.started_in
    label = f"{MULES} idle signal-only mules, app loaded"
    return [
        absolute(f"{label}: started in", seconds(start), "<= 2 s", start <= 2),
        absolute(f"{label}: wake-ups in {watched:.0f} s, master's too", str(wakeups), "0", wakeups == 0),
        absolute(f"{label}: largest PSS", f"{idle / MIB:.2f} MiB", "<= 4 MiB", idle <= 4 * MIB),
        absolute(
            f"{label}: after gc.collect()", f"{collected / MIB:.2f} MiB", "<= 4 MiB", collected <= 4 * MIB
        ),
    ]
