"""The chaos program for spoolers, for a short time: its ledger balances. `make chaos` runs it in full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ipcmules
from chaos.spooling import Chaos
from conftest import BusEnvironment

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("more", ["", "--together 4 --buses 2"])
def test_every_task_runs_whoever_is_killed(bus_env: BusEnvironment, more: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "chaos.spooling", "--tasks", "3000", "--kills", "25", *more.split()],
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


class LosesItsBus(Chaos):
    """Its bus ends when all has been accepted and killed, with a task in the directory."""

    lost = False

    def _left(self) -> bool:
        if not self.lost:
            self.lost = True
            self._kill("master", self._master.pid)
            self._master.wait()
            ipcmules.spool(id="last", spooler=str(self._directory))
        return super()._left()


def test_the_program_starts_a_bus_again_that_ends_while_it_waits(bus_env: BusEnvironment) -> None:
    top = bus_env.directory / "chaos"
    top.mkdir()
    chaos = LosesItsBus(top, tasks=20, kills=0, seed=1)
    try:
        chaos.run()
    finally:
        chaos.close()
    assert chaos.lost and not chaos.ledger()
    assert "last" in (top / "runs").read_text().split()
