"""Driving every public function of an attached process by a program of its own, on a bus for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import public_calls
from support import Launcher


def drive(bus_name: str, directory: Path, program: str, usual_step: str) -> Launcher:
    """Run a program's main() (interrupted_program, refused_program) to its end; the bus, which has ended.

    usual_step: its argument, one of so many places; IPCMULES_TEST_EVERY=1 takes every one.
    """
    (directory / "app.py").write_text(public_calls.APP)
    step = "1" if os.environ.get("IPCMULES_TEST_EVERY") else usual_step
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with Launcher("--bus", bus_name, *public_calls.ARGUMENTS, cwd=directory) as launcher:
        done = subprocess.run(
            [sys.executable, "-c", f"import {program}; {program}.main()", step],
            cwd=directory, env={**os.environ, "IPCMULES_BUS": bus_name, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout
        assert done.stdout.splitlines()[-1] == "done", done.stdout
    assert launcher.code == 0, launcher.output()
    return launcher
