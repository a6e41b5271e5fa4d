"""A spool directory under load: a large backlog, many tasks for later, and tasks that must be on the disk."""

from __future__ import annotations

import os
import tempfile
import time

from benchmarks.peers import spoolers
from benchmarks.proc import cpu_seconds, peak_memory
from benchmarks.rows import Bench, Row, absolute, interleave, rate, seconds, versus
from benchmarks.workspace import BenchError

MIB = 1 << 20
SMALL = 10_000
SCHEDULED = 100_000
ENQUEUERS = 8


def run_backlog(bench: Bench) -> list[Row]:
    """How soon the first of very many tasks runs, how fast they go, and what memory the process takes."""
    count = bench.backlog
    with spoolers.directory() as path:
        # Before and after: the large one takes minutes, and a shared machine changes meanwhile.
        small = [spoolers.drain(spoolers.ours, path, SMALL) for _ in range(3)]
        spoolers.fill(path, count)
        started = time.monotonic()
        with spoolers.ours(path) as bus:
            found = spoolers.wait_count(bus.work.directory, count, 60 + count / 1000)
            memory = max(peak_memory(pid) for pid in found.pids)
        if found.count != count:
            raise BenchError(f"{found.count} tasks ran, {count} were enqueued")
        small += [spoolers.drain(spoolers.ours, path, SMALL) for _ in range(3)]
    first = found.first - started
    label = f"a backlog of {count:,} tasks"
    beside = [spoolers.rate(found)] * len(small)
    return [
        absolute(f"{label}: first one after", seconds(first), "<= 10 s", first <= 10),
        versus(f"{label}: rate", f"{SMALL:,}", beside, small, rate, at_least=0.75),
        absolute(f"{label}: memory", f"{memory / MIB:.0f} MiB", "<= 200 MiB", memory <= 200 * MIB),
    ]


def run_scheduled(bench: Bench) -> list[Row]:
    """Tasks for tomorrow cost nothing until then."""
    watched = 2.0 if bench.quick else 10.0
    later = bench.scaled(SCHEDULED)
    with spoolers.directory() as empty, spoolers.directory() as path:
        spoolers.fill(path, later, time.time() + 86_400)
        samples = interleave(
            {
                "without": lambda: spoolers.drain(spoolers.ours, empty, SMALL),
                "with": lambda: spoolers.drain(spoolers.ours, path, SMALL),
            },
            min(bench.rounds, 3),
        )
        with spoolers.ours(path) as bus:
            spoolers.fill(path, 1)
            found = spoolers.wait_count(bus.work.directory, 1, 60)
            time.sleep(1)
            processes = [*found.pids, bus.master]
            before = sum(map(cpu_seconds, processes))
            time.sleep(watched)
            spent = sum(map(cpu_seconds, processes)) - before
    label = f"{later:,} tasks for tomorrow"
    return [
        versus(
            f"{label}: rate of those due", "without", samples["with"], samples["without"], rate, at_least=0.9
        ),
        absolute(f"{label}: CPU in {watched:.0f} s", f"{1000 * spent:.0f} ms", "<= 10 ms", spent <= 0.010),
    ]


def run_fsync(bench: Bench) -> list[Row]:
    """Tasks that are on the disk when spool() returns, beside what the disk does."""
    count = bench.scaled(200)
    with (
        spoolers.directory(_on_disk()) as path,
        spoolers.directory(_on_disk()) as beside,
        spoolers.ours(path, 1, ENQUEUERS, "--spooler-fsync") as bus,
    ):
        agents = list(bus.agents.values())

        def enqueue() -> float:
            for agent in agents:
                agent.ask("spool_many", count)
            return ENQUEUERS * count / max(float(agent.answer(120)) for agent in agents)

        def alone() -> float:
            return count / float(agents[0].call("fsync_many", os.path.join(beside, "0"), count, timeout=120))

        def together() -> float:
            for number, agent in enumerate(agents):
                agent.ask("fsync_many", os.path.join(beside, str(number)), count)
            return ENQUEUERS * count / max(float(agent.answer(120)) for agent in agents)

        samples = interleave(
            {"ipcmules": enqueue, "alone": alone, "together": together}, min(bench.rounds, 5)
        )
    label = f"--spooler-fsync, {ENQUEUERS} enqueuers"
    mine = samples["ipcmules"]
    return [
        versus(label, "one file's fsync", mine, samples["alone"], rate, at_least=1),
        versus(label, f"fsync of {ENQUEUERS} files at once", mine, samples["together"], rate),
    ]


def _on_disk() -> str:
    """A directory that is not on tmpfs, if there is one."""
    for each in (tempfile.gettempdir(), "/var/tmp", os.getcwd()):
        with open("/proc/mounts") as file:
            mounts = {line.split()[1]: line.split()[2] for line in file}
        where = os.path.realpath(each)
        while where not in mounts:
            where = os.path.dirname(where)
        if mounts[where] != "tmpfs" and os.access(each, os.W_OK):
            return each
    return tempfile.gettempdir()
