"""A call from outside runs in exactly one process, whatever becomes of it there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ipcmules
from scripts import write
from support import Launcher, wait_until

APP = """
    import os, time
    import ipcmules

    def say(what):
        os.write(1, f"{what} in {ipcmules.mule_id()}\\n".encode())

    def bad():
        say("bad")
        1 / 0

    def deadly():
        say("deadly")
        os._exit(3)

    def rare():
        say("rare")
        return b"done"

    for function in (bad, deadly):
        ipcmules.register_rpc(function.__name__, function)
    ipcmules.register_rpc("common", lambda: b"%d" % ipcmules.mule_id())

    @ipcmules.decorators.postfork
    def more():
        if ipcmules.mule_id() == 3:
            ipcmules.register_rpc("rare", rare)
"""


def test_a_call_runs_in_one_process_alone(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mules", "3", "--import", "app", "--socket", "127.0.0.1:0")
    with Launcher(*options, cwd=tmp_path) as launcher:
        address = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))[1]
        assert ipcmules.rpc(address, "rare") == b"done"  # the first that has it, after two that have not
        for name in ("bad", "deadly"):
            assert ipcmules.rpc(address, name) is None
        assert wait_until(lambda: ipcmules.rpc(address, "common"))
        assert ipcmules.rpc(address, "bad") is None
    for name, times in (("bad", 2), ("deadly", 1), ("rare", 1)):
        assert launcher.stdout.count(f"{name} in ") == times, launcher.output()
    assert "rare in 3" in launcher.stdout


def test_submodules_are_there_after_import(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import ipcmules; " + "; ".join(
        f"print(ipcmules.{each}.__name__)" for each in ("testing", "aio", "compat", "decorators")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"ipcmules.{each}" for each in ("testing", "aio", "compat", "decorators")]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ipcmules.nothing  # type: ignore[attr-defined] # noqa: B018 # it is not there
