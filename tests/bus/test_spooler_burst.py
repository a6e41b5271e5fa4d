"""A backlog of common tasks is run without a look around between them: what one of them may do to that."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from conftest import BusEnvironment
from handled import Handled
from scripts import write
from support import wait_until

APP = """
import os, time
import ipcmules
from ipcmules import current_task
from ipcmules.decorators import spool
from tasks_app import note

@spool(pass_arguments=True, retries=1, backoff=0.01)
def common(what, number):
    note(task={"key": f"{what} {number}"}, cwd=os.getcwd())
    if what == "ask":
        assert current_task().function == "common" and os.path.exists(current_task().path)
    elif what == "raise" and current_task().attempt == 1:
        raise ValueError(what)
    elif what == "exit" and current_task().attempt == 1:
        raise SystemExit(3)
    elif what == "move":
        os.chdir("/")
    elif what == "fork":
        if not os.fork():
            return  # as the function's own child does
        os.wait()
    elif what == "gate":
        while not os.path.exists("../go"):
            time.sleep(0.005)
"""


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "burst_app.py", APP)
    return found


OPTIONS = ("--import", "burst_app", "--spooler-quiet")


@pytest.mark.parametrize("more", [(), ("--spooler-processes", "2")])
def test_whatever_one_of_them_does(handled: Handled, more: tuple[str, ...]) -> None:
    whats = ["plain", "ask", "plain", "raise", "plain", "move", "plain", "fork", "plain", "exit"] * 6
    for number, what in enumerate(whats):
        handled.call("common", what, number)
    with handled.start(*OPTIONS, *more):
        handled.wait_empty(60)
    ran = Counter(handled.ran())
    again = ("raise", "exit")
    assert ran == {f"{what} {number}": 1 + (what in again) for number, what in enumerate(whats)}
    assert {each["cwd"] for each in handled.runs()} == {str(handled.directory)}
    assert not handled.dead()


def test_a_stop_comes_between_two_of_them(handled: Handled) -> None:
    handled.call("common", "gate", 0)
    for number in range(1, 20):
        handled.call("common", "plain", number)
    with handled.start(*OPTIONS) as launcher:
        handled.wait_runs(1)
        launcher.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _was_told(handled), what="the spooler to be told")
        (handled.home / "go").touch()
        launcher.wait()
    assert handled.ran() == ["gate 0"] and len(handled.tasks()) == 19


def _was_told(handled: Handled) -> bool:
    hands = list(handled.directory.glob("ipcmules_hand_on_*"))
    return any(each.read_bytes()[-1] == 1 for each in hands)
