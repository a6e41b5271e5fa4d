"""Signals that scripts send to everybody: the master logs its status on SIGUSR1, and nobody ends by
accident."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import BusEnvironment
from scripts import write
from support import Launcher, run_cli, wait_until

APP = """
    import ipcmules, os, signal
    from ipcmules.decorators import mulemsg

    @ipcmules.decorators.signal(5, target="mule1")
    def five(number):
        os.write(1, b"five\\n")

    @mulemsg(1)
    def message(data):
        child = os.popen("python3 -c 'import signal; print(signal.getsignal(signal.SIGUSR1))'").read()
        os.write(1, b"message; a child's SIGUSR1 is " + child.encode())

    signal.signal(signal.SIGUSR2, lambda *_: os.write(1, b"the app's own\\n"))
"""


def pids(bus: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_cli("status", "--bus", bus, "--json").stdout)
    return {kind: [each["pid"] for each in found[kind]] for kind in ("mules", "spoolers", "workers")} | {
        "state": found["state"],
        "master": found["master"]["pid"],
    }


def test_no_stray_signal_ends_a_process(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "app.py", APP)
    options = (
        "--mules",
        "2",
        "--processes",
        "1",
        "--spooler",
        "spool",
        "--socket",
        "127.0.0.1:0",
        "--import",
        "app",
    )
    with Launcher("--bus", bus_name, *options, "--attach-daemon", "sleep 600", cwd=tmp_path) as launcher:
        before = pids(bus_name)
        family = psutil.Process(launcher.pid).children(recursive=True)
        ours = [each for each in family if "ipcmules: " in " ".join(each.cmdline())]
        assert len(ours) >= 6, ours  # template, mules, worker, spooler, listener, guard
        for number in (
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGWINCH,
            signal.SIGPIPE,
            signal.SIGURG,
            signal.SIGCONT,
        ):
            for process in ours:
                process.send_signal(number)
            os.kill(launcher.pid, number)
        for number in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO):
            os.kill(launcher.pid, number)
        wait_until(lambda: "last deaths: none" in launcher.stderr, what="the status in the log")
        for words in (
            f"bus {bus_name}: ready, master pid {launcher.pid}",
            "mule 1 (signal-only): pid ",
            "spooler 1 (",
        ):
            launcher.wait_log(words)
        launcher.wait_output("the app's own")
        assert run_cli("signal", "5", "--bus", bus_name).returncode == 0
        assert run_cli("msg", "--mule", "1", "x", "--bus", bus_name).returncode == 0
        launcher.wait_output("a child's SIGUSR1 is 0\n")  # SIG_DFL: programs that are started are as ever
        launcher.wait_output("five\n")
        assert pids(bus_name) == before
        assert {each.pid for each in ours} <= {
            each.pid for each in psutil.Process(launcher.pid).children(True)
        }
    assert launcher.code == 0


def test_the_status_of_a_bus_that_is_starting(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    write(
        tmp_path, "app.py", f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    )
    with Launcher(
        "--bus", bus_name, "--mules", "1", "--import", "app", ready=False, cwd=tmp_path
    ) as launcher:
        wait_until(
            lambda: run_cli("status", "--bus", bus_name).stdout.startswith(
                f"bus {bus_name}: starting, master"
            )
        )
        os.kill(launcher.pid, signal.SIGUSR1)
        wait_until(lambda: f"bus {bus_name}: starting" in launcher.stderr)
        go.touch()
        launcher.wait_ready()
    assert launcher.code == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_an_embedded_bus(bus_env: BusEnvironment, number: int, capfd: pytest.CaptureFixture[str]) -> None:
    import ipcmules

    with ipcmules.Bus(mules=1) as bus:
        os.kill(bus.pid, number)
        assert bus.mule_msg(b"x", 1)
        if number == signal.SIGUSR1:
            wait_until(lambda: "shows the status" in capfd.readouterr().err)
        assert bus.pid
