"""ipcmules.django.TaskBackend: Django's contract of tasks, on a bus and off it."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from conftest import BusEnvironment
from djangotasks import Project
from support import run_cli

pytestmark = pytest.mark.slow

#: Of the programs: waits for the end of a task.
WAIT = """
from ipcmules.django import framework
from shop import tasks
Status = framework.Status

def over(result, seconds=60):
    until = time.monotonic() + seconds
    while not result.is_finished:
        assert time.monotonic() < until, result
        time.sleep(0.01)
        result.refresh()
    return result
"""
CONTRACT = (
    WAIT
    + """
heard = []
def hear(sender, task_result, **rest):
    heard.append(task_result.id)
framework.signals.task_enqueued.connect(hear)

first = tasks.add.enqueue(1, two=2)
assert (first.status, first.args, first.kwargs, first.backend) == (Status.READY, [1], {"two": 2}, "default")
assert first.enqueued_at is not None and first.started_at is None and first.attempts == 0
assert heard == [first.id] and "/" not in first.id
try:
    first.return_value
except ValueError as error:
    assert "not finished" in str(error)
over(first)
assert (first.status, first.return_value, first.attempts) == (Status.SUCCESSFUL, 3, 1)
assert first.enqueued_at <= first.started_at == first.last_attempted_at <= first.finished_at
assert len(first.worker_ids) == 1 and not first.errors
found = tasks.add.get_result(first.id)
assert found == first and found.task == tasks.add, found
try:
    tasks.nothing.get_result(first.id)
    raise SystemExit("another task's result")
except Exception as error:
    assert type(error).__name__ == "TaskResultMismatch", error
for wrong in ("nothing", "", "../x", 7, "a/b", "\\0", "x" * 300, "\\udc80"):
    try:
        tasks.add.get_backend().get_result(wrong)
        raise SystemExit(f"a result for {wrong!r}")
    except framework.ResultDoesNotExist:
        pass

assert over(tasks.twice.enqueue("a")).return_value == "aa"
told = over(tasks.tells.enqueue("x"))
assert told.return_value == [1, told.id, "RUNNING", "x"], told.return_value

dead = over(tasks.fails.enqueue())
assert dead.status == Status.FAILED and dead.finished_at >= dead.started_at and dead.attempts == 1
[error] = dead.errors
assert error.exception_class is tasks.Odd and error.exception_class_path == "shop.tasks.Odd"
assert error.traceback.endswith("shop.tasks.Odd: no good\\n") and "in fails" in error.traceback
try:
    dead.return_value
    raise SystemExit("a value")
except ValueError as error:
    assert "failed" in str(error)
again = over(tasks.fails_twice.enqueue())
assert [each.exception_class for each in again.errors] == [tasks.Odd] * 2 and again.attempts == 2
assert len(over(tasks.stubborn.enqueue()).errors) == 3  # the retries of its backend
retried = over(tasks.retries.enqueue())
assert (retried.return_value, retried.attempts, retried.errors) == ("done", 2, [])
dropped = over(tasks.drops.enqueue())
assert dropped.status == Status.FAILED and dropped.errors[0].exception_class_path == "ipcmules.errors.Drop"
print(dropped.id)
left = over(tasks.leaves.enqueue())
assert left.errors[0].exception_class is SystemExit
killed = over(tasks.dies.enqueue())
assert killed.status == Status.FAILED and len(killed.errors) == 1 and killed.attempts == 1
assert killed.errors[0].exception_class_path == "ipcmules.errors.TaskFailed", killed.errors
odd = over(tasks.odd_value.enqueue())
assert odd.status == Status.FAILED and odd.errors[0].exception_class is TypeError

try:
    tasks.hidden.enqueue()
    raise SystemExit("a task that nobody finds")
except Exception as error:
    assert type(error).__name__.startswith("InvalidTask"), error
    assert "shop.tasks.unseen is no task" in str(error), error
for wrong in (object(), {"a": {1, 2}}, b"\\xff"):
    try:
        tasks.nothing.enqueue(wrong)
        raise SystemExit(f"{wrong!r} was taken")
    except (TypeError, ValueError):
        pass
large = over(tasks.nothing.enqueue("x" * 100_000, k=["y" * 100_000]))
assert large.status == Status.SUCCESSFUL and large.args == ["x" * 100_000]
assert over(tasks.add.enqueue("a" * 2_000_000, two="")).return_value == "a" * 2_000_000

from django.utils import timezone
from datetime import timedelta
at = timezone.now() + timedelta(seconds=0.3)
later = tasks.add.using(run_after=at).enqueue(5)
assert later.status == Status.READY and tasks.add.get_result(later.id).task.run_after == at
assert over(later).started_at >= at
try:
    tasks.add.using(run_after=timezone.now().replace(tzinfo=None))
    raise SystemExit("a naive time")
except Exception as error:
    assert "aware" in str(error)
for wrong in (-101, 101, 1.5):
    try:
        tasks.add.using(priority=wrong)
        raise SystemExit(f"priority {wrong}")
    except Exception as error:
        assert type(error).__name__.startswith("InvalidTask"), error

