"""How long one message takes: at a steady pace without a backlog, and in a game of ping-pong."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.rawmq import RawMq
from benchmarks.peers.side import Side, pingpong
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, duration, interleave, skipped, versus
from benchmarks.workspace import Agent, Skip, Workspace

#: A mule whose hook measures, after the programmed one that sends.
HOOK_APP = "benchmarks.programs.hook_app"


def _trickle(sender: Agent, hook: Agent, every: float, count: int) -> float:
    sender.call("tick", 2, every, count)
    return float(statistics.median(hook.answer())) / 1e9


def run_trickle(bench: Bench) -> list[Row]:
    label = "a message every 100 us, p50 to the hook"
    count = bench.scaled(5_000)
    try:
        with (
            IpcmulesBus(1, "--mule", "--import", HOOK_APP) as ours,
            UwsgiServer(1, "--mule", "--shared-import", HOOK_APP) as uwsgi,
        ):
            our_hook, their_hook = ours.work.agent("hook"), uwsgi.work.agent("hook")
            samples = interleave(
                {
                    "ipcmules": lambda: _trickle(ours.agents[1], our_hook, 1e-4, count),
                    "uWSGI": lambda: _trickle(uwsgi.agents[1], their_hook, 1e-4, count),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], duration, at_most=1)]


def _pin(side: Side, cores: list[int]) -> None:
    """Pin mules 1 and 2, one to each of the cores."""
    for number, core in zip((1, 2), cores, strict=True):
        side.agents[number].call("pin", [core])


def run_pingpong(bench: Bench) -> list[Row]:
    label = "ping-pong of two mules, two cores"
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        return [skipped(label, "there is one core")]
    count = bench.scaled(5_000)
    sides: dict[str, Callable[[], float]] = {}
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(IpcmulesBus(2))
        _pin(ours, cores)
        sides["ipcmules"] = lambda: pingpong(ours, 64, count)
        try:
            uwsgi = stack.enter_context(UwsgiServer(2))
            _pin(uwsgi, cores)
            sides["uWSGI"] = lambda: pingpong(uwsgi, 64, count)
        except Skip as skip:
            rows.append(skipped(f"{label} / uWSGI", str(skip)))
        try:
            raw = RawMq(stack.enter_context(Workspace("rawmq")))
            sides["raw C"] = lambda: raw.pingpong(64, count, (cores[0], cores[1]))
        except Skip as skip:
            rows.append(skipped(f"{label} / raw C", str(skip)))
        samples = interleave(sides, bench.rounds)
    mine = samples.pop("ipcmules")
    bounds = {"uWSGI": 0.5, "raw C": 1.0}
    return rows + [
        versus(label, peer, mine, theirs, duration, at_most=bounds[peer]) for peer, theirs in samples.items()
    ]


def run_one_core(bench: Bench) -> list[Row]:
    label = "ping-pong of two mules, one core"
    core = min(os.sched_getaffinity(0))
    count = bench.scaled(5_000)
    before = os.sched_getaffinity(0)
    try:
        # Masters and mules inherit it: everything of both sides is on that core.
        os.sched_setaffinity(0, [core])
        with IpcmulesBus(2) as ours, UwsgiServer(2) as uwsgi:
            samples = interleave(
                {
                    "ipcmules": lambda: pingpong(ours, 64, count),
                    "uWSGI": lambda: pingpong(uwsgi, 64, count),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    finally:
        os.sched_setaffinity(0, before)
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], duration, at_most=1.3)]
