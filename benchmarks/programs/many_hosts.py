"""The carriers' connections of many hosts, without their buses, in one process: what a cluster of that size
asks of its servers.

Arguments: URLs, replicas, how many hosts, how many members each, messages, pids of the servers. Prints
seconds, bytes and rates as a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil

from ipcmules.carrier.engine import Raised, Taken, Taker
from ipcmules.carrier.jetstream.engine import JetStream
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.login import Login
from ipcmules.carrier.names import Names

_FARM = "bench"
#: Seconds over which the servers' time is taken while nothing happens.
_IDLE = 10.0
_SIGNALS = 20


@dataclass
class Host:
    """One of them. there: it has a connection."""

    engine: JetStream
    there: asyncio.Event
    signals: int = 0


def _host(number: int, urls: list[str], replicas: int) -> Host:
    there = asyncio.Event()
    streams = Streams(Names("hosts"), f"host{number}", (_FARM,), 30.0, replicas)
    engine = JetStream(Login(urls, {}), streams, (), lambda now: there.set() if now else None, dict)
    return Host(engine, there)


async def _work(host: Host, taker: Taker, seen: list[Taken]) -> None:
    while True:
        taken = await taker.take()
        if taken is not None:
            seen.append(taken)
            await host.engine.done(taken.token)


async def _hear(host: Host, taker: Taker) -> None:
    while True:
        taken = await taker.take()
        if taken is not None:
            host.signals += 1
            await host.engine.done(taken.token)


async def _until(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the cluster did not do it in time")
        await asyncio.sleep(0.001)


def _spent(servers: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in servers)


async def measure(
    urls: list[str], replicas: int, count: int, members: int, messages: int, pids: list[int]
) -> dict[str, float]:
    servers = [psutil.Process(pid) for pid in pids]
    hosts = [_host(number, urls, replicas) for number in range(count)]
    began = time.monotonic()
    tasks = [asyncio.ensure_future(each.engine.run()) for each in hosts]
    await asyncio.gather(*(each.there.wait() for each in hosts))
    found = {"start": time.monotonic() - began}
    seen: list[Taken] = []
    for host in hosts:
        tasks += [asyncio.ensure_future(_work(host, host.engine.taker(_FARM), seen)) for _ in range(members)]
        tasks += [asyncio.ensure_future(_hear(host, each)) for each in host.engine.signal_takers()]
    await asyncio.sleep(2)
    before = _spent(servers)
    await asyncio.sleep(_IDLE)
    found["idle"] = (_spent(servers) - before) / _IDLE
    found["memory"] = max(each.memory_info().rss for each in servers)
    late = []
    for number in range(_SIGNALS):
        began = time.monotonic()
        await hosts[0].engine.publish_signal(Raised(1, "mules@all", "f"), f"s{number}", 30)
        wanted = number + 1
        await _until(lambda wanted=wanted: all(each.signals >= wanted for each in hosts))
        late.append(time.monotonic() - began)
    found["signal"] = statistics.median(late)
    before, began = _spent(servers), time.monotonic()
    each_sends = messages // count
    await asyncio.gather(*(_send(host, number, each_sends) for number, host in enumerate(hosts)))
    await _until(lambda: len(seen) >= each_sends * count)
    found["rate"] = each_sends * count / (time.monotonic() - began)
    found["server"] = (_spent(servers) - before) / (each_sends * count)
    for task in tasks:
        task.cancel()
    # nats-py swallows a cancellation where it comes in the middle of sending (2.16, _flush_pending()).
    await asyncio.wait(tasks, timeout=1)
    await asyncio.gather(*(each.engine.close() for each in hosts))
    return found


async def _send(host: Host, number: int, count: int) -> None:
    for each in range(count):
        await host.engine.publish(_FARM, f"{number}-{each}", bytes(64), 60)


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    first, second, third, fourth, *rest = map(int, numbers)
    print(json.dumps(asyncio.run(measure(url.split(","), first, second, third, fourth, rest))))
