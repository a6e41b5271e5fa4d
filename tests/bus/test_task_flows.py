"""Chains and groups: one after the other, beside one another, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.spooler import names
from scripts import write
from support import run_cli, wait_until

APP = """
import os
from ipcmules.decorators import spool
from tasks_app import note
from handled_app import gate

@spool(pass_arguments=True, backoff=0.02)
def one(value):
    note(task={"key": f"one {value}"})
    return value

@spool(pass_arguments=True, backoff=0.02)
def add(before, more=1):
    note(task={"key": f"add {before} {more}"})
    return before + more

@spool(pass_arguments=True, backoff=0.02)
def total(values):
    note(task={"key": f"total {values}"})
    return sum(values)

@spool(pass_arguments=True, retries=0)
def fails(*_values):
    note(task={"key": "fails"})
    if not os.path.exists("mended"):
        raise ValueError("no good")
    return "mended"

@spool(pass_arguments=True, expires=600)
def brief(value):
    return value

@spool(pass_arguments=True, backoff=0.02)
def waits(name):
    note(task={"key": f"waits {name}"})
    gate(name)
    return name

@spool(pass_arguments=True, backoff=0.02)
def nothing():
    note(task={"key": "nothing"})

@spool
def told(task):
    note(task={"key": f"told {sorted(task)}"})
