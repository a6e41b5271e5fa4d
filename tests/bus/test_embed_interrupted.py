"""A signal handler raises anywhere while a Bus starts, works or stops: it ends, and the next one starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import interruptions


@pytest.mark.skipif(not interruptions.EXACT, reason="the places are known for 3.11 and later")
def test_a_bus_in_a_program(bus_env: object, tmp_path: Path) -> None:
    """IPCMULES_TEST_EVERY=1: every ninth place."""
    step = "9" if os.environ.get("IPCMULES_TEST_EVERY") else "401"
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "import interrupted_bus; interrupted_bus.main()", step],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    assert done.stdout.splitlines()[-1] == "done"
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
