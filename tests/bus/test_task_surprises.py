"""What a task may hold that nobody expects: a spooler goes on, and whoever asks is told.

Each of these once ended the spooler again and again, without an attempt, or hid what had happened.
"""

from __future__ import annotations

import pytest

from conftest import BusEnvironment
from handled import Handled
from ipcmules import TaskCancelled, TaskFailed, TaskUnknown
from scripts import write

APP = """
import asyncio, decimal, errno, os, time
from ipcmules import Drop, Retry, SoftTimeout, current_task
from ipcmules.decorators import spool
from ipcmules.spooler import outcomes
from tasks_app import note

class Mute(Exception):
    def __repr__(self):
        raise RuntimeError("says nothing")
    __str__ = __repr__

class Unpicklable:
    def __reduce__(self):
        raise Mute()

@spool(pass_arguments=True, results=600, retries=0)
def raises(how):
    raise {"mute": Mute(), "drop": Drop(Mute()), "retry": Retry(reason=Mute())}[how]

@spool(pass_arguments=True, results=600, retries=0, drop_on=Mute)
def drops_mute():
    raise Mute()

@spool(pass_arguments=True, results=600)
def cannot_be_pickled():
    return Unpicklable()

@spool(pass_arguments=True, results=600, concurrency=1, rate="1000/s", key="{name}")
def keyed(name):
    return name

@spool(pass_arguments=True, results=600, retries=0)
def goes_on(done, note=""):
    current_task().progress(0)
    current_task().progress(done, 10, note)
    return "went on"

@spool(pass_arguments=True, results=600)
def in_decimals():
    current_task().progress(0)
    current_task().progress(decimal.Decimal("2.5"), 10, "x" * 10_000)

def leaves(task, *about):
    note(task={"key": "hook"})
    raise {"exit": SystemExit(3), "cancelled": asyncio.CancelledError()}[about[0] if about else "exit"]

def forks(task, *about):
    if os.fork():
        os.wait()
        note(task={"key": "parent"})

@spool(pass_arguments=True, results=600, after=leaves)
def left(what):
    return what

@spool(pass_arguments=True, results=600, before=forks, after=forks)
def forked():
    note(task={"key": "function"})
    return os.getpid()

@spool(pass_arguments=True, results=600, soft_timeout=0.05, timeout=20, retries=0)
async def soft_nap(blocks):
    try:
        time.sleep(10) if blocks else await asyncio.sleep(10)
    except SoftTimeout:
        await asyncio.sleep(0.001)
        return "caught"

@spool(pass_arguments=True, results=600)
def large(size):
    def put(directory, name, data, until, really=outcomes.put):
        if len(data) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(directory, name, data, until)
    outcomes.put = put  # as on a disk that is nearly full
    return "x" * size

@spool(pass_arguments=True, results=600)
def who():
    return os.getpid()
"""


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "surprises_app.py", APP)
    return found


OPTIONS = ("--import", "surprises_app")


def test_an_exception_that_cannot_be_shown_is_one_like_others(handled: Handled) -> None:
    with handled.start(*OPTIONS) as launcher:
        before = handled.call("who").result(60)
        with pytest.raises(TaskFailed, match=r"raised <Mute, whose repr\(\) raises RuntimeError>"):
            handled.call("raises", "mute").result(60)
        with pytest.raises(TaskFailed, match=r"<Retry, whose str\(\) raises RuntimeError>"):
            handled.call("raises", "retry").result(60)
        for dropped in (handled.call("raises", "drop"), handled.call("drops_mute")):
            with pytest.raises(TaskCancelled, match=r"whose (repr|str)\(\) raises RuntimeError"):
                dropped.result(60)
        with pytest.raises(TaskUnknown, match="cannot be pickled: <Mute"):
            handled.call("cannot_be_pickled").result(60)
        assert handled.call("who").result(60) == before, "it is the same spooler"
    assert "ended by an exception" not in launcher.stderr


@pytest.mark.parametrize("name", ["\udcff.txt", "\ud800", "é"])
def test_a_key_may_be_the_name_of_any_file(handled: Handled, name: str) -> None:
    with handled.start(*OPTIONS) as launcher:
        before = handled.call("who").result(60)
        assert handled.call("keyed", name).result(60) == name
        assert handled.call("who").result(60) == before
    assert "ended by an exception" not in launcher.stderr


def test_progress_that_is_none_is_refused_where_it_is_said(handled: Handled) -> None:
    with handled.start(*OPTIONS):
        before = handled.call("who").result(60)
        with pytest.raises(TaskFailed, match=r"progress\(done='half'\): give a number"):
            handled.call("goes_on", "half").result(60)
        with pytest.raises(TaskFailed, match=r"progress\(note=3\): give text"):
            handled.call("goes_on", 3, 3).result(60)
        task = handled.call("in_decimals")
        assert task.wait(60) == "succeeded" and task.progress is not None
        assert (task.progress.done, len(task.progress.note)) == (2.5, 4096)
        assert handled.call("who").result(60) == before


def test_what_a_hook_raises_is_only_logged(handled: Handled) -> None:
    with handled.start(*OPTIONS) as launcher:
        before = handled.call("who").result(60)
        for what in ("exit", "cancelled"):
            assert handled.call("left", what).result(60) == what
        assert handled.call("who").result(60) == before
    assert launcher.stderr.count("its hook 'after' raised") == 2


def test_a_process_that_a_hook_forks_is_no_spooler(handled: Handled) -> None:
    with handled.start(*OPTIONS):
        before = handled.call("who").result(60)
        assert handled.call("forked").result(60) == before
        handled.wait_runs(3)
        assert {handled.call("who").result(60) for _each in range(20)} == {before}
    assert handled.ran() == ["parent", "function", "parent"]


@pytest.mark.parametrize("options", [(), ("--spooler-async", "4")])
def test_a_soft_timeout_is_raised_in_a_coroutine_that_waits(
    handled: Handled, options: tuple[str, ...]
) -> None:
    with handled.start(*OPTIONS, *options):
        assert handled.call("soft_nap", False).result(60) == "caught"
        if not options:  # several at once: who blocks is only killed
            assert handled.call("soft_nap", True).result(60) == "caught"


def test_a_result_for_which_there_is_no_room_leaves_word(handled: Handled) -> None:
    with handled.start(*OPTIONS) as launcher:
        task = handled.call("large", 100_000)
        with pytest.raises(TaskUnknown, match=r"succeeded, but its result could not be written: .*No space"):
            task.result(60)
        assert task.status() == "succeeded"
    assert "its result is lost" in launcher.stderr


def test_of_a_task_that_was_cancelled_the_log_does_not_say_that_it_runs_again(handled: Handled) -> None:
    with handled.start() as launcher:
        task = handled.call("stubborn")
        handled.wait_runs(1)
        assert task.cancel(grace=0)
    assert "runs again" not in launcher.stderr and "it is over" in launcher.stderr