async def several():
    one, two = await asyncio.gather(tasks.add.aenqueue(1), tasks.twice.aenqueue(2))
    while not (one.is_finished and two.is_finished):
        await asyncio.sleep(0.01)
        await one.arefresh()
        two = await tasks.twice.aget_result(two.id)
    return one.return_value, two.return_value
assert asyncio.run(several()) == (1, 4)
print("all of it")
"""
)


def test_the_contract_on_a_bus(bus_env: BusEnvironment, bus_name: str) -> None:
    project = Project(bus_env.directory)
    program = project.program(CONTRACT)
    with project.start(bus_name, "--spooler", "spool", command=(sys.executable, str(program))) as launcher:
        launcher.wait(120)
    assert launcher.code == 0 and "all of it" in launcher.stdout, launcher.output()
    notes = [json.loads(each) for each in (project.home / "notes").read_text().splitlines()]
    signals = [each for each in notes if "signal" in each]
    first = signals[0]["id"]
    assert [(each["signal"], each["status"]) for each in signals if each["id"] == first] == [
        ("started", "RUNNING"),
        ("finished", "SUCCESSFUL"),
    ]
    dropped = launcher.stdout.split()[0]
    assert [each["status"] for each in signals if each["id"] == dropped] == ["RUNNING", "FAILED"]
    assert {each["status"] for each in signals} == {"RUNNING", "SUCCESSFUL", "FAILED"}
    assert {each["sender"] for each in signals} == {"TaskBackend"}


OFF_THE_BUS = (
    WAIT
    + """
from django.db import transaction
from ipcmules.django import framework
results = {}
for priority in (0, -100, 100, 5, -5):
    results[priority] = tasks.add.using(priority=priority).enqueue(priority)
with transaction.atomic():
    held = tasks.add.enqueue("committed", "")
    assert held.enqueued_at is None and not held.is_finished
    try:
        held.refresh()
        raise SystemExit("before its commit")
    except framework.ResultDoesNotExist:
        pass
held.refresh()
assert held.enqueued_at is not None
from ipcmules.django import TaskBackend
options = {"spooler": "spool", "on_commit": False}
with transaction.atomic():
    at_once = TaskBackend("default", {"QUEUES": [], "OPTIONS": options}).enqueue(tasks.nothing, [], {})
    assert at_once.enqueued_at is not None
    at_once.refresh()
try:
    with transaction.atomic():
        tasks.add.enqueue("rolled back", "")
        raise KeyError
except KeyError:
    pass
os.rename("spool", "moved")
try:
    tasks.add.enqueue(1)
    raise SystemExit("nowhere")
except ValueError as error:
    assert "spool" in str(error)
os.rename("moved", "spool")
# What is no task is not called, whoever names it.
import ipcmules, json
foreign = {"path": "subprocess.check_output", "backend": "default", "queue": "default", "priority": 0}
call = {"args": [["touch", "called"]], "kwargs": {}}
ipcmules.spool(
    {"ud_spool_func": "check_output", "django_task": json.dumps(foreign), "django_call": json.dumps(call)},
    spooler="spool",
)
# One that is cancelled before it ever ran is known, whatever it was called with.
for args in (["early"], ["x" * 100_000]):
    early = tasks.nothing.using(priority=7).enqueue(*args)
    assert ipcmules.task(early.id, "spool").cancel()
    early.refresh()
    assert early.status == Status.FAILED and early.is_finished and early.finished_at >= early.enqueued_at
    assert (early.args, early.attempts, early.started_at) == (args, 0, None)
    [error] = early.errors
    assert error.exception_class is ipcmules.TaskCancelled and "cancelled" in error.traceback
    assert tasks.nothing.get_result(early.id).task.priority == 7
    assert os.stat(f"spool/results/ipcmules_result_on_{early.id}").st_mtime > time.time() + 600_000
print(results[0].id, tasks.stale.enqueue().id)
"""
)
STALE = """
from shop import tasks
import ipcmules, sys
late = tasks.stale.get_result(sys.argv[1])
assert late.status == "FAILED" and late.attempts == 0 and late.finished_at > late.enqueued_at
[error] = late.errors
assert error.exception_class is ipcmules.TaskExpired and "expired" in error.traceback
"""


def test_off_the_bus_priorities_and_commits(bus_env: BusEnvironment) -> None:
    project = Project(bus_env.directory)
    task_id, stale = project.run(OFF_THE_BUS).split()
    shown = run_cli("tasks", "show", "--dir", str(project.spool), task_id)
    assert "function: add" in shown.stdout and '"args": [0]' in shown.stdout, shown.stdout
    listed = run_cli("tasks", "list", str(project.spool), "--function", "add", "--json")
    assert len(json.loads(listed.stdout)) == 6
    ran = run_cli(
        *("tasks", "run", str(project.spool), "--import", "ipcmules.django.project", "--once"),
        cwd=project.home,
        env={"DJANGO_SETTINGS_MODULE": "settings"},
    )
    assert ran.returncode == 0, ran.stderr
    assert "1 left alone" in ran.stdout and not (project.home / "called").exists()
    assert "subprocess.check_output is no task" in ran.stderr
    notes = [json.loads(each) for each in (project.home / "notes").read_text().splitlines()]
    assert [each["added"] for each in notes if "added" in each] == [100, 5, 0, "committed", -5, -100]
    project.run(STALE, stale)
    found = project.run(f"from shop import tasks\nprint(tasks.add.get_result({task_id!r}).return_value)")
    assert found.strip() == "0"


QUEUES = (
    WAIT
    + """
