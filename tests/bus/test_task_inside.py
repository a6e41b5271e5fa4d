"""Inside a task: current_task(), Retry and Drop, limits of time, which exceptions run it again, hooks."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules import Drop, Retry, TaskCancelled, TaskExpired, TaskFailed
from ipcmules.decorators import spool, task_hook
from ipcmules.process.spooler import manners
from ipcmules.spooler import manner
from ipcmules.spooler.attempts import Policy
from support import run_cli, wait_until


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    return Handled(bus_env.directory, bus_name)


def test_a_function_sees_its_task(handled: Handled) -> None:
    with handled.start():
        began = time.time() - 0.001  # names have microseconds
        task = handled.call("tells", 1, priority=4)
        called = time.time()
        seen = task.result(60)
        assert handled.call("gathers").result(60) == "gathers"
    assert began <= seen.pop("enqueued") <= called
    assert seen == {"id": task.id, "attempt": 1, "function": "tells", "path": str(task), "stopping": False}
    assert ipcmules.current_task() is None


def test_retry_runs_again_when_it_says(handled: Handled) -> None:
    with handled.start() as launcher:
        again = handled.call("once_more", str(handled.home / "first"))
        assert again.result(60) == 2  # it has retries: an attempt
        free = handled.call("uncounted", str(handled.home / "second"))
        assert free.result(60) == 1  # it has none: no attempt
        with pytest.raises(TaskFailed, match="the function raised Retry"):
            handled.call("never_again").result(60)
    assert "Traceback" not in launcher.stderr


def test_drop_removes_a_task_and_says_why(handled: Handled) -> None:
    with handled.start() as launcher:
        dropped = handled.call("drops", "raise")
        with pytest.raises(TaskCancelled, match="no such user"):
            dropped.result(60)
        assert handled.call("drops", "no").result(60) is None
    assert "is dropped by drops(): no such user" in launcher.stderr
    assert handled.tasks() == [] and not handled.dead()


def test_which_exceptions_run_it_again(handled: Handled) -> None:
    with handled.start():
        states = {what: handled.call("picky", what) for what in ("key", "os", "value")}
        assert {what: task.wait(60) for what, task in states.items()} == {
            "key": "cancelled",
            "os": "dead",
            "value": "dead",
        }
    assert sorted(handled.ran()) == ["key", "os", "os", "value"]


def test_limits_of_time(handled: Handled) -> None:
    with handled.start():
        soft, hard = handled.call("soft"), handled.call("hard")
        with pytest.raises(
            TaskFailed, match=r"SoftTimeout: soft\(\) takes longer than its soft_timeout of 0\.1 s"
        ):
            soft.result(60)
        with pytest.raises(TaskFailed, match="harakiri"):
            hard.result(60)


def test_a_task_that_was_not_begun_in_time_expires(handled: Handled) -> None:
    early = handled.call("fresh", 1)
    late = handled.call("fresh", 2)
    # Its name says when it was enqueued, as that of one which has waited for a minute does.
    old = f"{late.rsplit('_', 2)[0]}_{int(time.time()) - 600}_1"
    os.rename(late, old)
    again = ipcmules.task(old)
    planned = handled.call("fresh", 3, at=time.time() - 600)
    with handled.start("--spooler-max-tasks", "9") as launcher:
        assert planned.wait(60) == "succeeded"  # what counts is the later of both
        with pytest.raises(TaskExpired, match=r"fresh\(\) has expires=60"):
            again.result(60)
        assert again.status() == "expired"
        assert early.result(60) == 1
    assert handled.ran() == ["fresh"] * 2 and "ago and was not run" in launcher.stderr
    assert handled.tasks() == [] and not handled.dead()


def test_jitter_shortens_waits(handled: Handled) -> None:
    waits = [Policy(backoff=2.0, jitter=True).wait(3) for _each in range(50)]
    assert all(4 <= each <= 8 for each in waits) and len(set(waits)) > 1
    with handled.start():
        task = handled.call("trembles")
        wait_until(lambda: task.attempts >= 2, what="attempts")
        assert task.wait(60) == "dead"


def test_hooks_of_a_function_and_of_all(handled: Handled) -> None:
    with handled.start(env={"HOOKS": "1"}) as launcher:
        assert handled.call("hooked", "fine").result(60) == "fine"
        assert handled.call("hooked", "break").result(60) == "break"
        assert handled.call("hooked", "raise").wait(60) == "dead"
        assert handled.call("quiet", 1).wait(60) == "unknown"
        wait_until(lambda: "dead" in handled.ran(), what="the last hook")
    told = [(each["task"]["key"], each["task"]["about"]) for each in handled.runs()]
    assert told == [
        ("before", "()"),
        ("everywhere", "hooked"),
        ("after", "('fine',)"),
        ("before", "()"),
        ("everywhere", "hooked"),
        ("after", "('break',)"),
        ("before", "()"),
        ("failed", "(ValueError('hooked'),)"),
        ("before", "()"),
        ("failed", "(ValueError('hooked'),)"),
        ("dead", "(ValueError('hooked'),)"),
        ("everywhere", "quiet"),
    ]
    assert "its hook 'after' raised" in launcher.stderr and "a hook that breaks" in launcher.stderr


def test_without_a_bus_it_is_the_same(handled: Handled) -> None:
    task, dropped = handled.call("tells", 1), handled.call("drops", "raise")
    environment = {"RUNS": str(handled.runs_file)}
    arguments = [
        "tasks",
        "run",
        str(handled.directory),
        "--import",
        str(handled.app),
        "--import",
        "handled_app",
    ]
    ran = run_cli(*arguments, "--once", cwd=handled.home, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert task.result(0)["function"] == "tells"
    assert dropped.status() == "cancelled"


def test_inline_knows_the_end(bus_env: BusEnvironment) -> None:
    @spool(pass_arguments=True, results=60)
    def double(number: int) -> tuple[str, int]:
        task = ipcmules.current_task()
        assert task is not None
        task.progress(1, 2, "half")
        if number < 0:
            raise Drop("negative")
        if not number:
            raise Retry(after=1)
        return task.function, 2 * number

    with ipcmules.testing.inline() as ran:
        task = double(3)
        assert task.result(0) == ("double", 6) and task.status() == "succeeded"
        assert task.progress is not None and task.progress.note == "half"
        assert double(-1).status() == "cancelled"
        assert double(0).status() == "unknown"
    assert [each.result for each in ran.tasks] == [-2, None, -1]
    assert ipcmules.current_task() is None


WRONG: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "results=-1": (ValueError, {"results": -1}),
    "timeout=True": (ValueError, {"timeout": True}),
    "give a shorter soft_timeout": (ValueError, {"timeout": 3, "soft_timeout": 3}),
    "retry_on='x'": (TypeError, {"retry_on": "x"}),
    "drop_on=(1,)": (TypeError, {"drop_on": (1,)}),
    "before=3: give a function": (TypeError, {"before": 3}),
}


@pytest.mark.parametrize("text", WRONG)
def test_arguments_that_cannot_be(text: str) -> None:
    kind, given = WRONG[text]
    with pytest.raises(kind, match=re.escape(text)):
        spool(**given)
    with pytest.raises(ValueError, match="give one of before, after, failed, dead"):
        task_hook("later")
    with pytest.raises(ValueError, match="seconds, 0 or more"):
        Retry(after=-1)


def test_a_function_without_all_this_is_run_as_before() -> None:
    @spool(pass_arguments=True)
    def plain() -> None:
        pass

    assert plain._carried.manner is None
    assert not manner.for_all and not manners.wants(plain._carried)
