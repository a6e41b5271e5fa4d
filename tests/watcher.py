"""A process beside the tests that writes down every bus description it sees.

Kernel objects cannot be listed by name, and a bus removes its description when it stops: this is how
the tests know which queues and semaphores a bus had, and so whether it left any. It is a process, not a
thread, because the tested code forks and must find the test process as it would find any other.

    python watcher.py DIRECTORY      looks at DIRECTORY/*/run/*/bus.json until its stdin is closed,
                                     appends each version found to DIRECTORY/seen
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

INTERVAL = 0.02  # seconds; a bus takes longer than that to start


def look(directory: Path, known: dict[str, int]) -> list[str]:
    """JSON lines of the descriptions that are new since the last look."""
    lines = []
    for path in _descriptions(directory):
        try:
            changed = path.stat().st_mtime_ns
            if known.get(str(path)) == changed:
                continue
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # just removed
        known[str(path)] = changed
        lines.append(json.dumps({"root": str(path.parent.parent), "bus": path.parent.name, "data": data}))
    return lines


def _descriptions(directory: Path) -> Iterator[Path]:
    """DIRECTORY/*/run/*/bus.json, without the cost of a glob: fifty times a second, a watcher a worker."""
    for test in os.listdir(directory):
        try:
            buses = os.listdir(directory / test / "run")
        except OSError:
            continue  # no test's, or it has no bus
        for bus in buses:
            yield directory / test / "run" / bus / "bus.json"


def main() -> None:
    directory = Path(sys.argv[1])
    known: dict[str, int] = {}
    with (directory / "seen").open("a", encoding="utf-8") as seen:
        while not select.select([sys.stdin], [], [], INTERVAL)[0]:
            for line in look(directory, known):
                seen.write(line + "\n")
                seen.flush()


if __name__ == "__main__":
    main()
