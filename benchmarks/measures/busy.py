"""What a burst costs its sender while those who receive are busy: each send, and 10,000 of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.rows import Bench, Row, absolute, seconds

#: How long the receivers are busy, in seconds; and how many messages come meanwhile, as issue 12 has it.
BUSY, BURST = 1.0, 10_000
READERS = [1, 2, 3, 4]


def run(bench: Bench) -> list[Row]:
    with IpcmulesBus(5, "--farm=f:1,2,3,4") as bus:

        def burst(target: object, readers: list[int]) -> list[float]:
            for number in readers:
                bus.agents[number].ask("work_then_drain", BUSY)
            found: list[float] = bus.agents[5].call("burst", target, 64, BURST, len(readers))
            handled = sum(bus.agents[number].answer()[0] for number in readers)
            if handled != BURST:
                raise RuntimeError(f"{handled} of {BURST} messages were handled")
            return found

        mule = [burst(1, [1]) for _ in range(min(bench.rounds, 5))]
        farm = [burst("f", READERS) for _ in range(min(bench.rounds, 5))]
    return [row for label, samples in (("mule", mule), ("farm", farm)) for row in _rows(label, samples)]


def _rows(label: str, samples: list[list[float]]) -> list[Row]:
    """samples: of each burst the p99 of a send, all of it, and the sender's CPU time, in seconds."""
    median: Callable[[list[float]], float] = statistics.median
    late, all_of_it, cpu = (median(list(each)) for each in zip(*samples, strict=True))
    return [
        absolute(f"a send while its {label} is busy for 1 s, p99", seconds(late), "<= 50 us", late <= 50e-6),
        absolute(
            f"10,000 of them: all, and the sender's CPU time {seconds(cpu)}",
            seconds(all_of_it),
            "<= 20 ms",
            all_of_it <= 0.020,
        ),
    ]
