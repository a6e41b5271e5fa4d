"""What 10,000 timers cost the master while none is due, and how late a timer of 10 ms is."""

from __future__ import annotations

import json
import os
import statistics
import time

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.proc import processor_time
from benchmarks.rows import Bench, Row, absolute, seconds
from benchmarks.workspace import BenchError

APP = "benchmarks.programs.timer_app"
TIMERS = 10_000
INTERVAL = 0.01


def run(bench: Bench) -> list[Row]:
    return [*_waiting(bench), *_lateness(bench)]


def _waiting(bench: Bench) -> list[Row]:
    watched = 2.0 if bench.quick else 10.0
    with IpcmulesBus(0, "--mule", "--import", APP, variables={"IPCMULES_BENCH_TIMERS": str(TIMERS)}) as bus:
        start = bus.started_in
        count = len(json.loads(bus.run("events", "--json")))
        if count != TIMERS:
            raise BenchError(f"the bus has {count} timers")
        time.sleep(1)
        before = processor_time(bus.master)
        time.sleep(watched)
        share = (processor_time(bus.master) - before) / watched
    label = f"{TIMERS:,} timers in one bus"
    return [
        absolute(f"{label}: the master's share of a core, none due", f"{share:.2%}", "<= 1%", share <= 0.01),
        absolute(f"{label}: started in", seconds(start), "", None),
    ]


def _lateness(bench: Bench) -> list[Row]:
    watched = 2.0 if bench.quick else 10.0
    with IpcmulesBus(0, "--mule", "--import", APP) as bus:
        (found,) = json.loads(bus.run("events", "--json"))
        time.sleep(watched)
        path = os.path.join(bus.work.directory, "times")
        bus.run("signal", "18")
        deadline = time.monotonic() + 10
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise BenchError("the mule did not tell its times")
            time.sleep(0.01)
        with open(path, encoding="ascii") as file:
            times = [float(each) for each in file]
    # Every tick is due at the first one's time plus a whole number of intervals.
    late = statistics.median((each - found["next"]) % INTERVAL for each in times)
    return [
        absolute("a timer of 10 ms: how late its handler is called", seconds(late), "<= 2 ms", late <= 2e-3)
    ]
