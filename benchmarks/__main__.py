"""`python -m benchmarks`: takes every measure and prints one table."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable

from benchmarks.measures import (
    busy,
    caches,
    cluster,
    deep,
    direct,
    hosts,
    idle,
    importing,
    large,
    latency,
    queues,
    shared,
    signals,
    spool_load,
    spooler,
    timers,
    wakeups,
)
from benchmarks.rows import BACKLOG, Bench, Row, skipped, table

MEASURES: dict[str, Callable[[Bench], list[Row]]] = {
    "direct": direct.run,
    "hundred": direct.run_hundred,
    "deep": deep.run,
    "farm": shared.run_farm,
    "farm-senders": shared.run_senders,
    "pool": shared.run_pool,
    "busy": busy.run,
    "trickle": latency.run_trickle,
    "pingpong": latency.run_pingpong,
    "one-core": latency.run_one_core,
    "wakeups": wakeups.run,
    "large": large.run,
    "raise": signals.run_raise,
    "behind": signals.run_behind,
    "timers": timers.run,
    "spool-enqueue": spooler.run_enqueue,
    "spool-drain": spooler.run_drain,
    "spool-latency": spooler.run_latency,
    "spool-backlog": spool_load.run_backlog,
    "spool-scheduled": spool_load.run_scheduled,
    "spool-fsync": spool_load.run_fsync,
    "queues": queues.run,
    "caches": caches.run,
    "cluster": cluster.run,
    "cluster-hosts": hosts.run,
    "idle": idle.run,
    "import": importing.run,
}


def machine() -> str:
    """The machine in one line, without names."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def take(name: str, bench: Bench) -> tuple[list[Row], bool]:
    """One measure's rows, and whether it worked. One that fails does not take the others with it."""
    started = time.monotonic()
    try:
        rows = MEASURES[name](bench)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return [skipped(name, f"failed: {type(error).__name__}")], False
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return rows, True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=sorted(MEASURES), help="take this one (repeatable)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="samples of each side (default 7)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of a fifth of the messages")
    parser.add_argument(
        "--backlog", type=int, default=BACKLOG, help=f"tasks of spool-backlog (default {BACKLOG})"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    backlog = options.backlog // 5 if options.quick else options.backlog
    bench = Bench(3 if options.quick else max(1, options.rounds), options.quick, max(1, backlog))
    rows: list[Row] = []
    complete = True
    try:
        for name in options.only or MEASURES:
            found, worked = take(name, bench)
            rows += found
            complete = complete and worked
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        complete = False
    print(f"{machine()}; medians of {bench.rounds} rounds taken in turns\n")
    print(table(rows))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
