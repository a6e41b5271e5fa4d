"""A mule of ipcmules that does what the driver asks: the loops of uwsgi_agent.py, call for call."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.programs.channel import serve
from ipcmules import farm_msg, flush, mule_get_msg, mule_id, mule_msg, signal, signal_registered, spool

STOP = b"stop"


def send(mule: int, size: int, count: int) -> float:
    """Send count messages to a mule (0: the pool); the time of the first."""
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        mule_msg(payload, mule)
    return start


def receive(count: int) -> float:
    """Take count messages; the time after the last."""
    for _ in range(count):
        mule_get_msg()
    return time.monotonic()


def send_farm(farm: str, size: int, count: int, readers: int) -> float:
    """Send count messages to a farm and a stop for each reader; the time of the first."""
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        farm_msg(farm, payload)
    for _ in range(readers):
        farm_msg(farm, STOP)
    return start


def send_farm_on(farm: str, size: int, count: int, readers: int) -> float:
    """As send_farm, to a farm of a cluster, without waiting for each; all are stored when it returns."""
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        farm_msg(farm, payload, wait=False)
    flush()
    for _ in range(readers):
        farm_msg(farm, STOP)
    return start


def send_pool(size: int, count: int, readers: int) -> float:
    """Send count messages to the pool and a stop for each reader; the time of the first."""
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        mule_msg(payload)
    for _ in range(readers):
        mule_msg(STOP)
    return start


def drain(work: float) -> tuple[int, float]:
    """Take messages until a stop, working that many seconds on each: how many, and when it ended."""
    count = 0
    while mule_get_msg() != STOP:
        count += 1
        if work:
            time.sleep(work)
    return count, time.monotonic()


def drain_timed() -> tuple[int, float]:
    """Take messages until a stop: how many, and the seconds from the first to the last."""
    count, first = 0, 0.0
    while mule_get_msg() != STOP:
        count += 1
        first = first or time.monotonic()
    return count, time.monotonic() - first


def work_then_drain(busy: float) -> tuple[int, float]:
    """Receive nothing for that many seconds, then as drain."""
    time.sleep(busy)
    return drain(0)


def burst(target: int | str, size: int, count: int, readers: int) -> list[float]:
    """Send count messages to who is busy, and a stop for each reader.

    The seconds that 99 of 100 sends took at most, that all took, and the CPU time of all.
    """
    payload, clock = bytes(size), time.perf_counter
    times = [0.0] * count
    cpu, began = time.process_time(), clock()
    for number in range(count):
        start = clock()
        mule_msg(payload, target)
        times[number] = clock() - start
    all_of_it, cpu = clock() - began, time.process_time() - cpu
    for _ in range(readers):
        mule_msg(STOP, target)
    return [sorted(times)[count * 99 // 100], all_of_it, cpu]


def ping(mule: int, size: int, count: int) -> float:
    """Exchange count messages with another mule; seconds a round trip."""
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        mule_msg(payload, mule)
        mule_get_msg()
    return (time.monotonic() - start) / count


def pong(mule: int, size: int, count: int) -> float:
    """The other end of ping."""
    payload = bytes(size)
    for _ in range(count):
        mule_get_msg()
        mule_msg(payload, mule)
    return time.monotonic()


def tick(mule: int, every: float, count: int) -> float:
    """Send the time to a mule at that pace, and a stop at the end."""
    due = time.monotonic()
    for _ in range(count):
        while time.monotonic() < due:
            pass
        mule_msg(time.monotonic_ns().to_bytes(8, "little") + bytes(56), mule)
        # A sender that was held up does not catch up with a burst: there is to be no backlog.
        due = max(due + every, time.monotonic())
    mule_msg(STOP, mule)
    return due


def farm_tick(farm: str, every: float, count: int, readers: int) -> bool:
    """Send the time to a farm at that pace, and a stop for each reader at the end."""
    for _ in range(count):
        time.sleep(every)
        farm_msg(farm, time.monotonic_ns().to_bytes(8, "little") + bytes(56))
    for _ in range(readers):
        farm_msg(farm, STOP)
    return True


def lateness() -> list[int]:
    """Take messages of farm_tick() until a stop; how late each is, in nanoseconds."""
    found = []
    while (message := mule_get_msg()) != STOP:
        found.append(time.monotonic_ns() - int.from_bytes(message[:8], "little"))
    return found


def raise_signals(number: int, bursts: int, burst: int) -> float:
    """Raise a signal in bursts with pauses between them; seconds a raise."""
    spent = 0.0
    for _ in range(bursts):
        start = time.monotonic()
        for _ in range(burst):
            signal(number)
        spent += time.monotonic() - start
        time.sleep(0.005)
    return spent / bursts / burst


def raise_at(number: int, mule: int, waiting: int, after: float) -> float:
    """Give a mule messages, wait, and raise a signal; the time of the raise."""
    for _ in range(waiting):
        mule_msg(bytes(64), mule)
    time.sleep(after)
    now = time.monotonic()
    signal(number)
    return now


def spool_many(count: int) -> float:
    """Enqueue count small tasks; the seconds it took."""
    start = time.monotonic()
    for _ in range(count):
        spool({b"key": b"value", b"number": b"1"})
    return time.monotonic() - start


def spool_special(what: str, path: str) -> bool:
    """Enqueue a task that spool_app.py does not just count."""
    spool({b"do": what.encode(), b"path": path.encode()})
    return True


def spool_notes(count: int, every: float) -> bool:
    """Enqueue tasks with the time, at that pace: the spooler sleeps again before each."""
    for _ in range(count):
        time.sleep(every)
        spool({b"do": b"note", b"sent": str(time.monotonic_ns()).encode()})
    time.sleep(every)
    return True


def fsync_many(path: str, count: int) -> float:
    """What the disk can do: write a little to a file and wait until it is there; the seconds it took."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    start = time.monotonic()
    for _ in range(count):
        os.write(descriptor, bytes(64))
        os.fsync(descriptor)
    spent = time.monotonic() - start
    os.close(descriptor)
    return spent


def pin(cores: list[int]) -> bool:
    os.sched_setaffinity(0, cores)
    return True


ACTIONS: dict[str, Callable[..., Any]] = {
    "send": send, "receive": receive, "send_farm": send_farm, "send_pool": send_pool, "drain": drain,
    "ping": ping, "pong": pong, "tick": tick, "raise_signals": raise_signals, "raise_at": raise_at,
    "burst": burst, "work_then_drain": work_then_drain,
    "registered": signal_registered, "pin": pin, "spool_many": spool_many, "spool_special": spool_special,
    "spool_notes": spool_notes, "fsync_many": fsync_many, "farm_tick": farm_tick, "lateness": lateness,
    "send_farm_on": send_farm_on, "drain_timed": drain_timed,
}  # fmt: skip


def rest() -> None:
    """Wait for the end of the bus."""
    with contextlib.suppress(SystemExit):
        while True:
            mule_get_msg()


if __name__ == "__main__":
    serve(f"mule{mule_id()}", ACTIONS)
    rest()
