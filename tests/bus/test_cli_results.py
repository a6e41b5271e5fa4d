"""`ipcmules tasks list` and `show`: how far running tasks say they are, and those that have ended."""

from __future__ import annotations

import json

import pytest

from conftest import BusEnvironment
from handled import Handled
from support import run_cli, wait_until


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    return Handled(bus_env.directory, bus_name)


def cli(*arguments: str, code: int = 0) -> str:
    done = run_cli("tasks", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_progress_and_results_are_shown(handled: Handled) -> None:
    place = str(handled.directory)
    cancelled = handled.call("quiet", 1)
    assert cancelled.cancel()
    with handled.start():
        task, pickled = handled.call("waits"), handled.call("give", (1, "two"))
        wait_until(lambda: task.progress, what="progress")
        assert "running 1/3" in cli("list", place)
        assert "progress: 1/3: begun" in cli("show", place, task.id)
        (handled.directory / "go").touch()
        assert task.result(60) == "waited" and pickled.result(60) == (1, "two")
    assert cli("list", place) == "no tasks\n"
    found = json.loads(cli("list", place, "--state", "succeeded", "--json"))
    assert [(each["id"], each["function"]) for each in found] == [
        (task.id, "handled_app.waits"),
        (pickled.id, "handled_app.give"),
    ]
    assert found[0]["progress"]["note"] == "ended" and found[0]["ended"]
    shown = cli("show", place, task.id)
    assert 'result: "waited"' in shown and "state: succeeded" in shown and "ended: " in shown
    assert "(1, 'two')" in cli("show", place, pickled.id)
    assert json.loads(cli("show", place, task.id, "--json"))["result"] == '"waited"'
    assert "reason: it was cancelled" in cli("show", place, cancelled.id)
    assert "it is over (cancelled)" in cli("retry", place, cancelled.id, code=1)
    assert "1 task dropped" in cli("drop", place, cancelled.id)
    assert cancelled.status() == "unknown"
    assert "give one of queued" in cli("list", place, "--state", "gone", code=2)
