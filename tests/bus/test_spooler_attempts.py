"""Failures of tasks: counted over deaths of processes, waits that grow, dead/ at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ipcmules.spooler import attempts, claim, codec, dead_tasks, in_hand, names, request
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task
from support import wait_until

NOW = Policy(max_attempts=3, backoff=0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(str(tmp_path / "spool"))
    found.prepare()
    return found


def put(store: Store, **arguments: object) -> str:
    return Writer(store.path).put(*request.read(arguments)[:4])


def take(store: Store, name: str) -> Task:
    task = store.claim(name)
    assert isinstance(task, Task), task
    return task


def test_waits_grow_up_to_a_limit() -> None:
    policy = Policy(backoff=2.0, max_backoff=100.0)
    assert [policy.wait(count) for count in (1, 2, 3, 6, 7, 5000)] == [2.0, 4.0, 8.0, 64.0, 100.0, 100.0]
    assert [policy.exhausted(count) for count in (24, 25)] == [False, True]
    assert not Policy(max_attempts=0).exhausted(10**9)


def test_a_failed_task_waits_and_knows_why(store: Store) -> None:
    name = put(store, a=1)
    verdict = take(store, name).failed("ValueError: x", "Traceback ...", Policy(3, 50.0))
    assert (verdict.attempts, verdict.dead) == (1, "")
    assert 48 < verdict.due - time.time() <= 50
    refusal = store.claim(name)
    assert isinstance(refusal, Refusal)
    assert refusal.why == claim.LATER
    assert abs(refusal.when - verdict.due) < 0.001
    assert attempts.load(f"{store.path}/{name}")[:2] == (1, 0)
    [(when, found)] = store.scan().later
    assert found == name
    assert abs(when - verdict.due) < 0.001


def test_the_last_attempt_ends_in_dead(store: Store) -> None:
    name = put(store, a=1, priority=4)
    for count in (1, 2):
        assert take(store, name).failed("no", "", NOW).attempts == count
    task = take(store, name)
    assert task.record.attempts == 2
    verdict = task.failed("ValueError: really not", "Traceback: here", NOW)
    assert verdict == (3, 0.0, f"{store.path}/dead/{task.bare}", "")
    assert sorted(os.listdir(store.path)) == ["4", "dead"]
    assert os.listdir(f"{store.path}/4") == []
    assert dead_tasks.listing(store.path) == [task.bare]
    grave = dead_tasks.read(store.path, task.bare)
    assert (grave.priority, grave.record.attempts) == ("4", 3)
    assert (grave.record.reason, grave.record.traceback) == ("ValueError: really not", "Traceback: here")


def test_a_task_that_succeeds_leaves_nothing(store: Store) -> None:
    name = put(store, a=1)
    take(store, name).failed("no", "", NOW)
    assert len(os.listdir(store.path)) == 2
    take(store, name).done()
    assert os.listdir(store.path) == []


def test_a_returned_retry_counts_no_attempt(store: Store) -> None:
    name = put(store, a=1)
    take(store, name).failed("no", "trace", NOW)
    for _ in range(5):
        take(store, name).again(0.0)
    task = take(store, name)
    assert (task.record.attempts, task.record.returned, task.record.traceback) == (1, 5, "trace")
    assert task.again(100.0).due > time.time() + 90


def test_dead_tasks_come_back(store: Store) -> None:
    name = put(store, a=1, priority=4)
    take(store, name).failed("no", "", Policy(1))
    bare = os.path.basename(name)
    assert dead_tasks.restore(store.path, bare) == name
    task = take(store, name)
    assert task.record == attempts.NONE
    task.failed("no", "", Policy(1))
    assert os.listdir(f"{store.path}/4") == []
    # By hand, which leaves the reason behind.
    os.rename(f"{store.path}/dead/{bare}", f"{store.path}/{bare}")
    take(store, bare).failed("no", "", Policy(1))
    assert dead_tasks.listing(store.path) == [bare]
    dead_tasks.drop(store.path, bare)
    assert os.listdir(f"{store.path}/dead") == []


def test_a_dead_one_of_that_name_stays(store: Store) -> None:
    name = put(store, a=1)
    data = Path(store.path, name).read_bytes()
    take(store, name).failed("no", "", Policy(1))
    Path(store.path, name).write_bytes(data)
    take(store, name).failed("no", "", Policy(1))
    assert sorted(dead_tasks.listing(store.path)) == [name, f"{name}.1"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"attempts": "x"}', "null", "[" * 10_000, '{"attempts": 1e999}']
)
def test_a_broken_record_is_none(store: Store, content: str) -> None:
    name = put(store, a=1)
    take(store, name).failed("no", "", NOW)
    Path(store.path, names.attempts_of(name)).write_text(content)
    task = take(store, name)
    assert task.record == attempts.NONE
    task.failed("no", "", Policy(1))
    Path(store.path, "dead", names.reason_of(name)).write_text(content)
    assert dead_tasks.read(store.path, name).record == attempts.NONE


def test_records_without_a_task_are_swept_when_they_are_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = put(store, a=1), put(store, a=2)
    for name in (gone, kept):
        take(store, name).failed("no", "", NOW)
    os.unlink(f"{store.path}/{gone}")
    assert store.sweep(store.scan().ours) == 0
    monkeypatch.setattr("ipcmules.spooler.sweep.YOUTH", -1.0)
    assert store.sweep(store.scan().ours) == 1
    assert sorted(os.listdir(store.path)) == sorted([kept, names.attempts_of(kept)])


# Deaths

_RUNNER = """
    import os, sys, time
    from ipcmules.spooler.attempts import Policy
    from ipcmules.spooler.in_hand import Hand
    from ipcmules.spooler.store import Store
    store = Store(sys.argv[1])
    hand = Hand(store.path)
    task = store.claim(sys.argv[2])
    hand.take(task.name, Policy(*map(int, sys.argv[3].split())))
    if sys.argv[4] == "done":
        task.done()
    elif sys.argv[4] == "left":
        task.ignore()
        hand.put_down()
    print("has it", flush=True)
    time.sleep(60)
