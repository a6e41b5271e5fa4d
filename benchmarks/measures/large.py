"""1 MiB messages, beside the fastest that the standard library has."""

from __future__ import annotations

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.pairs import Pair, pipe_ends
from benchmarks.peers.side import stream
from benchmarks.rows import Bench, Row, interleave, rate, versus

SIZE = 1 << 20


def run(bench: Bench) -> list[Row]:
    count = bench.scaled(300)
    with IpcmulesBus(2) as ours, Pair("mp.Pipe", pipe_ends) as pipe:
        samples = interleave(
            {"ipcmules": lambda: stream(ours, SIZE, count), "mp.Pipe": lambda: pipe.stream(SIZE, count)},
            bench.rounds,
        )
    return [
        versus("1 MiB messages", "Pipe.send_bytes", samples["ipcmules"], samples["mp.Pipe"], rate, at_least=1)
    ]
