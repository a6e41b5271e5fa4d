"""Farms of a cluster: messages a second and latency over one host and two, stored by one server and by three.

All of it is on this machine, so the network is missing: what is measured is what the programs take. Beside
it the local path, with a cluster and without, and a backlog of tasks of queues that have their broker.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.peers import nats
from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.queues import Queue
from benchmarks.peers.side import stream
from benchmarks.rows import Bench, Row, absolute, duration, interleave, rate, skipped, versus
from benchmarks.workspace import Skip

SIZE = 64
#: Mules 1 and 2 of a host are members; mule 3 of the first one sends.
READERS = (1, 2)
#: Two buses share the user's bytes for queues.
_SMALL = ("--queue-share", "0.05")
#: Hosts, and servers that store each message.
SHAPES = ((1, 1), (2, 1), (1, 3), (2, 3))


class Host(IpcmulesBus):
    """A bus of a cluster."""

    def __init__(self, number: int, urls: str, replicas: int, agents: int = 3) -> None:
        options = ("--cluster", urls, "--host", f"host{number}", "--cluster-replicas", str(replicas))
        super().__init__(agents, *_SMALL, *options, "--cluster-farm", "work:1,2")
        self.name += f"-{number}"


def run(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    try:
        for hosts, replicas in SHAPES:
            rows += _shape(bench, hosts, replicas)
        rows += _local(bench)
        rows += _beside(bench)
    except Skip as skip:
        rows.append(skipped("a farm of a cluster", str(skip)))
    return rows


def _shape(bench: Bench, hosts: int, replicas: int) -> list[Row]:
    with ExitStack() as stack:
        urls = stack.enter_context(nats.servers(replicas))
        buses = [stack.enter_context(Host(number, urls, replicas)) for number in range(hosts)]
        where = f"{hosts} host{'s' * (hosts > 1)}, R{replicas}"
        sides: dict[str, Callable[[], float]] = {
            f"messages through a farm of the cluster, {where}": lambda: _through(buses, bench.scaled(1500)),
            f"the same with wait=False, {where}": lambda: _through(buses, bench.scaled(3000), wait=False),
            f"a message each 5 ms, p50 to the member, {where}": lambda: _lateness(buses, bench.scaled(300)),
        }
        samples = interleave(sides, min(bench.rounds, 3))
    return [
        absolute(label, (duration if "p50" in label else rate)(values), "", None)
        for label, values in samples.items()
    ]


def _through(buses: list[Host], count: int, wait: bool = True) -> float:
    """Messages a second from the first send to the last receive."""
    readers = [bus.agents[number] for bus in buses for number in READERS]
    for each in readers:
        each.ask("drain", 0)
    sender = buses[0].agents[3]
    sender.ask("send_farm" if wait else "send_farm_on", "work", SIZE, count, len(readers))
    start = sender.answer(120)
    handled, ends = zip(*(each.answer(120) for each in readers), strict=True)
    if sum(handled) != count:
        raise RuntimeError(f"{sum(handled)} of {count} messages were handled")
    return float(count / (max(ends) - start))


def _lateness(buses: list[Host], count: int) -> float:
    readers = [bus.agents[number] for bus in buses for number in READERS]
    for each in readers:
        each.ask("lateness")
    buses[0].agents[3].call("send_stamps", "work", count, 0.005, len(readers), timeout=120)
    return statistics.median(late for each in readers for late in each.answer(120))


def _local(bench: Bench) -> list[Row]:
    """What has nothing to do with the cluster, on a bus that has one."""
    with nats.servers(1) as urls:
        options = ("--cluster", urls, "--host", "host0")
        with IpcmulesBus(2, *_SMALL) as without, IpcmulesBus(2, *_SMALL, *options) as having:
            samples = interleave(
                {
                    "without": lambda: stream(without, SIZE, bench.scaled(300_000)),
                    "having": lambda: stream(having, SIZE, bench.scaled(300_000)),
                },
                bench.rounds,
            )
    label = "64 B, one sender to one mule, with --cluster"
    return [versus(label, "without", samples["having"], samples["without"], rate, at_least=0.9)]


def _beside(bench: Bench) -> list[Row]:
    """A backlog by one worker process, as in `queues`; theirs are tasks with results, ours messages."""
    rows, queues, label = [], {}, "a backlog of a farm of the cluster, one worker process"
    for name in ("Celery", "dramatiq"):
        try:
            queues[name] = Queue(name)
        except Skip as skip:
            rows.append(skipped(f"{label} / {name}", str(skip)))
    if not queues:
        return rows
    count = bench.scaled(2000)
    with nats.servers(1) as urls, Host(0, urls, 1) as bus:
        sides: dict[str, Callable[[], float]] = {"ipcmules": lambda: _backlog(bus, count)}
        for name, queue in queues.items():
            sides[name] = lambda queue=queue: queue.throughput(count)  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
        samples = interleave(sides, min(bench.rounds, 3))
    return rows + [
        versus(label, f"{name} with Redis", samples["ipcmules"], samples[name], rate) for name in queues
    ]


def _backlog(bus: Host, count: int) -> float:
    """Messages a second that one member takes, of those that are there already."""
    bus.agents[3].call("send_farm_on", "work", SIZE, count, 1, timeout=120)
    handled, seconds = bus.agents[1].call("drain_timed", timeout=120)
    if handled != count:
        raise RuntimeError(f"{handled} of {count} messages were handled")
    return float(count / seconds)
