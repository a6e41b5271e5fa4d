"""--log-format json: every line that a bus writes to stderr by itself is one JSON object."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from pathlib import Path

import scripts
from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

APP = """
import ipcmules
def hook(message):
    raise RuntimeError("on\\npurpose")
ipcmules.install_mule_msg_hook(hook)
"""


def test_json(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mules", "1", "--import", "app", "--log-format", "json")
    with Launcher(*options, ready=False, cwd=tmp_path) as launcher:
        wait_until(lambda: "ready" in launcher.stderr, what="the ready line")
        assert run_cli("msg", "--bus", bus_name, "x").returncode == 0
        wait_until(lambda: "RuntimeError" in launcher.stderr, what="the hook's error")
        mule = json.loads(run_cli("status", "--json", "--bus", bus_name).stdout)["mules"][0]["pid"]
        os.kill(mule, signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in launcher.stderr, what="the mule's death")
    lines = [json.loads(line) for line in launcher.stderr.splitlines()]
    error = next(each for each in lines if "RuntimeError" in each["message"])
    assert (error["bus"], error["role"], error["number"]) == (bus_name, "mule", 1)
    assert (error["level"], error["pid"]) == ("error", mule)
    assert "Traceback" in error["message"] and "on\npurpose" in error["message"]
    assert datetime.fromisoformat(error["time"]).tzinfo is not None
    assert {each["role"] for each in lines} == {"master", "mule"}


def test_a_format_that_is_none(bus_env: BusEnvironment) -> None:
    done = run_cli("run", "--log-format", "xml")
    assert done.returncode == 2 and "--log-format: 'xml' is not known: give one of text, json" in done.stderr


def test_a_start_that_fails_is_json_too(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", "raise KeyError('on purpose')")
    options = ("--bus", bus_name, "--mules", "1", "--log-format", "json")
    done = run_cli("run", *options, "--import", "app", cwd=tmp_path)
    [event] = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1 and event["level"] == "error"
    assert "KeyError: 'on purpose'" in event["message"] and event["bus"] == bus_name
    done = run_cli("run", *options, "--farm", "mail:7", cwd=tmp_path)
    assert done.returncode == 2 and "mail" in json.loads(done.stderr)["message"]
