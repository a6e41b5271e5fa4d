"""Enqueues tasks with results (queue_app.py), and prints seconds. Arguments: what, and how many.

fill: the time that enqueueing them took. latency: the median from enqueueing one to its result, one by one.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.programs.queue_app import enqueue, result

_TIMEOUT = 60.0


def fill(count: int) -> float:
    start = time.monotonic()
    for number in range(count):
        enqueue(number)
    return time.monotonic() - start


def latency(count: int) -> float:
    found = []
    for number in range(count + 20):
        start = time.monotonic()
        if result(enqueue(number), _TIMEOUT) != number:
            raise SystemExit(f"the result of {number} is another one")
        found.append(time.monotonic() - start)
        time.sleep(0.002)
    return statistics.median(found[20:])


if __name__ == "__main__":
    print({"fill": fill, "latency": latency}[sys.argv[1]](int(sys.argv[2])))
