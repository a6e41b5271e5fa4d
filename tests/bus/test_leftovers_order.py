"""What a named bus still had queued comes in the order of sending, however often it stopped between."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import scripts
from support import Launcher, run_cli

pytestmark = pytest.mark.slow

SLEEPER = """
    import time
    while True:
        time.sleep(60)
"""
SENDER = """
    import ipcmules
    number = 0
    while ipcmules.mule_msg(f"{number:04d}".ljust(3000, "."), 1, timeout=0):
        number += 1
    print("accepted", number, flush=True)
"""
READER = """
    import ipcmules
    while True:
        print("got", ipcmules.mule_get_msg()[:4].decode(), flush=True)
"""


def test_the_order_is_kept_over_two_stops(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    sleeper = scripts.write(tmp_path, "sleeper.py", SLEEPER)
    sender = scripts.write(tmp_path, "sender.py", SENDER)
    reader = scripts.write(tmp_path, "reader.py", READER)
    common = ["--bus", bus_name]
    with Launcher(*common, f"--mule={sleeper}", command=[sys.executable, str(sender)], ready=False) as first:
        first.wait()
    accepted = int(first.stdout.split("accepted ")[1].split()[0])
    assert accepted > 10
    with Launcher(*common, f"--mule={sleeper}"):
        pass
    with Launcher(*common, f"--mule={reader}") as last:
        last.wait_output(f"got {accepted - 1:04d}\n", 30)
    received = [line for line in last.stdout.splitlines() if line.startswith("got")]
    assert received == [f"got {number:04d}" for number in range(accepted)]
    assert "no dead letters" in run_cli("dead", "list", "--bus", bus_name).stdout


WAITER = """
import ipcmules
print("waiting", flush=True)
while True:
    print("signal", ipcmules.signal_wait(), flush=True)
"""


def test_what_is_queued_for_a_mule_in_signal_wait_comes_with_the_next_start(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    """signal_wait takes no messages, at a stop neither: they are saved, and signals are handled first."""
    (tmp_path / "program.py").write_text(WAITER)
    with Launcher("--bus", bus_name, "--mule=program.py", cwd=tmp_path) as launcher:
        launcher.wait_output("waiting")
        for number in range(3):
            assert run_cli("msg", "--bus", bus_name, "--mule", "1", f"m{number}").returncode == 0
        assert launcher.stop() == 0
    (tmp_path / "program.py").write_text(
        "import ipcmules\nwhile True: print(ipcmules.mule_get_msg(), flush=True)\n"
    )
    with Launcher("--bus", bus_name, "--mule=program.py", cwd=tmp_path) as launcher:
        launcher.wait_output("b'm0'\nb'm1'\nb'm2'\n")
