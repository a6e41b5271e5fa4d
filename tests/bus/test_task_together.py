"""Coroutines of several tasks at once in one spooler (--spooler-async)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.spooler import names
from scripts import write
from support import wait_until

APP = """
import asyncio, os
from ipcmules import SoftTimeout, current_task
from ipcmules.decorators import spool
from tasks_app import note

async def opened(name="go"):
    for _ in range(6000):
        if os.path.exists(name):
            return
        await asyncio.sleep(0.005)

@spool(pass_arguments=True, results=600, retries=3, backoff=0.02)
async def naps(key):
    note(task={"key": str(key)}, attempt=current_task().attempt)
    await opened()
    await asyncio.get_running_loop().run_in_executor(None, bool)
    return [key, os.getpid(), current_task().id, os.getcwd()]

@spool(pass_arguments=True, results=600)
def plain(key):
    note(task={"key": str(key)})
    return [key, os.getpid(), current_task().id, os.getcwd()]

@spool(pass_arguments=True, results=600, concurrency=1)
async def alone(key):
    note(task={"key": f"{key} begins"})
    await asyncio.sleep(0.01)
    note(task={"key": f"{key} ends"})

@spool(pass_arguments=True, results=600, soft_timeout=0.05)
async def soft_nap():
    try:
        await asyncio.sleep(60)
    except SoftTimeout:
        await asyncio.sleep(0.001)
        return "caught"

@spool(pass_arguments=True, results=600, timeout=0.05, retries=0)
async def hard_nap():
    await asyncio.sleep(60)

@spool(pass_arguments=True, results=600, retries=0)
async def raises(what):
    await asyncio.sleep(0.001)
    raise {"exit": SystemExit, "value": ValueError}[what](what)

@spool(pass_arguments=True, results=600, retries=0)
async def wrong(): ...

@spool(pass_arguments=True)
async def common(key):
    note(task={"key": str(key)}, alone=len(asyncio.all_tasks()))
    await asyncio.sleep(0.02)

