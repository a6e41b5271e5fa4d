"""Fewer processes than a bus needs: its start says so, and what mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import narrow
import scripts
from conftest import BusEnvironment

#: A user of its own, whose processes are counted: root's are not (setrlimit(2), RLIMIT_NPROC).
_USER = 64321
_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NPROC, (n, n)); "
)

APP = """
import ipcmules
ipcmules.register_rpc("echo", lambda data: data)
"""


def as_user(count: int, *command: str) -> list[str]:
    """A command line that runs another one with at most so many processes and threads."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid():
        pytest.skip("needs root and setpriv")
    files = "-all,+dac_override,+dac_read_search"  # the interpreter may lie in root's home
    before = [setpriv, f"--reuid={_USER}", "--clear-groups", f"--inh-caps={files}", f"--ambient-caps={files}"]
    if subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("may not become another user with some capabilities")
    source = _LIMITED + "os.execv(sys.argv[2], sys.argv[2:])"
    return [*before, sys.executable, "-c", source, str(count), *command]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_start_without_enough_processes(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    scripts.write(tmp_path, "app.py", APP)
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "3", "--import", "app", "--", "true")
    with tempfile.TemporaryDirectory() as own:  # where that user may write without more ado
        os.chown(own, _USER, -1)
        monkeypatch.setenv("IPCMULES_RUNTIME_DIR", f"{own}/run")
        monkeypatch.setenv("IPCMULES_STATE_DIR", f"{own}/state")
        done = narrow.run(as_user(count, *command), cwd=tmp_path)
        assert os.listdir(own + "/run") == []
    assert done.returncode == 1, done.stderr
    assert "raise the limit of processes (ulimit -u" in done.stderr and "Traceback" not in done.stderr
