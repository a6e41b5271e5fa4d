"""The chaos program for a short time, with a new seed each time. `make chaos` runs it in full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]
#: What is exhausted and removed beside this is for `make chaos` (docs/chaos.md).
KINDS = ["--kinds", "kill,interrupt,fork", "--together"]
SIZE = ["--seconds", "8", "--messages", "4000", "--signals", "1000", "--sections", "300"]


@pytest.mark.timeout(250)
def test_the_ledger_balances(bus_env: object) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *KINDS, *SIZE],
        cwd=TESTS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "The ledger balances." in done.stdout