import ipcmules
mail = tasks.nothing.using(queue_name="mail").enqueue()
other = tasks.nothing.using(queue_name="other").enqueue()
assert over(mail).task.queue_name == "mail" and over(other).task.queue_name == "other"
first, second = ipcmules.spoolers()
assert os.listdir(first + "/results") and os.listdir(second + "/results")
assert ipcmules.task(mail.id, "mail").status() == "succeeded"
assert ipcmules.task(other.id, first).status() == "succeeded"
with open("ran", "w") as file:
    file.write("queues")
"""
)


def test_a_queue_is_the_spooler_of_its_name_else_the_first(bus_env: BusEnvironment, bus_name: str) -> None:
    project = Project(bus_env.directory, "del TASKS['default']['OPTIONS']")
    with project.start(
        *(bus_name, "--spooler", "first", "--spooler", "mail:1,path=second"),
        command=(sys.executable, str(project.program(QUEUES))),
    ) as launcher:
        launcher.wait(60)
    assert launcher.code == 0 and (project.home / "ran").exists(), launcher.output()
    refused = project.run(
        "from shop import tasks\n"
        "try:\n    tasks.nothing.enqueue()\nexcept ValueError as error:\n    print(error)"
    )
    assert "OPTIONS" in refused and "ipcmules run" in refused


OUTLIVES = (
    WAIT
    + """
import subprocess
over(tasks.nothing.using(queue_name="mail").enqueue())
over(tasks.nothing.enqueue())
subprocess.run([sys.executable, "-m", "ipcmules", "stop"], check=True, stdout=subprocess.DEVNULL)
late = tasks.nothing.using(queue_name="mail").enqueue()
later = tasks.nothing.enqueue()
for each, place in ((late, "second"), (later, "first")):
    assert os.path.exists(f"{place}/100/uwsgi_spoolfile_on_{each.id}"), (each, place)
    each.refresh()
    assert each.status == Status.READY
print("written")
"""
)


def test_a_process_that_outlives_its_bus_goes_on_with_its_queues(
    bus_env: BusEnvironment, bus_name: str
) -> None:
    project = Project(bus_env.directory, "del TASKS['default']['OPTIONS']")
    with project.start(bus_name, "--spooler", "first", "--spooler", "mail:1,path=second"):
        project.environment["IPCMULES_BUS"] = bus_name
        assert project.run(OUTLIVES).strip() == "written"


OPTIONS = """
from ipcmules.django import TaskBackend
for options in ({"spoler": "x"}, {"retries": -1}, {"results": 0}, {"timeout": "3"}):
    try:
        TaskBackend("mine", {"OPTIONS": options})
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_options_that_cannot_be_are_refused(bus_env: BusEnvironment) -> None:
    said = Project(bus_env.directory).run(OPTIONS).splitlines()
    assert len(said) == 4
    assert all(each.startswith("InvalidTaskBackend") and "TASKS['mine']" in each for each in said)
    for each, reason in zip(said, ("'spoler'", "retries=-1", "results=0", "timeout='3'"), strict=True):
        assert reason in each


def test_a_planned_end_is_no_failure_and_a_kill_is(bus_env: BusEnvironment, bus_name: str) -> None:
    project = Project(bus_env.directory)
    go = project.home / "go"
    running = f"""
{WAIT}
for task in (tasks.waits, tasks.waits_twice):
    result = task.enqueue({str(go)!r})
    while result.status != Status.RUNNING or not result.started_at:
        time.sleep(0.01)
        result.refresh()
    assert result.attempts == 1 and result.args == [{str(go)!r}] and not result.is_finished
    print(result.id)
"""
    ended = f"""
{WAIT}
for each, task in zip(sys.argv[1:], (tasks.waits, tasks.waits_twice)):
    result = over(task.get_result(each))
    print(result.status, result.attempts, *(each.exception_class_path for each in result.errors))
"""
    options = ("--spooler", "spool", "--spooler-processes", "2", "--reload-mercy", "0.1")
    with project.start(bus_name, *options) as launcher:
        planned, killed = project.run(running).split()
        pids = {each["task"]: each["pid"] for each in project.status(bus_name)["spoolers"]}
        os.kill(next(pid for task, pid in pids.items() if killed in task), signal.SIGKILL)
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        go.touch()
        told = project.run(ended, planned, killed).splitlines()
        assert told[0] == "SUCCESSFUL 2"
        assert told[1].startswith("SUCCESSFUL "), told
        launcher.stop()
    assert launcher.code == 0
