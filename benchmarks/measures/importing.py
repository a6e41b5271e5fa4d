"""What `import ipcmules` adds to the start of a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.rows import Bench, Row, absolute, interleave, seconds
from benchmarks.workspace import ROOT, base_environment


def _run(code: str) -> float:
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=base_environment(), timeout=30)
    return time.monotonic() - start


def run(bench: Bench) -> list[Row]:
    samples = interleave(
        {"bare": lambda: _run("pass"), "ipcmules": lambda: _run("import ipcmules")}, bench.rounds * 3
    )
    added = statistics.median(a - b for a, b in zip(samples["ipcmules"], samples["bare"], strict=True))
    bare = seconds(statistics.median(samples["bare"]))
    label = f"import ipcmules, over bare Python ({bare})"
    return [absolute(label, seconds(added), "<= 40 ms", added <= 0.040)]
