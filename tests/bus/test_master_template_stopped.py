"""A template that is stopped is noticed, said in the log, and replaced; nothing waits for it for ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.kernel import kill
from ipcmules.kernel.processes import ProcessId, start_time
from support import Launcher, run_cli, wait_until

APP = """
    import os, time
    import ipcmules

    def main():
        print("entered", flush=True)
        while True:
            text = ipcmules.mule_get_msg().decode()
            if text == "die":
                os.kill(os.getpid(), 9)
            print("got", text, flush=True)
"""
#: Stops the template once, while it loads the app.
STOPS = """
    import os, signal
    if not os.path.exists("stopped"):
        open("stopped", "w").close()
        os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return scripts.write(tmp_path, "program.py", APP)


def start(name: str, app: Path, *more: str, ready: bool = True) -> Launcher:
    arguments = ["--bus", name, "--mule=program:main", "--pythonpath", str(app.parent), *more]
    return Launcher(*arguments, cwd=app.parent, ready=ready)


def template_of(master: int) -> ProcessId:
    for pid in map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()):
        if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(b"template"):
            return ProcessId(pid, start_time(pid))
    raise AssertionError("no template")


def test_a_mule_dies_while_the_template_is_stopped(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app) as launcher:
        template = template_of(launcher.pid)
        assert kill.send(template, signal.SIGSTOP)
        run_cli("msg", "--bus", bus_name, "--mule", "1", "die")
        wait_until(lambda: launcher.stdout.count("entered") == 2, what="the successor")
        launcher.wait_log(f"(pid {template.pid}, state T: it is stopped")
        assert not template.alive()


def test_a_reload_with_a_stopped_template(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule-reload-mercy", "1") as launcher:
        assert kill.send(template_of(launcher.pid), signal.SIGSTOP)
        done = run_cli("reload", "--bus", bus_name)
        assert done.returncode == 0, done.stderr
        # And one whose mule is asked of the stopped template already.
        assert kill.send(template_of(launcher.pid), signal.SIGSTOP)
        run_cli("msg", "--bus", bus_name, "--mule", "1", "die")
        wait_until(lambda: "was killed by SIGKILL" in launcher.stderr, what="the death")
        done = run_cli("reload", "--bus", bus_name)
        assert done.returncode == 0, done.stderr
        run_cli("msg", "--bus", bus_name, "--mule", "1", "hello")
        launcher.wait_output("got hello")


def test_it_is_stopped_while_it_loads(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    scripts.write(app.parent, "stops.py", STOPS)
    with start(bus_name, app, "--import", "stops") as launcher:
        assert "does not answer" in launcher.stderr
        os.unlink(app.parent / "stopped")
        done = run_cli("reload", "--bus", bus_name)
        assert done.returncode == 0, done.stderr


def test_a_stop_does_not_wait_for_it(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app) as launcher:
        assert kill.send(template_of(launcher.pid), signal.SIGSTOP)
        began = time.monotonic()
        assert launcher.stop() == 0
        assert time.monotonic() - began < 30  # the mercy is a minute
