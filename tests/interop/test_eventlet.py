"""eventlet hides what this needs: a process that it has patched is told so when it joins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import write
from support import Launcher

pytest.importorskip("eventlet")


def test_a_process_that_eventlet_has_patched_is_told(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    app = "import eventlet\neventlet.monkey_patch()\nimport ipcmules\nipcmules.mule_msg(b'x')\n"
    write(tmp_path, "patched.py", app)
    with Launcher("--bus", bus_name, "--mules", "1"):
        done = subprocess.run(
            [sys.executable, "patched.py"],
            cwd=tmp_path,
            env={**os.environ, "IPCMULES_BUS": bus_name},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "NotAttached: this process cannot join a bus: eventlet.monkey_patch() has replaced" in done.stderr
