"""A farm of a cluster: through one host and two, with one server and three, and the local path
beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.peers import nats
from benchmarks.peers.cluster_tasks import ClusterTasks
from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.queues import Queue
from benchmarks.peers.side import stream
from benchmarks.rows import Bench, Row, duration, interleave, rate, skipped, versus
from benchmarks.workspace import BenchError, Skip

_FARM = "bench"
#: Members of a host; the mule behind them sends.
_MEMBERS = 4
_SENDER = _MEMBERS + 1
#: How the servers and the hosts of a row are called.
_LABELS = {
    (1, 1): "one host, one server",
    (2, 1): "two hosts, one server",
    (1, 3): "one host, three servers (R3)",
    (2, 3): "two hosts, three servers (R3)",
}


class Cluster:
    """Hosts, and a farm whose members are mules of each, or with apart of all but the first.

    The last mule of the first host sends. Use it in a `with` block.
    """

    def __init__(self, hosts: int, servers: int, apart: bool = False) -> None:
        self._stack = ExitStack()
        self._hosts: list[IpcmulesBus] = []
        try:
            urls = self._stack.enter_context(nats.servers(servers))
            for number in range(hosts):
                members = 0 if apart and number == 0 else _MEMBERS
                host = _host(number, urls, servers, members)
                self._hosts.append(self._stack.enter_context(host))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def throughput(self, count: int, wait: bool = True) -> float:
        """Messages a second, from the first send to the end of the last handler."""
        members = [host.agents[each] for host in self._hosts for each in range(1, _MEMBERS + 1)]
        sender = self._hosts[0].agents[_SENDER]
        for each in members:
            each.ask("drain", 0)
        sender.ask("send_farm" if wait else "send_farm_on", _FARM, 64, count, len(members))
        start = sender.answer(120)
        handled, ends = zip(*(each.answer(60) for each in members), strict=True)
        if sum(handled) != count:
            raise BenchError(f"{sum(handled)} of {count} messages were handled")
        return float(count / (max(ends) - start))

    def backlog(self, count: int) -> float:
        """Messages a second that one member takes of so many that are there."""
        member, sender = self._hosts[0].agents[1], self._hosts[0].agents[_SENDER]
        sender.call("send_farm_on", _FARM, 64, count, 1, timeout=120)
        handled, seconds = member.call("drain_timed", timeout=120)
        if handled != count:
            raise BenchError(f"{handled} of {count} messages were handled")
        return float(count / seconds)

    def latency(self, count: int) -> float:
        """Seconds from before a send on the first host to its handler on the last, the median."""
        members = [self._hosts[-1].agents[each] for each in range(1, _MEMBERS + 1)]
        for each in members:
            each.ask("lateness")
        self._hosts[0].agents[_SENDER].call("farm_tick", _FARM, 0.005, count, _MEMBERS, timeout=60)
        return statistics.median(late for each in members for late in each.answer(60)) / 1e9


def _host(number: int, urls: str, replicas: int, members: int = _MEMBERS) -> IpcmulesBus:
    farm = f"{_FARM}:{','.join(map(str, range(1, members + 1)))}" if members else _FARM
    return IpcmulesBus(
        _SENDER,
        *("--queue-share", "0.15", "--cluster", urls, "--host", f"host{number}"),
        *("--cluster-farm", farm, "--cluster-replicas", str(replicas)),
        suffix=f"-host{number}",
    )


def run(bench: Bench) -> list[Row]:
    """The rows. Those of one host and one server are what the others are beside."""
    try:
        nats.program()
    except Skip as skip:
        return [skipped("a farm of the cluster", str(skip))]
    return [
        *_throughputs(bench),
        *_without_waiting(bench),
        *_latencies(bench),
        *_local(bench),
        *_backlogs(bench),
    ]


def _throughputs(bench: Bench) -> list[Row]:
    with ExitStack() as stack:
        clusters = {label: stack.enter_context(Cluster(*sizes)) for sizes, label in _LABELS.items()}
        count = bench.scaled(2000)
        sides: dict[str, Callable[[], float]] = {
            label: lambda each=each: each.throughput(count)  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
            for label, each in clusters.items()
        }
        samples = interleave(sides, min(bench.rounds, 3))
    first = _LABELS[1, 1]
    return [
        versus(f"64 B to a farm of the cluster, {label}", first, samples[label], samples[first], rate)
        for label in samples
    ]


def _without_waiting(bench: Bench) -> list[Row]:
    """Sends that wait for nothing, and flush() at their end, beside those that wait for each answer."""
    with Cluster(2, 1) as cluster:
        count = bench.scaled(2000)
        sides: dict[str, Callable[[], float]] = {
            "wait=False": lambda: cluster.throughput(count, wait=False),
            "wait=True": lambda: cluster.throughput(count),
        }
        samples = interleave(sides, min(bench.rounds, 3))
    label = f"64 B to a farm of the cluster, wait=False, {_LABELS[2, 1]}"
    return [versus(label, "wait=True", samples["wait=False"], samples["wait=True"], rate)]


def _latencies(bench: Bench) -> list[Row]:
    """From one host to members that are another host's, and idle."""
    with Cluster(2, 1, apart=True) as one, Cluster(2, 3, apart=True) as three:
        count = bench.scaled(500)
        sides: dict[str, Callable[[], float]] = {
            "one server": lambda: one.latency(count),
            "three servers (R3)": lambda: three.latency(count),
        }
        samples = interleave(sides, min(bench.rounds, 3))
    return [
        versus(
            f"from a send to the handler on another host, p50, {label}",
            "one server",
            found,
            samples["one server"],
            duration,
        )
        for label, found in samples.items()
    ]


