"""A process beside the tests that writes down every bus description it sees.

Kernel objects cannot be listed by name, and a bus removes its description when it stops: this is how
the tests know which queues and semaphores a bus had, and so whether it left any. It is a process, not a
thread, because the tested code forks and must find the test process as it would find any other.

    python watcher.py DIRECTORY      looks at DIRECTORY/*/run/*/bus.json until its stdin is closed,
                                     appends each version found to DIRECTORY/seen
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path

INTERVAL = 0.02  # seconds; a bus takes longer than that to start


def look(directory: Path, known: dict[str, int]) -> list[str]:
    """JSON lines of the descriptions that are new since the last look."""
    lines = []
    for path in directory.glob("*/run/*/bus.json"):
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
