"""Signals that were raised and not handled survive the death of their master, with the numbers they had."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import scripts
from conftest import BusEnvironment
from ipcmules.bus import liveness
from ipcmules.bus.places import places
from support import Launcher, run_cli, wait_until

APP = """
import os, time
import ipcmules
from ipcmules.decorators import signal

def say(name):
    print("handled", name, ipcmules.mule_id(), flush=True)

@signal(17, target="mule")
def pool(number):
    say("pool")

@signal(18, target="mule1")
def one(number):
    say("one")

@signal(19, target="farm_mail")
def farm(number):
    say("farm")

@signal(target="mule1")
def chosen(number):
    say(f"chosen {number}")

def main():
    # With a gate it is stuck until that exists; then it handles what there is.
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    while True:
        ipcmules.mule_get_msg()
"""


def test_they_are_handled_after_the_next_start(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    gate = tmp_path / "gate"
    environment = {**os.environ, "GATE": str(gate)}
    options = ("--bus", bus_name, "--mule=app:main", "--farm", "mail:1", "--import", "app")
    with Launcher(*options, cwd=tmp_path, env=environment) as launcher:
        for number in (17, 17, 18, 19, 255, 200):
            assert run_cli("signal", "--bus", bus_name, str(number)).returncode == 0
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
    wait_until(lambda: not liveness.is_alive(places(bus_name)), what="the end of the lock")
    # A start that fails keeps them.
    scripts.write(tmp_path, "broken.py", "raise RuntimeError('broken')")
    broken = run_cli("run", *options, "--import", "broken", cwd=tmp_path, env=environment)
    assert broken.returncode == 1 and "broken" in broken.stderr
    saved = json.loads(Path(places(bus_name).signals).read_text())
    [life] = saved.values()
    assert life["pending"] == {"mule0": [[17, 2]], "farm.mail": [[19, 1]], "mule1": [[18, 1], [255, 1]]}
    gate.touch()
    with Launcher(*options, cwd=tmp_path, env=environment) as launcher:
        wait_until(lambda: launcher.stdout.count("handled") == 5, what="five handled signals")
        launcher.wait_log("saved signals for mule0 are raised again")
        assert not Path(places(bus_name).signals).exists()
    handled = sorted(line for line in launcher.stdout.splitlines() if line.startswith("handled"))
    assert handled == [
        "handled chosen 255 1",
        "handled farm 1",
        "handled one 1",
        "handled pool 1",
        "handled pool 1",
    ]


def test_what_has_no_place_any_more_is_logged(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    environment = {**os.environ, "GATE": str(tmp_path / "gate")}
    options = ("--bus", bus_name, "--mule=app:main", "--import", "app", "--mule-reload-mercy", "0")
    with Launcher(*options, "--farm", "mail:1", cwd=tmp_path, env=environment) as launcher:
        assert run_cli("signal", "--bus", bus_name, "19").returncode == 0
    assert "1 signals were not handled" in launcher.stderr
    with Launcher(*options, cwd=tmp_path, env=environment) as launcher:
        assert "1 saved signals are for farm.mail, which this bus does not have: dropped" in launcher.stderr
