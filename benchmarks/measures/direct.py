"""64-byte messages, one sender to one mule, one call a message on each side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.peers import pairs
from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.rawmq import RawMq
from benchmarks.peers.side import stream
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, interleave, rate, skipped, versus
from benchmarks.workspace import Skip, Workspace

SIZE = 64
LABEL = "64 B, one sender to one mule"
#: Messages a round for each side, so that a round takes a quarter of a second or so.
PAIRS = {
    "mp.Queue": (pairs.queue_ends, 30_000),
    "mp.Pipe": (pairs.pipe_ends, 50_000),
    "faster-fifo": (pairs.fifo_ends, 50_000),
    "pyzmq ipc": (pairs.zmq_ends, 80_000),
}
AT_LEAST = {"uWSGI": 4.5, "mp.Queue": 8.0}


def run(bench: Bench) -> list[Row]:
    sides: dict[str, Callable[[], float]] = {}
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(IpcmulesBus(2))
        sides["ipcmules"] = lambda: stream(ours, SIZE, bench.scaled(300_000))
        try:
            uwsgi = stack.enter_context(UwsgiServer(2))
            sides["uWSGI"] = lambda: stream(uwsgi, SIZE, bench.scaled(100_000))
        except Skip as skip:
            rows.append(skipped(f"{LABEL} / uWSGI", str(skip)))
        for label, (ends, count) in PAIRS.items():
            try:
                pair = stack.enter_context(pairs.Pair(label, ends))
            except Skip as skip:
                rows.append(skipped(f"{LABEL} / {label}", str(skip)))
                continue
            sides[label] = lambda pair=pair, count=count: pair.stream(SIZE, bench.scaled(count))  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
        try:
            raw = RawMq(stack.enter_context(Workspace("rawmq")))
            sides["raw C"] = lambda: raw.stream(10, SIZE, bench.scaled(150_000))
        except Skip as skip:
            rows.append(skipped(f"{LABEL} / raw C", str(skip)))
        samples = interleave(sides, bench.rounds)
    mine = samples.pop("ipcmules")
    return rows + [
        versus(LABEL, label, mine, theirs, rate, at_least=AT_LEAST.get(label))
        for label, theirs in samples.items()
    ]


def run_hundred(bench: Bench) -> list[Row]:
    """The same beside 98 idle mules on both sides; ours may use the whole limit for its queues."""
    label = "the same on a bus of 100 mules"
    try:
        with (
            IpcmulesBus(2, "--mules", "98", "--queue-share", "1") as ours,
            UwsgiServer(2, "--mules=98") as uwsgi,
        ):
            samples = interleave(
                {
                    "ipcmules": lambda: stream(ours, SIZE, bench.scaled(200_000)),
                    "uWSGI": lambda: stream(uwsgi, SIZE, bench.scaled(100_000)),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], rate, at_least=2)]
