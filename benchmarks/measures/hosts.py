"""What a cluster of many hosts asks of its servers: time and memory at rest, a signal to all, a farm."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil

from benchmarks.peers import nats
from benchmarks.rows import Bench, Row, absolute, seconds, skipped
from benchmarks.workspace import ROOT, BenchError, Skip, base_environment

#: Members of the farm on each host.
_MEMBERS = 8


def run(bench: Bench) -> list[Row]:
    """Connections of so many hosts, with one server and with three."""
    rows = []
    for servers in (1, 3):
        for hosts in (10,) if bench.quick else (10, 100):
            label = f"{hosts} hosts of {_MEMBERS} members, servers: {servers}"
            try:
                rows += _rows(label, _measured(servers, hosts, bench.scaled(5000)))
            except Skip as skip:
                return [skipped(label, str(skip))]
    return rows


def _rows(label: str, found: dict[str, float]) -> list[Row]:
    return [
        absolute(f"{label}: all have begun", seconds(found["start"]), "", None),
        absolute(f"{label}: idle, of a core", f"{100 * found['idle']:.2g} %", "", None),
        absolute(f"{label}: memory of a server", f"{found['memory'] / 1e6:.0f} MB", "", None),
        absolute(f"{label}: a signal until all have it", seconds(found["signal"]), "", None),
        absolute(f"{label}: messages taken and done", f"{found['rate']:.0f} /s", "", None),
        absolute(f"{label}: CPU of the servers a message", seconds(found["server"]), "", None),
    ]


def _measured(servers: int, hosts: int, messages: int) -> dict[str, float]:
    with nats.servers(servers) as urls:
        pids = [each.pid for each in psutil.Process().children() if "nats-server" in each.name()]
        numbers = map(str, (servers, hosts, _MEMBERS, messages, *pids))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.programs.many_hosts", urls, *numbers],
            env=base_environment(), cwd=ROOT, check=False, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    if done.returncode:
        raise BenchError(f"many_hosts: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