"""


def start(store: Store, name: str, policy: str = "3 0 0", then: str = "hold") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_RUNNER), store.path, name, policy, then],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "has it\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_death_of_a_process_is_an_attempt(store: Store) -> None:
    name = put(store, a=1)
    for count in (1, 2):
        process = start(store, name)
        assert store.deaths() == [], "it lives"
        assert [each for each in store.scan().ours if each.startswith(names.HAND)]
        kill(process)
        [death] = store.deaths()
        assert (death.name, death.pid, death.verdict.attempts) == (name, process.pid, count)
        assert store.deaths() == []
    kill(start(store, name))
    [death] = store.deaths()
    assert death.verdict.dead
    assert f"pid {death.pid}" in dead_tasks.read(store.path, name).record.reason
    assert os.listdir(store.path) == ["dead"]


def test_who_knows_the_reason_says_it(store: Store) -> None:
    name, other = put(store, a=1), put(store, a=2)
    process, second = start(store, name, "1 0 0"), start(store, other)
    kill(process)
    kill(second)
    [death] = store.deaths(pid=process.pid, reason="harakiri after 5 s", traceback="File x")
    assert death.name == name
    assert dead_tasks.read(store.path, name).record[-2:] == ("harakiri after 5 s", "File x")
    assert [each.name for each in store.deaths()] == [other]


@pytest.mark.parametrize("then", ["done", "left"])
def test_a_process_that_runs_nothing_dies_alone(store: Store, then: str) -> None:
    name = put(store, a=1)
    kill(start(store, name, then=then))
    assert store.deaths() == []
    assert os.listdir(store.path) == ([] if then == "done" else [name])


def test_one_that_is_run_again_at_once_is_counted_too(store: Store) -> None:
    name = put(store, a=1)
    kill(start(store, name))
    again = start(store, name)
    [death] = store.deaths()
    assert death.verdict == (1, 0.0, "", "")
    kill(again)
    [death] = store.deaths()
    assert death.verdict.attempts == 2
    kill(start(store, name))
    assert store.deaths()[0].verdict.dead


def test_counted_while_another_runs_it_that_then_fails(store: Store) -> None:
    name = put(store, a=1)
    task = take(store, name)
    attempts.save(f"{store.path}/{name}", attempts.Record(1))
    assert task.failed("no", "", NOW).attempts == 2


def test_a_death_is_counted_by_name(store: Store) -> None:
    name = put(store, a=1)
    verdict = store.count_death(name, "killed", "", NOW)
    assert verdict is not None
    assert verdict.attempts == 1
    assert store.count_death("uwsgi_spoolfile_on_gone", "killed") is None
    process = start(store, name)
    verdict = store.count_death(name, "killed", "", NOW)
    assert verdict is not None
    assert (verdict.attempts, verdict.due) == (2, 0.0)
    kill(process)
    assert take(store, name).record.attempts == 2


def test_a_hand_is_made_when_needed_and_goes_with_its_process(store: Store) -> None:
    name = put(store, a=1)
    hand = Hand(store.path)
    assert os.listdir(store.path) == [name]
    hand.take(name, attempts.DEFAULT)
    assert hand.is_there()
    assert store.deaths() == [], "its own is not looked at: that would drop the lock"
    [file] = [each for each in os.listdir(store.path) if each.startswith(names.HAND)]
    assert in_hand.pid_of(file) == os.getpid()
    os.unlink(f"{store.path}/{file}")
    hand.renew()
    wait_until(lambda: hand.take(name, attempts.DEFAULT) or hand.is_there(), what="a new hand")
    hand.close()
    assert os.listdir(store.path) == [name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"1 2 3",
        b"x y z uwsgi_spoolfile_on_x\0",
        b"1 1 1 ../uwsgi_spoolfile_on_x\0",
        b"\xff" * 600,
    ],
)
def test_a_hand_of_nonsense_is_removed(store: Store, content: bytes) -> None:
    (Path(store.path) / "uwsgi_spoolfile_on_x").write_bytes(codec.pack({}))
    (Path(store.path).parent / "uwsgi_spoolfile_on_x").write_bytes(codec.pack({}))
    (Path(store.path) / f"{names.HAND}host_123_456").write_bytes(content)
    assert len(store.deaths()) == (1 if content.startswith(b"x") else 0)
    assert (Path(store.path).parent / "uwsgi_spoolfile_on_x").stat().st_mode & 0o100 == 0
    assert not (Path(store.path) / f"{names.HAND}host_123_456").exists()


def test_the_record_is_readable_json(store: Store) -> None:
    name = put(store, a=1)
    take(store, name).failed("no", "trace", NOW)
    data = json.loads(Path(store.path, names.attempts_of(name)).read_text())
    assert set(data) == {"attempts", "returned", "time", "wait", "reason", "traceback"}
    assert Path(store.path, name).stat().st_mode & 0o7777 == 0o700
