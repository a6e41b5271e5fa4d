"""What becomes of tasks on a bus: their results, attempts, deaths of the process, what nobody runs."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest

from conftest import BusEnvironment
from spoolers import Spooling
from support import wait_until


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


def test_a_task_is_run_as_uwsgi_gives_it_and_removed(spooling: Spooling) -> None:
    with spooling.start() as launcher:
        name = spooling.spool(key="first", number=7, body=b"a body")
        (ran,) = spooling.wait_runs(1)
        spooling.wait_empty()
    assert launcher.code == 0
    assert ran["task"] == {"spooler_task_name": name, "key": "first", "number": "7", "body": "a body"}
    assert ran["types"] == ["bytes"]
    assert ran["cwd"] == str(spooling.directory)
    assert ran["nice"] == 19
    assert spooling.ours() == []
    assert f"task {name} is done" in launcher.stderr


def test_retry_and_unknown_results_run_again_after_the_frequency_and_count_nothing(
    spooling: Spooling,
) -> None:
    with spooling.start("--spooler-frequency", "0.05"):
        again, odd = spooling.spool(do="again"), spooling.spool(do="odd")
        spooling.wait_runs(8)
        records = [spooling.record(each) for each in (again, odd)]
    assert [each.attempts for each in records] == [0, 0]
    assert all(each.returned for each in records)
    assert spooling.tasks() == sorted((again, odd))
    assert not spooling.dead()


def test_an_ignored_task_stays_as_it_is_and_is_looked_at_again(spooling: Spooling) -> None:
    with spooling.start("--spooler-frequency", "0.2") as launcher:
        name = spooling.spool(do="leave")
        before = (spooling.directory / name).read_bytes()
        spooling.wait_runs(3)
    assert spooling.tasks() == [name]
    assert (spooling.directory / name).read_bytes() == before
    assert os.stat(spooling.directory / name).st_mode & 0o777 == 0o600
    assert spooling.ours() == []
    assert launcher.stderr.count("is left alone") == 1
    times = [each["time"] for each in spooling.runs()]
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.1


def test_an_exception_is_an_attempt_with_its_traceback_and_waits(spooling: Spooling) -> None:
    with spooling.start() as launcher:
        name = spooling.spool(do="raise")
        wait_until(lambda: spooling.record(name).attempts == 1, what="an attempt")
        wait_until(lambda: "again in" in launcher.stderr, what="the line in the log")
    record = spooling.record(name)
    assert "ValueError('no good')" in record.reason
    assert "tasks_app.py" in record.traceback
    assert record.wait == 2.0
    assert len(spooling.runs()) == 1
    assert spooling.tasks() == [name]


@pytest.mark.parametrize("do", ["raise", "again", "die"])
def test_after_its_retries_a_task_is_dead_with_reason_and_traceback(spooling: Spooling, do: str) -> None:
    with spooling.start():
        name = spooling.spool(ud_spool_func="brittle", do=do)
        wait_until(spooling.dead, what="a dead task")
        spooling.spool(key="after")
        wait_until(lambda: "after" in spooling.ran(), what="the spooler at work")
        spooling.wait_empty()
    assert len(spooling.runs()) == 4
    (found,) = spooling.dead().items()
    assert found[0] == name
    assert found[1].attempts == 3
    reason = {"raise": "ValueError", "again": "SPOOL_RETRY", "die": "SIGKILL"}[do]
    assert reason in found[1].reason
    assert ("brittle as ever" in found[1].traceback) == (do == "raise")
    assert spooling.ours() == []


def test_harakiri_is_an_attempt_with_the_stack_it_was_at(spooling: Spooling) -> None:
    with spooling.start("--spooler-harakiri", "0.2") as launcher:
        name = spooling.spool(ud_spool_func="brittle", do="hang")
        wait_until(spooling.dead, what="a dead task")
    (about,) = spooling.dead().values()
    assert name in spooling.dead()
    assert about.attempts == 3
    assert "harakiri" in about.reason
    assert "brittle" in about.traceback
    assert "a task takes too long" in launcher.stderr


def test_sys_exit_in_a_task_is_an_attempt_and_ends_the_process(spooling: Spooling) -> None:
    with spooling.start():
        first = spooling.status()["spoolers"][0]["pid"]
        name = spooling.spool(do="exit")
        wait_until(lambda: spooling.record(name).attempts == 1, what="an attempt")
        wait_until(lambda: spooling.status()["spoolers"][0]["pid"] not in (0, first), what="another process")
        spooling.spool(key="after")
        wait_until(lambda: "after" in spooling.ran(), what="the spooler at work")
    assert "SystemExit(3)" in spooling.record(name).reason


def test_a_killed_spooler_is_an_attempt_for_what_it_ran(spooling: Spooling) -> None:
    with spooling.start():
        name = spooling.spool(do="hang")
        (ran,) = spooling.wait_runs(1)
        os.kill(ran["pid"], signal.SIGKILL)
        wait_until(lambda: spooling.record(name).attempts == 1, what="an attempt")
    assert "SIGKILL" in spooling.record(name).reason
    assert len(spooling.runs()) == 1


def test_without_a_function_tasks_stay_and_run_when_there_is_one(spooling: Spooling) -> None:
    with spooling.start(env={"NOBODY": "1"}) as launcher:
        plain = spooling.spool(key="plain")
        unknown = spooling.spool(ud_spool_func="elsewhere", key="unknown")
        wait_until(lambda: launcher.stderr.count("is left alone") == 2, what="the lines in the log")
        assert spooling.spool(ud_spool_func="nice", ud_spool_ret="-2", key="known")
        spooling.wait_runs(1)
        wait_until(lambda: len(spooling.tasks()) == 2, what="two tasks left")
    assert spooling.tasks() == sorted((plain, unknown))
    assert spooling.record(plain).attempts == 0
    assert "no function 'elsewhere' here" in launcher.stderr
    with spooling.start():
        wait_until(lambda: "plain" in spooling.ran(), what="the task to run")
    assert spooling.tasks() == [unknown]


def test_the_directory_of_a_task_and_spooler_chdir(spooling: Spooling) -> None:
    elsewhere = spooling.home / "elsewhere"
    elsewhere.mkdir()
    with spooling.start():
        spooling.spool(key="p", priority=5)
        spooling.spool(key="q")
        spooling.wait_runs(2)
    with spooling.start("--spooler-chdir", str(elsewhere), "--spooler-nice", "5"):
        spooling.spool(key="r")
        spooling.wait_runs(3)
    found = {each["task"]["key"]: (each["cwd"], each["nice"]) for each in spooling.runs()}
    assert found == {
        "p": (str(spooling.directory / "5"), 19),
        "q": (str(spooling.directory), 19),
        "r": (str(elsewhere), 5),
    }
