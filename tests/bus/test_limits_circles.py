"""Sends that stand still: shown, said once, and an error where nobody could ever make room."""

from __future__ import annotations

import json
import re
from pathlib import Path

import scripts
from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

APP = """
import os, time
import ipcmules
from ipcmules.messages.send import standstill

standstill.PATIENCE = 0.2

def fill(send, **more):
    # Until a send has to wait: queue and buffer are full then.
    count = 0
    while send(b"x" * 2000, **more):
        count += 1
    return count

def run(name):
    message = ipcmules.mule_get_msg()
    try:
        globals()[message.decode()]()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    print("goes on", flush=True)
    while ipcmules.mule_get_msg():
        pass

def to_itself():
    fill(lambda data: ipcmules.mule_msg(data, ipcmules.mule_id()))

def to_its_farm():
    fill(lambda data: ipcmules.farm_msg("own", data))

def to_itself_for_a_time():
    print("sent", fill(lambda data: ipcmules.mule_msg(data, 1, timeout=0.3)) > 3, flush=True)

def to_the_other():
    open(f"ready{ipcmules.mule_id()}", "w").close()
    while not os.path.exists(f"ready{3 - ipcmules.mule_id()}"):
        time.sleep(0.01)
    fill(lambda data: ipcmules.mule_msg(data, 3 - ipcmules.mule_id()))

def main():
    run("main")
"""


def doing(name: str, number: int) -> str:
    found = json.loads(run_cli("status", "--bus", name, "--json").stdout)["mules"][number - 1]["doing"]
    assert isinstance(found, str)
    return found


def test_a_mule_that_would_wait_for_itself(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mule=app:main", "--mule=app:main", "--farm=own:2")
    with Launcher(*options, cwd=tmp_path) as launcher:
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "to_itself").returncode == 0
        launcher.wait_output("StandstillError this process waits to send to mule 1, whose queue is full")
        launcher.wait_output("goes on")
        assert run_cli("msg", "--bus", bus_name, "--mule", "2", "to_its_farm").returncode == 0
        launcher.wait_output("StandstillError this process waits to send to farm own")
    assert launcher.code == 0


def test_a_send_with_a_time_returns_false(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    with Launcher("--bus", bus_name, "--mule=app:main", cwd=tmp_path) as launcher:
        assert run_cli("msg", "--bus", bus_name, "to_itself_for_a_time").returncode == 0
        launcher.wait_output("sent True")
        launcher.wait_output("goes on")
    assert launcher.code == 0


def test_mules_that_wait_for_each_other_say_so(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mule=app:main", "--mule=app:main", "--mule-reload-mercy", "0.1")
    # What waits when it stops is saved, a file a message.
    with Launcher(*options, "--queue-messages", "200", cwd=tmp_path) as launcher:
        for number in "12":
            assert run_cli("msg", "--bus", bus_name, "--mule", number, "to_the_other").returncode == 0
        wait_until(
            lambda: doing(bus_name, 1) == "sending to mule 2" and doing(bus_name, 2) == "sending to mule 1"
        )
        said = re.compile(r"a send to mule (\d) waits for [\d.]+ s by now: its queue is full")
        wait_until(lambda: sorted(said.findall(launcher.stderr)) == ["1", "2"])
        # Who is the first to say it may not know of the other's yet.
        launcher.wait_log("and who reads it waits to send to mule")
        launcher.wait_log("they wait for each other")
    assert launcher.stderr.count("said once a send") == 2
