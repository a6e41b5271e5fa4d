"""A process whose fork nobody told the master of must not live: its number is given to another one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.kernel.processes import start_time
from support import Launcher, run_cli, wait_until

#: With a file hold-between the process between the template and a mule stays where it has forked the mule and
#: has not said so; with a file hold-mule the mule stays where it has been forked.
APP = """
import os, time
import ipcmules

template = os.getpid()

def hold(name):
    if not os.path.exists(name):
        return
    os.unlink(name)
    with open("held.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("held.new", "held")
    while not os.path.exists("go"):
        time.sleep(0.005)

def in_parent():
    if os.getpid() != template:
        hold("hold-between")

def in_child():
    if os.getppid() != template:
        hold("hold-mule")

os.register_at_fork(after_in_parent=in_parent, after_in_child=in_child)

def main():
    print("entered", flush=True)
    while True:
        text = ipcmules.mule_get_msg().decode()
        if text == "kill":
            os.kill(os.getpid(), 9)
        print("got", text, flush=True)
"""


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def titled(pid: int, title: str) -> list[int]:
    """Children of a process with a title that ends so."""
    titles = {each: Path(f"/proc/{each}/cmdline").read_bytes().strip(b"\0") for each in children(pid)}
    return [each for each, found in titles.items() if found.endswith(title.encode())]


@pytest.mark.parametrize("victim", ["template", "between"])
def test_a_mule_that_was_forked_and_not_reported_ends(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, victim: str
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    with Launcher("--bus", bus_name, "--import", "app", "--mule=app:main", cwd=tmp_path) as launcher:
        [template] = titled(launcher.pid, "template")
        (tmp_path / "hold-between").touch()
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "kill").returncode == 0
        wait_until((tmp_path / "held").exists, what="a mule that is not reported")
        between = int((tmp_path / "held").read_text())
        [unreported] = children(between)
        started = start_time(unreported)
        assert started
        os.kill(template if victim == "template" else between, signal.SIGKILL)
        if victim == "template":
            wait_until(lambda: launcher.stdout.count("entered") == 2, what="the mule of the next template")
            (tmp_path / "go").touch()
        wait_until(lambda: start_time(unreported) != started, what="the unreported mule's end")
        wait_until(lambda: launcher.stdout.count("entered") == 2, what="another mule")
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "after").returncode == 0
        launcher.wait_output("got after")
        assert len(titled(launcher.pid, "mule 1")) == 1
    assert launcher.code == 0
    assert launcher.stdout.count("entered") == 2


def test_a_mule_whose_master_dies_before_it_could_follow_it_ends(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    with Launcher("--bus", bus_name, "--import", "app", "--mule=app:main", cwd=tmp_path) as launcher:
        (tmp_path / "hold-mule").touch()
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "kill").returncode == 0
        wait_until((tmp_path / "held").exists, what="a mule that waits")
        mule = int((tmp_path / "held").read_text())
        started = start_time(mule)
        # The process that forked it has ended: the mule is the master's child, and then nobody's.
        wait_until(lambda: mule in children(launcher.pid), what="the mule's adoption")
        launcher.process.kill()
        launcher.wait()
        (tmp_path / "go").touch()
        wait_until(lambda: start_time(mule) != started, what="the mule's end")
    assert run_cli("clean").returncode == 0
