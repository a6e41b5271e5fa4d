"""The examples of uWSGI's chapter on mules: a timer, a signal and a file monitor, each with its target."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest

from conftest import BusEnvironment
from eventbus import app, event, listed, wait_lines
from support import Launcher, run_cli, wait_until

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mules"


def test_the_example(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "2", "--import", "app.py", cwd=EXAMPLE) as launcher:
        found = {
            each["handler"]: each
            for each in json.loads(run_cli("events", "--bus", bus_name, "--json").stdout)
        }
        timer, monitor = found["every_half_minute"], found["tmp_changed"]
        assert (timer["interval"], timer["target"]) == (30, "mule")
        assert 0 < timer["next"] - time.time() <= 30
        assert (monitor["path"], monitor["target"], monitor["recursive"]) == ("/tmp", "mules", False)
        assert run_cli("signal", "--bus", bus_name, "17").returncode == 0
        launcher.wait_output("signal 17, handled by mule 2")
        with tempfile.NamedTemporaryFile(dir="/tmp"):
            for mule in (1, 2):
                launcher.wait_output(f"/tmp has changed, says mule {mule}")
        launcher.wait_output("timer: signal", seconds=60)


def test_as_the_chapter_writes_them(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """The decorators with the arguments that stand there, of which only the times and paths are others."""
    watched = tmp_path / "watched"
    watched.mkdir()
    app(
        tmp_path,
        f"""
from ipcmules.decorators import timer, signal, filemon, rbtimer, cron

@timer(1, target='mule')
def hello(signum):
    said("hello", signum, ipcmules.mule_id())

@signal(17, target='mule2')
def i_am_mule2(signum):
    said("two", ipcmules.mule_id())

@filemon({str(watched)!r}, target='mules')
def modified(signum):
    said("modified", ipcmules.mule_id())

@rbtimer(1, target='mule')
def again(signum):
    said("again", signum)

@cron(59, 3, -1, -1, -1, target='mule')
def nightly(signum):
    pass

@timer(3600, target='mule', signum=99)
def numbered(signum):
    pass
""",
    )
    with Launcher("--bus", bus_name, "--mules", "2", "--import", "app", cwd=tmp_path) as launcher:
        numbers = {each["handler"]: each["signal"] for each in listed(bus_name)}
        assert numbers["numbered"] == 99
        assert len(set(numbers.values())) == 5
        assert {each[0] for each in wait_lines(launcher, "hello", 2)} == {str(numbers["hello"])}
        assert run_cli("signal", "--bus", bus_name, "17").returncode == 0
        assert wait_lines(launcher, "two", 1) == [["2"]]
        (watched / "new").touch()
        wait_until(
            lambda: {each[0] for each in wait_lines(launcher, "modified", 1)} == {"1", "2"}, what="both mules"
        )
        wait_lines(launcher, "again", 2)
        assert event(bus_name, "nightly")["fields"] == [59, 3, -1, -1, -1]
        assert event(bus_name, "modified")["ticks"] >= 1
