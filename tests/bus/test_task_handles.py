"""Handles of tasks: their status, waiting for them, their results, cancelling them."""

from __future__ import annotations

import asyncio
import os
import pickle
import stat
import subprocess
import sys
import threading
import time

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules import TaskCancelled, TaskFailed, TaskTimeout, TaskUnknown
from ipcmules.spooler import claim, dead_tasks, names
from ipcmules.spooler.attempts import NONE
from support import wait_until


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    return Handled(bus_env.directory, bus_name)


def test_a_handle_is_the_path_and_gives_what_the_function_returned(handled: Handled) -> None:
    values = [{"a": [1, 2.5, None, True]}, "text", None, 0, (1, "two"), b"bytes", {1: 2}, 1 << 70]
    with handled.start() as launcher:
        with ipcmules.attach(handled.bus) as attached:
            plain = attached.spool({"key": "x"})
        assert isinstance(plain, ipcmules.Task) and os.path.dirname(plain) == str(handled.directory)
        found = [handled.call("give", each).result(60) for each in values]
        assert found == values and [type(each) for each in found] == [type(each) for each in values]
        assert plain.wait(60) == "unknown"
    assert launcher.code == 0
    kinds = {each["encoding"] for each in handled.result_files().values()}
    assert kinds == {"json", "pickle"}
    where = os.stat(handled.directory / "results")
    assert stat.S_IMODE(where.st_mode) == 0o700


def test_what_the_states_are_called(handled: Handled) -> None:
    waiting = handled.call("quiet", 1)
    scheduled = handled.call("quiet", 2, at=time.time() + 600)
    assert (waiting.status(), scheduled.status()) == ("waiting", "scheduled")
    assert waiting.cancel() and scheduled.cancel()
    assert (waiting.status(), scheduled.status()) == ("cancelled", "cancelled")
    assert handled.tasks() == [] and handled.ours() == [
        f"{names.RESULT}{waiting.id}",
        f"{names.RESULT}{scheduled.id}",
    ]
    with pytest.raises(TaskCancelled):
        waiting.result()
    with handled.start():
        running, failing = handled.call("waits"), handled.call("fails_slowly")
        handled.wait_runs(1)
        assert running.status() == "running"
        (handled.directory / "go").touch()
        assert running.result(60) == "waited"
        wait_until(lambda: failing.status() == "failed", what="an attempt")
        assert failing.attempts == 1
        (error,) = failing.errors
        assert "slowly" in error.reason and "handled_app" in error.traceback
        dead = handled.call("fails", "no good")
        assert dead.wait(60) == "dead"
    assert dead.attempts == 2
    assert ipcmules.task(f"{handled.directory}/{names.TASK}nobody_1_2").status() == "unknown"


def test_a_dead_task_raises_its_traceback(handled: Handled) -> None:
    with handled.start():
        task = handled.call("fails", "no good")
        with pytest.raises(TaskFailed) as caught:
            task.result(60)
    assert "ValueError: no good" in str(caught.value) and "handled_app.py" in caught.value.traceback
    assert "ValueError('no good')" in caught.value.reason
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.traceback == caught.value.traceback


def test_what_cannot_be_kept_says_so(handled: Handled) -> None:
    with handled.start() as launcher:
        assert handled.call("lend", "tuple").result(60) == (1, 2)
        assert handled.call("lend", "set").result(60) == {1}
        for what, why in (("function", "cannot be pickled"), ("large", "bytes, and at most")):
            task = handled.call("lend", what)
            with pytest.raises(TaskUnknown, match=why):
                task.result(60)
            assert task.status() == "succeeded"
        with pytest.raises(TaskUnknown, match="keeps no result"):
            handled.call("quiet", 1).result(60)
    assert launcher.stderr.count("its result is not kept") == 2


def test_waiting_takes_as_long_as_it_is_told(handled: Handled) -> None:
    task = handled.call("quiet", 1)
    with pytest.raises(TaskTimeout, match=r"is waiting after 0\.05 s"):
        task.wait(0.05)
    with pytest.raises(TimeoutError):
        task.result(0)
    assert task.cancel()
    assert task.wait(0) == "cancelled"


def test_many_wait_in_one_loop_and_in_threads(handled: Handled) -> None:
    before = len(os.listdir("/proc/self/fd"))  # of other tests in this process
    count = 300
    with handled.start():
        gate = handled.call("waits")
        handled.wait_runs(1)
        tasks = [handled.call("give", number) for number in range(count)]
        found: dict[int, int] = {}
        threads = [
            threading.Thread(target=lambda at=at: found.update({at: tasks[at].result(30)}))
            for at in range(20)
        ]
        for each in threads:
            each.start()

        async def everybody() -> list[int]:
            waiting = asyncio.gather(*tasks)
            await asyncio.sleep(0)
            (handled.directory / "go").touch()
            return await asyncio.wait_for(waiting, 30)

        assert asyncio.run(everybody()) == list(range(count))
        for each in threads:
            each.join(30)
        assert found == {at: at for at in range(20)}
        assert gate.result(5) == "waited"
    assert len(os.listdir("/proc/self/fd")) < before + count


def test_awaiting_a_dead_task_raises(handled: Handled) -> None:
    async def ask() -> None:
        await handled.call("fails", "no good")

    with handled.start(), pytest.raises(TaskFailed, match="no good"):
        asyncio.run(ask())