@spool(pass_arguments=True, results=600)
async def until_the_stop(key):
    note(task={"key": str(key)})
    while not current_task().stopping():
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    return key
"""


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "together_app.py", APP)
    return found


OPTIONS = ("--spooler-async", "10", "--import", "together_app")


def _open(handled: Handled) -> None:
    (handled.directory / "go").touch()


def test_several_go_on_at_once_in_one_process(handled: Handled) -> None:
    tasks = [handled.call("naps", number) for number in range(12)]
    with handled.start(*OPTIONS):
        handled.wait_runs(10)  # as many as may
        assert [task.status() for task in tasks].count("running") == 10
        _open(handled)
        found = [task.result(30) for task in tasks]
        handled.wait_empty()
    assert [(key, path) for key, _pid, path, _cwd in found] == [
        (number, task.id) for number, task in enumerate(tasks)
    ]
    assert len({pid for _key, pid, _path, _cwd in found}) == 1
    assert {cwd for *_rest, cwd in found} == {str(handled.directory)}
    assert sorted(handled.ran()) == sorted(map(str, range(12)))


def test_a_backlog_of_common_ones(handled: Handled) -> None:
    for number in range(40):
        handled.call("common", number)
    with handled.start(*OPTIONS, "--spooler-quiet"):
        handled.wait_empty()
    assert Counter(handled.ran()) == {str(number): 1 for number in range(40)}
    assert max(each["alone"] for each in handled.runs()) > 1


def test_a_plain_function_runs_beside_them(handled: Handled) -> None:
    napping = handled.call("naps", "nap")
    with handled.start(*OPTIONS):
        handled.wait_runs(1)
        task = handled.call("plain", "plain")
        key, pid, its_id, _cwd = task.result(30)
        assert (key, its_id, napping.status()) == ("plain", task.id, "running")
        _open(handled)
        assert napping.result(30)[1] == pid


def test_whoever_kills_the_process_loses_nothing(handled: Handled) -> None:
    tasks = [handled.call("naps", number) for number in range(5)]
    with handled.start(*OPTIONS) as launcher:
        handled.wait_runs(5)
        (spooler,) = handled.status()["spoolers"]
        os.kill(spooler["pid"], signal.SIGKILL)
        handled.wait_runs(10)
        assert [task.attempts for task in tasks] == [1] * 5
        _open(handled)
        assert [task.result(30)[0] for task in tasks] == list(range(5))
        handled.wait_empty()
        wait_until(lambda: all(each.startswith((names.HAND, names.RESULT)) for each in handled.ours()))
    assert Counter(handled.ran()) == {str(number): 2 for number in range(5)}
    assert launcher.stderr.count("SIGKILL") >= 5


def test_a_stop_waits_for_those_in_hand(handled: Handled) -> None:
    tasks = [handled.call("until_the_stop", number) for number in range(3)]
    with handled.start(*OPTIONS) as launcher:
        handled.wait_runs(3)
        assert launcher.stop() == 0
    assert [task.result(0) for task in tasks] == [0, 1, 2]
    assert not handled.tasks() and not handled.dead()


def test_one_that_is_cancelled_leaves_the_others(handled: Handled) -> None:
    tasks = [handled.call("naps", number) for number in range(3)]
    with handled.start(*OPTIONS):
        handled.wait_runs(3)
        assert tasks[1].cancel(grace=20)
        _open(handled)
        assert [tasks[0].result(30)[0], tasks[2].result(30)[0]] == [0, 2]
        with pytest.raises(ipcmules.TaskCancelled):
            tasks[1].result(0)
        handled.wait_empty()
    assert handled.ran() == ["0", "1", "2"]


def test_times_that_are_over(handled: Handled) -> None:
    soft, hard, nap = handled.call("soft_nap"), handled.call("hard_nap"), handled.call("naps", "nap")
    with handled.start(*OPTIONS):
        assert soft.result(30) == "caught"
        with pytest.raises(ipcmules.TaskFailed, match="takes longer"):
            hard.result(30)
        assert nap.status() == "running" and nap.attempts == 0
        _open(handled)
        assert nap.result(30)[0] == "nap"


def test_what_one_raises_is_its_own(handled: Handled) -> None:
    nap = handled.call("naps", "nap")
    with handled.start(*OPTIONS) as launcher:
        handled.wait_runs(1)
        for function, args, words in (("raises", ("value",), "ValueError"), ("wrong", (1,), "TypeError")):
            with pytest.raises(ipcmules.TaskFailed, match=words):
                handled.call(function, *args).result(30)
        assert nap.status() == "running"
        with pytest.raises(ipcmules.TaskFailed, match="SystemExit"):
            handled.call("raises", "exit").result(30)  # ends the process, and no attempt of the other's
        handled.wait_runs(2)
        _open(handled)
        assert nap.result(30)[0] == "nap" and nap.attempts == 0
    assert "RuntimeError" not in launcher.stderr and "never awaited" not in launcher.stderr


def test_limits_hold_within_one_process(handled: Handled) -> None:
    tasks = [handled.call("alone", number) for number in range(5)]
    with handled.start(*OPTIONS):
        for task in tasks:
            task.wait(30)
        handled.wait_empty()
    ran = handled.ran()
    assert [each.split()[1] for each in ran] == ["begins", "ends"] * 5
    assert all(begin.split()[0] == end.split()[0] for begin, end in zip(ran[::2], ran[1::2], strict=True))


def test_it_costs_nothing_while_nothing_is_to_be_done(handled: Handled) -> None:
    with handled.start(*OPTIONS, "--spooler-frequency", "600"):
        _open(handled)
        handled.call("naps", 1).result(30)
        (spooler,) = handled.status()["spoolers"]

        def switches() -> int:
            with open(f"/proc/{spooler['pid']}/status") as file:
                return int(file.read().split("voluntary_ctxt_switches:")[1].split()[0])

        wait_until(lambda: (before := switches(), time.sleep(0.5), switches() - before)[2] <= 1)
