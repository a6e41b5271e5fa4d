"""Enqueues tasks with huey; prints the seconds it took. Arguments: how many."""

from __future__ import annotations

import sys
import time

from benchmarks.programs.huey_app import work

if __name__ == "__main__":
    count = int(sys.argv[1])
    start = time.monotonic()
    for _ in range(count):
        work("value")
    print(time.monotonic() - start)