"""


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "flow_app.py", APP)
    return found


def ask(handled: Handled, code: str) -> str:
    """What a program on no bus prints that has the app."""
    handled.directory.mkdir(exist_ok=True)
    program = "import os, ipcmules\nfrom ipcmules import chain, group, spool_many\nfrom flow_app import *\n"
    return handled.ask(f"{program}where = os.environ['WHERE']\n{code}", WHERE=str(handled.directory))


def flow(handled: Handled, expression: str) -> ipcmules.Task:
    """Enqueue a chain or group."""
    return ipcmules.task(ask(handled, f"print({expression}.spool(spooler=where))"))


def start(handled: Handled, *options: str):  # type: ignore[no-untyped-def]
    return handled.start("--import", "flow_app", *options)


#: What is enqueued, what it comes to, and what is called for it.
FLOWS = {
    "chain(one.s(1), add.s(), add.s(more=10))": (12, ["one 1", "add 1 1", "add 2 10"]),
    "chain(one.s(1), one.si(5), add.s(2))": (7, ["one 1", "one 5", "add 5 2"]),
    "group(one.s(n) for n in range(3))": ([0, 1, 2], ["one 0", "one 1", "one 2"]),
    "group(one.s(1), one.s(2)).then(total.s())": (3, ["one 1", "one 2", "total [1, 2]"]),
    "chain(one.s(1), group(add.s(1), add.s(2)), total.s())": (
        5,
        ["one 1", "add 1 1", "add 1 2", "total [2, 3]"],
    ),
    "chain(one.s(1), group(chain(add.s(1), add.s(1)), add.s(5)).then(total.s()), add.s())": (
        10,
        ["one 1", "add 1 1", "add 2 1", "add 1 5", "total [3, 6]", "add 9 1"],
    ),
    "group(group(one.s(1)), chain(one.s(2), nothing.si()))": ([[1], None], ["one 1", "one 2", "nothing"]),
    "chain(one.s(1), told.s({'a': 'b'}))": (
        None,
        ["one 1", "told ['a', 'at', 'spooler_task_name', 'ud_spool_func', 'ud_spool_ret']"],
    ),
    "chain(one.s(list(range(40000))), one.s())": (list(range(40000)), []),
}


def test_what_chains_and_groups_come_to(handled: Handled) -> None:
    expressions = ", ".join(f"({each}).spool(spooler=where)" for each in FLOWS)
    tasks = [
        ipcmules.task(each) for each in ask(handled, f"print(*[{expressions}], sep=chr(10))").split("\n")
    ]
    assert {each.status() for each in tasks} == {"waiting"}
    shown = run_cli("tasks", "list", str(handled.directory)).stdout
    assert "chain(one, group(chain(add, add), add), total, add)" in shown and "group(one, one, one)" in shown
    with start(handled, "--spooler-processes", "2"):
        for task, (value, _ran) in zip(tasks, FLOWS.values(), strict=True):
            assert task.result(60) == value
        handled.wait_empty()
        wait_until(lambda: not list((handled.directory / "flows").iterdir()), what="nothing left of them")
    ran = [each for each in handled.ran() if not each.startswith("one [")]
    assert sorted(ran) == sorted(each for _value, called in FLOWS.values() for each in called)
    left = {each.name for each in (handled.directory / "results").iterdir()}
    assert left == {f"{names.RESULT}{each.id}" for each in tasks}, "results of parts are gone"
    shown = run_cli("tasks", "list", str(handled.directory), "--state", "succeeded").stdout
    assert "chain(one, group(chain(add, add), add), total, add)" in shown and "ipcmules.flow" not in shown
    assert not handled.dead()


def test_how_far_a_chain_is_and_its_end_by_cancel(handled: Handled) -> None:
    task = flow(handled, "chain(one.s(1), group(waits.si('a'), waits.si('b'), waits.si('a')), one.si(9))")
    with start(handled, "--spooler-processes", "2"):
        wait_until(lambda: sum(each.startswith("waits") for each in handled.ran()) == 2, what="the group")
        wait_until(lambda: task.status() == "running" and task.progress, what="progress")
        assert task.progress is not None
        assert (task.progress.done, task.progress.total, task.progress.note) == (1, 3, "waits, waits, waits")
        shown = json.loads(run_cli("tasks", "list", str(handled.directory), "--json").stdout)
        assert [each["state"] for each in shown if each["function"].startswith("chain")] == ["running"]
        assert task.cancel()
        (handled.directory / "a").touch()
        (handled.directory / "b").touch()
        handled.wait_empty()
        assert task.status() == "cancelled"
    assert sorted(handled.ran())[:2] == ["one 1", "waits a"] and len(handled.ran()) == 3


def test_a_part_that_fails_ends_the_whole_which_may_be_retried(handled: Handled) -> None:
    task = flow(handled, "chain(one.s(1), group(fails.s(), one.s()), one.s())")
    with start(handled):
        assert task.wait(60) == "dead"
        with pytest.raises(ipcmules.TaskFailed, match=r"FlowError.*fails, task .* is dead: fails.. raised"):
            task.result()
        assert sorted(handled.ran()) == ["fails", "one 1", "one 1"]
        (handled.directory / "mended").touch()
        place = str(handled.directory)
        part = next(each for each in handled.dead() if "-1.0_" in each)
        run_cli("tasks", "retry", place, part[len(names.TASK) :])
        wait_until(lambda: handled.ran().count("fails") == 2 and not handled.tasks(), what="the part")
        run_cli("tasks", "retry", place, task.id)
        assert task.result(60) == ["mended", 1]
    assert handled.ran().count("one 1") == 2, "what was done is not done again"


def test_one_that_was_dropped_by_hand_ends_the_whole(handled: Handled) -> None:
    task = flow(handled, "group(waits.s('a'), one.s(1))")
    with start(handled):
        handled.wait_runs(1)
        (part,) = [each for each in handled.tasks() if "-0.1_" in each]
        run_cli("tasks", "drop", str(handled.directory), part[len(names.TASK) :])
        (handled.directory / "a").touch()
        assert task.wait(60) == "dead"
    assert "is unknown: it is gone" in task.errors[0].reason


def run_once(handled: Handled, *more: str) -> int:
    """Run what is due without a bus; the exit code."""
    environment = {**os.environ, "RUNS": str(handled.runs_file)}
    apps = [
        each
        for name in ("tasks_app.py", "flow_app.py", *more)
        for each in ("--import", str(handled.home / name))
    ]
    command = [sys.executable, "-m", "ipcmules", "tasks", "run", str(handled.directory), "--once", *apps]
    return subprocess.run(
        command, cwd=handled.home, env=environment, capture_output=True, timeout=60, check=False
    ).returncode


def test_without_a_bus_all_of_it_is_run_in_one_go(handled: Handled) -> None:
    task = flow(handled, "chain(one.s(1), group(add.s(n) for n in range(5)), total.s(), add.s())")
    environment = {**os.environ, "RUNS": str(handled.runs_file)}
    apps = ("--import", str(handled.app), "--import", str(handled.home / "flow_app.py"))
    done = run_cli("tasks", "run", str(handled.directory), "--once", *apps, cwd=handled.home, env=environment)
    assert done.returncode == 0, done.stderr
    assert task.result(0) == 16 and len(handled.ran()) == 8


def test_a_part_expires_by_its_own_time(handled: Handled) -> None:
    task = flow(handled, "chain(one.s(1), brief.s())")
    old = f"{handled.directory}/{names.TASK}host_1_1_1_1000000000_1"
    os.rename(task, old)
    run_once(handled)
    assert ipcmules.task(old).result(0) == 1


#: Steps of a whole at which its spooler is killed: place, name, before or after, and which call of it.
STEPS = {
    "nothing was written": "flow_files, 'write', 'before'",
    "it is to be written": "flow_files, 'write', 'after'",
    "there is a mark": "flow_files, 'mark', 'after'",
    "one part is written": "Writer, 'put', 'after'",
    "all parts are written": "flow_files, 'write', 'before', only=lambda _d, state: state.written",
    "it waits": "attempts, 'save', 'after', only=lambda path, _r: '-' not in path[path.rfind('_on_'):]",
    "a part has told": "flow_files, 'wake', 'after'",
    "a part is over and has not told": "flow_files, 'tell', 'before'",
    "its result is there": "outcomes, 'write', 'after', only=lambda _d, _n, end, _k: end.value == b'6'",
    "it is gone": "Task, 'done', 'after', only=lambda task: '-' not in task.name",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_spooler_is_killed_at_a_step_of_a_chain(handled: Handled, step: str) -> None:
    from test_task_kills import KILLER

    write(handled.home, "killer.py", KILLER)
    where, name, when, *only = STEPS[step].split(", ", 3)
    arguments = ", ".join([where, name, when, repr(str(handled.home / "killed")), *only])
    write(
        handled.home,
        "dying_app.py",
        "from dataclasses import replace\nfrom killer import die_at\n"
        "from ipcmules.spooler import attempts, flow_files, flows, outcomes\n"
        "flows.FUNCTION = replace(flows.FUNCTION, backoff=0.02)\n"
        "from ipcmules.spooler.task import Task\nfrom ipcmules.spooler.enqueue import Writer\n"
        f"die_at({arguments})\n",
    )
    task = flow(handled, "chain(one.s(1), group(add.s(1), add.s(2)), total.s(), add.s())")
    runs = 0
    while task.status() != "succeeded" and (runs := runs + 1) < 100:
        run_once(handled, "dying_app.py")
    assert task.result(0) == 6 and not handled.tasks()
    assert (handled.home / "killed").exists()
    ran = handled.ran()
    assert set(ran) == {"one 1", "add 1 1", "add 1 2", "total [2, 3]", "add 5 1"}
    assert len(ran) == 5, "what was killed was the whole, or a part after its end was said"
    assert not handled.dead()


def test_many_tasks_are_enqueued_in_one_step(handled: Handled) -> None:
    with start(handled, "--spooler-processes", "2"):
        told = ask(
            handled,
            f"ipcmules.attach({handled.bus!r}).__enter__()\n"
            "found = spool_many(one, [(1,), {'value': 2}, 3, *range(4, 200)])\n"
            "print(len(set(found)), found[0])\n"
            "print(len(spool_many(told, [{'a': '1'}] * 2, priority=1)), spool_many(one, []))",
        ).split()
        assert told[0] == "199" and told[2:] == ["2", "[]"]
        handled.wait_runs(201)
        handled.wait_empty()
    ran = handled.ran()
    assert sorted(each for each in ran if each.startswith("one")) == sorted(f"one {n}" for n in range(1, 200))
    assert sum("told" in each and "priority" in each for each in ran) == 2
