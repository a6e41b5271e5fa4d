"""The chaos program for spoolers, for a short time: its ledger balances. `make chaos` runs it in full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BusEnvironment

TESTS = Path(__file__).resolve().parent


@pytest.mark.timeout(200)
def test_every_task_runs_whoever_is_killed(bus_env: BusEnvironment) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "chaos.spooling", "--tasks", "3000", "--kills", "25"],
        cwd=TESTS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "The ledger balances." in done.stdout
