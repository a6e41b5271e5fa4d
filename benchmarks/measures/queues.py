"""Tasks with results, beside queues that people have: tasks a second, and from enqueueing to the result."""

from __future__ import annotations

from benchmarks.peers.queues import Queue
from benchmarks.programs.queue_app_names import OURS, QUEUES
from benchmarks.rows import Bench, Row, duration, interleave, rate, skipped, versus
from benchmarks.workspace import Skip

_LABELS = ("tasks with results, one worker process", "from enqueueing to the result, one worker, p50")


def run(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    queues: dict[str, Queue] = {}
    for name in QUEUES:
        try:
            queues[name] = Queue(name)
        except Skip as skip:
            rows.append(skipped(f"tasks with results: {name}", str(skip)))
    rounds = min(bench.rounds, 3)
    done = interleave(
        {
            name: lambda queue=queue: queue.throughput(bench.scaled(queue.count))
            for name, queue in queues.items()
        },  # type: ignore[misc]  # mypy sees no types in a lambda's defaults
        rounds,
    )
    late = interleave(
        {name: lambda queue=queue: queue.latency(bench.scaled(300)) for name, queue in queues.items()},  # type: ignore[misc]  # as above
        rounds,
    )
    for name in list(queues)[1:]:
        # Five times the best of them is asked for; RQ forks for each task, and is not that.
        rows.append(versus(_LABELS[0], name, done[OURS], done[name], rate, at_least=5))
        rows.append(versus(_LABELS[1], name, late[OURS], late[name], duration, at_most=0.2))
    return rows
