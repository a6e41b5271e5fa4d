"""How many of 8 idle mules wake up for one message to the pool."""

from __future__ import annotations

import time

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.proc import voluntary_switches
from benchmarks.rows import Bench, Row, absolute


def run(bench: Bench) -> list[Row]:
    messages = bench.scaled(150)
    readers = list(range(1, 9))
    with IpcmulesBus(9) as bus:
        pids = [bus.agents[number].pid for number in readers]
        for number in readers:
            bus.agents[number].ask("drain", 0)
        time.sleep(0.3)
        woken = 0
        before = [voluntary_switches(pid) for pid in pids]
        for _ in range(messages):
            bus.agents[9].call("send", 0, 64, 1)
            time.sleep(0.01)
            after = [voluntary_switches(pid) for pid in pids]
            woken += sum(a != b for a, b in zip(after, before, strict=True))
            before = after
        bus.agents[9].call("send_pool", 64, 0, len(readers))
        taken = sum(bus.agents[number].answer()[0] for number in readers)
    if taken != messages:
        raise RuntimeError(f"{taken} of {messages} messages were taken")
    each = woken / messages
    return [absolute("mules woken a message, pool of 8 idle mules", f"{each:.2f}", "<= 2", each <= 2)]