def _local(bench: Bench) -> list[Row]:
    """Messages that stay on the host, with a cluster and without."""
    with nats.servers(1) as urls, _host(0, urls, 1, members=0) as with_one, IpcmulesBus(2) as without:
        samples = interleave(
            {
                "with": lambda: stream(with_one, 64, bench.scaled(300_000)),
                "without": lambda: stream(without, 64, bench.scaled(300_000)),
            },
            bench.rounds,
        )
    label = "64 B, one sender to one mule, on a bus with --cluster"
    return [versus(label, "without", samples["with"], samples["without"], rate, at_least=0.95)]


def _backlogs(bench: Bench) -> list[Row]:
    """What waits, by one worker process. Theirs are tasks with results, ours too, or messages."""
    rows, queues = [], {}
    for name in ("Celery", "dramatiq"):
        try:
            queues[name] = Queue(name)
        except Skip as skip:
            rows.append(skipped(f"a backlog of the cluster / {name}", str(skip)))
    count, rounds = bench.scaled(2000), min(bench.rounds, 3)
    tasks = {"tasks with results, R1": ClusterTasks(1), "tasks with results, R3": ClusterTasks(3)}
    with Cluster(1, 1) as cluster:
        sides: dict[str, Callable[[], float]] = {"messages, R1": lambda: cluster.backlog(count)}
        for name, each in (tasks | queues).items():
            sides[name] = lambda each=each: each.throughput(count)  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
        done = interleave(sides, rounds)
    late = interleave(
        {name: lambda each=each: each.latency(bench.scaled(300)) for name, each in (tasks | queues).items()},  # type: ignore[misc]  # as above
        rounds,
    )
    for peer in queues:
        on_redis = f"{peer} with Redis"
        rows += [
            versus(
                f"a backlog of the cluster, one worker process: {ours}",
                on_redis,
                done[ours],
                done[peer],
                rate,
            )
            for ours in ("messages, R1", *tasks)
        ]
        rows += [
            versus(
                f"from enqueueing to the result on another host, p50: {ours}",
                on_redis,
                late[ours],
                late[peer],
                duration,
            )
            for ours in tasks
        ]
    return rows
