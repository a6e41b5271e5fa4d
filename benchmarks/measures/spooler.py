"""Tasks beside uWSGI's spooler and huey: enqueueing, running, and how long one takes to its handler."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.peers import spoolers
from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, duration, interleave, rate, skipped, versus
from benchmarks.workspace import ROOT, Agent, BenchError, Skip

_PREFIX = "uwsgi_spoolfile_on_"


@contextmanager
def _held(side: IpcmulesBus | UwsgiServer, path: str) -> Iterator[None]:
    """The spooler busy with one task, so that it takes nothing of the processor; afterwards all others go."""
    hold = os.path.join(side.work.directory, "hold")
    Path(hold).touch()
    side.agents[1].call("spool_special", "hold", hold)
    _wait(lambda: os.path.exists(f"{hold}.taken"))
    held = _tasks(path)
    try:
        yield
    finally:
        for name in _tasks(path) - held:
            os.unlink(os.path.join(path, name))
        os.unlink(hold)
        _wait(lambda: not os.path.exists(f"{hold}.taken"))


def _tasks(path: str) -> set[str]:
    return {name for name in os.listdir(path) if name.startswith(_PREFIX)}


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError("the spooler did not take the task that holds it, or not give it back, in 60 s")
        time.sleep(0.005)


def _enqueue(side: IpcmulesBus | UwsgiServer, path: str, count: int) -> float:
    with _held(side, path):
        return count / float(side.agents[1].call("spool_many", count))


def run_enqueue(bench: Bench) -> list[Row]:
    label = "enqueue a task, one process"
    count = bench.scaled(10_000)
    rows: list[Row] = []
    sides: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        here, there = (stack.enter_context(spoolers.directory()) for _ in range(2))
        ours = stack.enter_context(spoolers.ours(here, agents=1))
        sides["ipcmules"] = lambda: _enqueue(ours, here, count)
        try:
            uwsgi = stack.enter_context(spoolers.uwsgi(there, agents=1))
            sides["uWSGI"] = lambda: _enqueue(uwsgi, there, count)
            sides |= _hueys(lambda huey: huey.enqueue(bench.scaled(5_000)))
        except Skip as skip:
            rows.append(skipped(label, str(skip)))
        samples = interleave(sides, bench.rounds)
    return rows + _rows(label, samples, {"uWSGI": 1})


def _hueys(take: Callable[[spoolers.Huey], float]) -> dict[str, Callable[[], float]]:
    hueys = {f"huey {name}": spoolers.Huey(name.lower()) for name in ("SQLite", "file")}
    return {label: lambda huey=huey: take(huey) for label, huey in hueys.items()}  # type: ignore[misc]  # mypy sees no types in a lambda's defaults


def _rows(label: str, samples: dict[str, list[float]], at_least: dict[str, float]) -> list[Row]:
    mine = samples.pop("ipcmules")
    return [
        versus(label, peer, mine, theirs, rate, at_least=at_least.get(peer))
        for peer, theirs in samples.items()
    ]


def run_drain(bench: Bench) -> list[Row]:
    """One process, then two, each time from a directory that is full when they start."""
    label = "tasks with an empty handler, one spooler process"
    count = bench.scaled(20_000)
    rows: list[Row] = []
    with spoolers.directory() as path:
        sides: dict[str, Callable[[], float]] = {
            "ipcmules": lambda: spoolers.drain(spoolers.ours, path, count),
            "two": lambda: spoolers.drain(spoolers.ours, path, 2 * count, 2),
        }
        try:
            spoolers.uwsgi(path)
            sides["uWSGI"] = lambda: spoolers.drain(spoolers.uwsgi, path, count)
            sides |= _hueys(lambda huey: huey.drain(bench.scaled(10_000)))
        except Skip as skip:
            rows.append(skipped(label, str(skip)))
        samples = interleave(sides, bench.rounds)
    both = samples.pop("two")
    one = samples["ipcmules"]
    rows += _rows(label, samples, {"uWSGI": 1.5, "huey SQLite": 10})
    cores = len(os.sched_getaffinity(0))
    target = 1.6 if cores > 1 else None
    rows.append(versus("the same, two spooler processes", "one", both, one, rate, at_least=target))
    return rows + _of_the_machine(bench.rounds)


def _of_the_machine(rounds: int) -> list[Row]:
    """What two processes get from this machine, at this time, of what one gets."""
    loops, calls = [], []
    with spoolers.directory() as path:
        for _ in range(rounds):
            command = [sys.executable, "-m", "benchmarks.programs.bare_calls", path]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
            first, second = (tuple(map(float, line.split())) for line in done.stdout.splitlines())
            loops.append(first)
            calls.append(second)
    return [
        versus(label, "one", [two for _, two in found], [one for one, _ in found], rate)
        for label, found in (
            ("two processes in a Python loop, rounds", loops),
            ("two processes with the bare system calls of tasks", calls),
        )
    ]


def _latency(side: IpcmulesBus | UwsgiServer, spooler: Agent, count: int) -> float:
    side.agents[1].call("spool_notes", count, 0.01, timeout=60)
    side.agents[1].call("spool_special", "report", "")
    return float(statistics.median(spooler.answer())) / 1e9


def run_latency(bench: Bench) -> list[Row]:
    label = "from spool() to the handler's first line, idle spooler, p50"
    count = bench.scaled(300)
    try:
        with (
            spoolers.directory() as here,
            spoolers.directory() as there,
            spoolers.ours(here, agents=1) as ours,
            spoolers.uwsgi(there, agents=1) as uwsgi,
        ):
            our_spooler, their_spooler = ours.work.agent("spooler"), uwsgi.work.agent("spooler")
            samples = interleave(
                {
                    "ipcmules": lambda: _latency(ours, our_spooler, count),
                    "uWSGI": lambda: _latency(uwsgi, their_spooler, count),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], duration, at_most=1)]
