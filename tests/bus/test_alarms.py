"""@on and --on: who is told of what went wrong, and how often."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus import alarms, table
from ipcmules.decorators import on
from ipcmules.master.events import alarms as told
from scripts import write
from support import Launcher, run_cli, wait_until

APP = """
import json
from ipcmules.decorators import on

def note(alarm):
    with open(f"{HOME}/alarms", "a") as file:
        file.write(json.dumps(alarm._asdict()) + "\\n")

on("task_dead")(note)

@on("mule_died")
def died(alarm):
    note(alarm)
"""


def _alarms(home: Path) -> list[dict[str, Any]]:
    path = home / "alarms"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_functions_and_commands(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    write(tmp_path, "alarm_app.py", f"HOME = {str(tmp_path)!r}\n{APP}")
    command = f'on=reload_failed=echo "$IPCMULES_ALARM $IPCMULES_ALARM_TIMES" > {tmp_path}/command'
    options = ("--mules", "2", "--import", "alarm_app", f"--{command}")
    with handled.start(*options), ipcmules.attach(bus_name) as bus:
        for number in range(3):
            handled.call("fails", f"no good {number}")
        [dead] = wait_until(lambda: _alarms(tmp_path), what="the alarm")
        assert (dead["kind"], dead["times"], dead["fields"]["function"]) == ("task_dead", 1, "fails")
        assert "fails() raised ValueError('no good" in dead["text"]
        wait_until(lambda: bus.status().tasks.directories[0].dead == 3, what="all dead tasks")
        assert len(_alarms(tmp_path)) == 1  # the others come together, at the end of the minute
        os.kill(bus.status().mules[1].pid, signal.SIGKILL)
        died = wait_until(lambda: _alarms(tmp_path)[1:], what="the mule's")[0]
        assert (died["kind"], died["fields"]) == ("mule_died", {"mule": 2}) and "SIGKILL" in died["text"]
        kinds = {each.schedule for each in bus.status(events=True).events if each.kind == "alarm"}
        assert kinds == {"on task_dead", "on mule_died"}
        write(tmp_path, "alarm_app.py", "this is no Python")
        assert run_cli("reload", "--bus", bus_name).returncode == 1
        wait_until((tmp_path / "command").exists, what="the command")
        wait_until(lambda: (tmp_path / "command").read_text() == "reload_failed 1\n", what="its line")


def test_what_kills_its_spooler_is_told_by_the_master(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    handled = Handled(tmp_path, bus_name)
    write(tmp_path, "alarm_app.py", f"HOME = {str(tmp_path)!r}\n{APP}")
    with handled.start("--mules", "1", "--import", "alarm_app"):
        task = handled.call("hard")  # timeout=0.2, retries=0
        [dead] = wait_until(lambda: _alarms(tmp_path), what="the alarm")
        assert dead["kind"] == "task_dead" and dead["fields"]["task"].endswith(task.id)


@pytest.mark.slow
def test_a_full_queue(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "busy.py", "import time\ntime.sleep(600)\n")
    options = ("--bus", bus_name, "--mule=busy.py", f"--on=queue_full=touch {tmp_path}/full")
    with Launcher(*options, "--mule-reload-mercy", "1", cwd=tmp_path), ipcmules.attach(bus_name):
        while ipcmules.mule_msg(b"x" * 1000, 1, timeout=0):
            pass
        assert not ipcmules.mule_msg(b"x" * 1000, 1, timeout=6)
        wait_until((tmp_path / "full").exists, what="the command")


def test_what_nobody_wants_costs_nothing(bus_env: BusEnvironment, bus_name: str) -> None:
    cells = memoryview(bytearray(4096)).cast("Q")
    alarms.tell(None, cells, "task_dead", "text")  # type: ignore[arg-type] # nobody looks at it
    cells[table.H_ALARMS] = 1 << alarms.KINDS.index("task_dead")
    assert alarms.is_wanted(cells, "task_dead") and not alarms.is_wanted(cells, "mule_died")
    with pytest.raises(ipcmules.EventError, match="'task_ded' is no kind of alarm: give one of task_dead"):
        on("task_ded")
    refused = run_cli("run", "--bus", bus_name, "--on", "mule_died")
    assert refused.returncode == 2 and "write KIND=COMMAND" in refused.stderr


class _Loop:
    def __init__(self) -> None:
        self.later_called: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        self.later_called.append((seconds, function))


def test_once_a_minute() -> None:
    """Values alone: the loop's clock is the test's."""
    kind = told._Kind(commands=["true"])
    loop = _Loop()
    ran: list[Any] = []
    made = told.Alarms.__new__(told.Alarms)
    made._loop, made._closed, made._kinds = loop, False, {"mule_died": kind}  # type: ignore[assignment]

    def tell(found: told._Kind) -> None:
        ran.append(found.latest)
        found.waits, found.due = 0, told.time.monotonic() + told.EVERY

    made._tell = tell  # type: ignore[method-assign]
    made.happened("mule_died", "one", mule=1)
    made.happened("mule_died", "two", mule=2)
    made.happened("mule_died", "three", mule=3)
    assert [each.text for each in ran] == ["one"] and len(loop.later_called) == 1
    seconds, function = loop.later_called[0]
    assert 50 < seconds <= 60
    function()
    assert (ran[1].text, ran[1].times, ran[1].fields) == ("three", 2, {"mule": 3})
