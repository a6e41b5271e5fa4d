"""A mule of uWSGI that does what the driver asks: the loops of ipcmules_agent.py, call for call.

A full queue makes uWSGI's mule_msg return False at once. The sender then yields the processor and
tries again, which is the best that can be done there: trying without the yield is a third slower.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.programs.cache_loops import gets, sets
from benchmarks.programs.channel import serve

# Exists only inside a uWSGI process: type checkers cannot see it.
uwsgi: Any = importlib.import_module("uwsgi")
mule_msg, mule_get_msg, signal = uwsgi.mule_msg, uwsgi.mule_get_msg, uwsgi.signal

STOP = b"stop"


def send(mule: int, size: int, count: int) -> float:
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        while not mule_msg(payload, mule):
            os.sched_yield()
    return start


def receive(count: int) -> float:
    for _ in range(count):
        mule_get_msg()
    return time.monotonic()


def send_farm(farm: str, size: int, count: int, readers: int) -> float:
    # farm_msg() returns None whether the message was taken or dropped; this form says which.
    name = farm.encode()
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        while not mule_msg(payload, name):
            os.sched_yield()
    for _ in range(readers):
        while not mule_msg(STOP, name):
            os.sched_yield()
    return start


def send_pool(size: int, count: int, readers: int) -> float:
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        while not mule_msg(payload):
            time.sleep(0.0005)
    for _ in range(readers):
        while not mule_msg(STOP):
            time.sleep(0.0005)
    return start


def drain(work: float) -> tuple[int, float]:
    count = 0
    while mule_get_msg() != STOP:
        count += 1
        if work:
            time.sleep(work)
    return count, time.monotonic()


def ping(mule: int, size: int, count: int) -> float:
    payload = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        mule_msg(payload, mule)
        mule_get_msg()
    return (time.monotonic() - start) / count


def pong(mule: int, size: int, count: int) -> float:
    payload = bytes(size)
    for _ in range(count):
        mule_get_msg()
        mule_msg(payload, mule)
    return time.monotonic()


def tick(mule: int, every: float, count: int) -> float:
    due = time.monotonic()
    for _ in range(count):
        while time.monotonic() < due:
            pass
        mule_msg(time.monotonic_ns().to_bytes(8, "little") + bytes(56), mule)
        # A sender that was held up does not catch up with a burst: there is to be no backlog.
        due = max(due + every, time.monotonic())
    while not mule_msg(STOP, mule):
        os.sched_yield()
    return due


def raise_signals(number: int, bursts: int, burst: int) -> float:
    spent = 0.0
    for _ in range(bursts):
        start = time.monotonic()
        for _ in range(burst):
            signal(number)
        spent += time.monotonic() - start
        time.sleep(0.005)
    return spent / bursts / burst


def spool_many(count: int) -> float:
    spool = uwsgi.spool
    start = time.monotonic()
    for _ in range(count):
        spool({b"key": b"value", b"number": b"1"})
    return time.monotonic() - start


def spool_special(what: str, path: str) -> bool:
    uwsgi.spool({b"do": what.encode(), b"path": path.encode()})
    return True


def spool_notes(count: int, every: float) -> bool:
    for _ in range(count):
        time.sleep(every)
        uwsgi.spool({b"do": b"note", b"sent": str(time.monotonic_ns()).encode()})
    time.sleep(every)
    return True


def pin(cores: list[int]) -> bool:
    os.sched_setaffinity(0, cores)
    return True


ACTIONS: dict[str, Callable[..., Any]] = {
    "send": send, "receive": receive, "send_farm": send_farm, "send_pool": send_pool, "drain": drain,
    "ping": ping, "pong": pong, "tick": tick, "raise_signals": raise_signals,
    "registered": uwsgi.signal_registered, "pin": pin, "spool_many": spool_many,
    "spool_special": spool_special, "spool_notes": spool_notes,
    "cache_sets": partial(sets, uwsgi.cache_update), "cache_gets": partial(gets, uwsgi.cache_get),
}  # fmt: skip


if __name__ == "__main__":
    serve(f"mule{uwsgi.mule_id()}", ACTIONS)
