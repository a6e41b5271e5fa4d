"""What the in-flight records cost: what a mule has in hand, written down so that its death loses nothing."""

from __future__ import annotations

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.side import Side, stream
from benchmarks.rows import Bench, Row, interleave, rate, versus

OFF = "benchmarks/programs/unrecorded.py"
SIZE = 64
#: The sides differ by some percent: many short rounds, close to each other, tell more than a few long ones.
ROUNDS = 5


def run(bench: Bench) -> list[Row]:
    """Packed frames (one mule's queue) and messages that come alone (the pool), with records and without."""
    with IpcmulesBus(2) as on, IpcmulesBus(2, "--import", OFF) as off:
        own = interleave(
            {
                "on": lambda: stream(on, SIZE, bench.scaled(60_000)),
                "off": lambda: stream(off, SIZE, bench.scaled(60_000)),
            },
            ROUNDS * bench.rounds,
        )
        pool = interleave(
            {
                "on": lambda: pool_stream(on, bench.scaled(15_000)),
                "off": lambda: pool_stream(off, bench.scaled(15_000)),
            },
            ROUNDS * bench.rounds,
        )
    label = "64 B to {}, with records of what is in hand"
    return [
        versus(label.format("one mule"), "without", own["on"], own["off"], rate, at_least=0.9),
        versus(label.format("the pool"), "without", pool["on"], pool["off"], rate, at_least=0.9),
    ]


def pool_stream(side: Side, count: int) -> float:
    """Messages a second from mule 2 to the pool, of which mule 1 alone receives."""
    side.agents[1].ask("receive", count)
    side.agents[2].ask("send", 0, SIZE, count)
    start = side.agents[2].answer(60)
    return float(count / (side.agents[1].answer(60) - start))
