"""A bus that enqueues far more than its spoolers run: what comes otherwise meanwhile is seen all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.spooler import pauses
from spoolers import Spooling
from support import run_cli, wait_until

MANY = 500
#: Nobody looks at the directory by himself within the test.
OPTIONS = ("--spooler-frequency", "600", "--spooler-quiet")


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


def _enqueue(spooling: Spooling) -> None:
    """As a process of the bus, which writes a task under its own name while there is a backlog."""
    program = (
        "import ipcmules\n"
        f"for number in range({MANY}):\n    ipcmules.spool(key=f'n{{number}}')\n"
        "print(sorted(map(len, ipcmules.spooler_jobs()))[0] > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "IPCMULES_BUS": spooling.bus},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr


def test_a_file_that_others_put_there_meanwhile(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start(*OPTIONS):
        spooling.spool(key="first", do="wait", file=str(go))
        spooling.wait_runs(1)
        _enqueue(spooling)
        spooling.raw("foreign", spooling.task(key="foreign"))
        go.touch()
        spooling.wait_empty(60)
        spooling.raw("later", spooling.task(key="later"))  # watched again
        wait_until(lambda: "later" in spooling.ran(), what="the last")
    assert sorted(spooling.ran()) == sorted(
        ["first", "foreign", "later", *(f"n{number}" for number in range(MANY))]
    )


def test_a_pause_that_ends_meanwhile(spooling: Spooling, tmp_path: Path) -> None:
    with spooling.start(*OPTIONS):
        spooling.spool(key="first")
        spooling.wait_empty()
        assert run_cli("tasks", "pause", "--bus", spooling.bus).returncode == 0
        _enqueue(spooling)
        assert pauses.read(str(spooling.directory)).everything
        assert run_cli("tasks", "resume", "--bus", spooling.bus).returncode == 0
        spooling.wait_empty(60)
    assert len(spooling.ran()) == MANY + 1