def test_progress_and_the_end_of_it(handled: Handled) -> None:
    with handled.start():
        task = handled.call("waits")
        said = wait_until(lambda: task.progress, what="progress")
        assert said[:3] == (1, 3, "begun") and abs(said.time - time.time()) < 20
        (handled.directory / "go").touch()
        assert task.wait(60) == "succeeded"
        last = task.progress
    assert last is not None and last[:3] == (3, 3, "ended")
    assert not list((handled.directory / "results").glob(f"{names.PROGRESS}*"))


def test_a_handle_is_found_again_from_another_process(handled: Handled) -> None:
    with handled.start(), ipcmules.attach(handled.bus):
        task, urgent = handled.call("give", 7), handled.call("give", 8, priority=3)
        assert urgent.id.startswith("3/")
        assert task.result(60) == 7 and urgent.result(60) == 8
        for each in (task, urgent):
            for name in (each.id, each, f"{names.TASK}{task.id}" if each is task else each.id):
                assert ipcmules.task(name) == each
                assert ipcmules.task(name).status() == "succeeded"
        with pytest.raises(ValueError, match=r"give a task's \.id"):
            ipcmules.task("/somewhere/else")
    program = "import ipcmules, sys; print(ipcmules.task(sys.argv[1], spooler=sys.argv[2]).result(0))"
    for each in (task, urgent):
        command = [sys.executable, "-c", program, each.id, str(handled.directory)]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip() in "78"
    with pytest.raises(ipcmules.NotAttached, match="spooler="):
        ipcmules.task(task.id)
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task and type(copy) is ipcmules.Task and copy.status() == "succeeded"


def test_an_id_is_found_with_and_without_its_priority(handled: Handled) -> None:
    place = str(handled.directory)
    urgent, buried = handled.call("give", 8, priority=3), handled.call("give", 9, priority=4)
    nested = handled.raw("host_1_1_1_1700000000_1", handled.task(ud_spool_func="give"))
    (handled.directory / "5" / "06").mkdir(parents=True)
    nested = nested.rename(handled.directory / "5" / "06" / nested.name)
    dead_tasks.bury(place, os.path.relpath(buried, place), NONE)
    plain = urgent.id.removeprefix("3/")
    for each in (plain, f"3/{plain}", names.TASK + plain, urgent, f"{place}/{names.TASK}{plain}"):
        assert ipcmules.task(each, place) == urgent
    assert ipcmules.task(f"{place}/{names.TASK}{plain}") == urgent
    assert ipcmules.task("host_1_1_1_1700000000_1", place) == str(nested)
    assert ipcmules.task(buried.id.removeprefix("4/"), place).status() == "dead"
    assert ipcmules.task("nobody_1_2", place) == f"{place}/{names.TASK}nobody_1_2"
    found = ipcmules.task(plain, place)
    assert found.status() == "waiting" and found.cancel() and urgent.status() == "cancelled"
    assert ipcmules.task(plain, place).status() == "cancelled"


def test_cancelling_a_running_task_that_listens(handled: Handled) -> None:
    with handled.start():
        task = handled.call("polite")
        handled.wait_runs(1)
        assert task.cancel(grace=20)
        handled.call("give", 1).result(60)
    assert task.status() == "cancelled" and handled.ran().count("polite") == 1
    assert handled.tasks() == [] and not handled.dead()
    assert not [each for each in handled.ours() if each.startswith(names.CANCEL)]


def test_cancelling_a_running_task_that_does_not(handled: Handled) -> None:
    with handled.start() as launcher:
        task = handled.call("stubborn")
        (ran,) = handled.wait_runs(1)
        assert task.cancel(grace=None) is False
        assert task.status() == "running"
        assert task.cancel(grace=0)
        assert task.status() == "cancelled"
        handled.call("give", 1).result(60)
    assert handled.ran().count("stubborn") == 1 and handled.tasks() == [] and not handled.dead()
    assert f"(pid {ran['pid']})" in launcher.stderr
    assert not task.cancel() or task.status() == "cancelled"


def test_a_task_is_either_cancelled_or_run(handled: Handled) -> None:
    with handled.start("--spooler-processes", "2"):
        tasks = [handled.call("give", number) for number in range(60)]
        cancelled = {each for each in reversed(tasks) if each.cancel(grace=None)}
        for each in tasks:
            each.wait(60)
    states = {each: each.status() for each in tasks}
    assert {each for each, state in states.items() if state == "cancelled"} == cancelled
    assert set(states.values()) <= {"cancelled", "succeeded"}
    assert len(handled.runs()) == len(tasks) - len(cancelled)
    assert handled.tasks() == []


def test_no_handle_opens_what_this_process_holds(handled: Handled) -> None:
    task = handled.call("give", 1)
    seen = claim.look(task)
    assert isinstance(seen, os.stat_result)
    held = claim.lock(str(task), seen)
    assert not isinstance(held, claim.Refusal)
    try:
        assert task.status() == "running"
        assert task.cancel(grace=None) is False
        program = f"import ipcmules; print(ipcmules.task({str(task)!r}).status())"
        command = [sys.executable, "-c", program]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "running\n"
    finally:
        claim.release(held)
    assert task.cancel()
