"""`ipcmules tasks run`: a directory's tasks in one process, without a bus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import scripts
from support import run_cli, wait_until

APP = """
    import os, time
    from ipcmules import set_spooler, spool as enqueue
    from ipcmules.decorators import spool, spoolraw


    @spool(pass_arguments=True)
    def good(number):
        print("good", number, os.path.basename(os.getcwd()), flush=True)


    @spool(pass_arguments=True)
    def leads(number):
        good(number + 1)  # into the same directory


    @spool(pass_arguments=True, backoff=0.05)
    def second_time(path):
        if not os.path.exists(path):
            open(path, "w").close()
            raise ValueError("the first time")
        print("second time", flush=True)


    @spool(pass_arguments=True, retries=0)
    def bad(word):
        raise ValueError(word)


    @spool
    def leaves(task):
        raise SystemExit(3)


    @spoolraw
    def raw(task):
        return int(task["result"])


    @spool(pass_arguments=True)
    def waits(path):
        print("waiting", flush=True)
        while not os.path.exists(path):
            time.sleep(0.01)


    def other(task):
        print("other", task[b"key"], task["body"], flush=True)
        return -2


    set_spooler(other)
"""


@pytest.fixture
def place(bus_env: object, tmp_path: Path) -> Path:
    scripts.write(tmp_path, "app.py", APP)
    return tmp_path


def enqueue(place: Path, calls: str, directory: str = "tasks") -> None:
    """Make calls of the app, in a plain interpreter, into a directory that need not exist."""
    where = f"from ipcmules.api import tasks as spooling; spooling.default_directory = {directory!r}"
    code = f"{where}; from app import *; {calls}"
    subprocess.run([sys.executable, "-c", code], cwd=place, timeout=60, check=True)


def tasks(place: Path) -> list[str]:
    return [each.name for each in (place / "tasks").rglob("uwsgi_spoolfile_on_*")]


def test_what_is_due_runs_and_what_became_of_it_is_said(place: Path) -> None:
    enqueue(place, "good(1); leads(5); good(2, priority=7); enqueue(key='x', body='y'); good(3, at=4e9)")
    done = run_cli("tasks", "run", "tasks", "--import", "app", "--once", cwd=place)
    assert done.returncode == 0, done.stderr
    *lines, summary = done.stdout.splitlines()
    assert sorted(lines) == ["good 1 tasks", "good 2 7", "good 6 tasks", "other b'x' b'y'"]
    assert summary == f"{place}/tasks: 5 done, 0 for later, 0 failed, 0 given up, 0 left alone"
    assert len(tasks(place)) == 1


def test_failures_wait_or_die_and_make_it_exit_with_1(place: Path) -> None:
    enqueue(place, "bad('no'); good(1); leaves(); raw(result=0); raw(result=-1); second_time('there')")
    done = run_cli("tasks", "run", "tasks", "--import", "app.py", "--once", cwd=place)
    assert done.returncode == 1
    assert "ValueError: no" in done.stderr and "attempt 1 of 25" in done.stderr
    assert done.stdout.splitlines()[0] == "good 1 tasks"
    # second_time may have waited its 0.05 s by the end, or not.
    assert "2 for later, 2 failed, 1 given up, 0 left alone" in done.stdout
    assert [each.name for each in (place / "tasks" / "dead").glob("uwsgi_spoolfile_on_*")]


def test_without_once_it_goes_on_until_it_is_stopped(place: Path) -> None:
    enqueue(place, "second_time('there')")
    with (place / "out").open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ipcmules",
                "tasks",
                "run",
                "tasks",
                "--import",
                "app",
                "--frequency",
                "0.2",
            ],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: "second time" in (place / "out").read_text(), what="the second time")
        enqueue(place, f"waits({str(place / 'go')!r}); good(1)")
        wait_until(lambda: "waiting" in (place / "out").read_text(), what="the task")
        process.send_signal(signal.SIGTERM)
        (place / "go").touch()
        assert process.wait(20) == 1  # an attempt has failed
    finally:
        process.kill()
        process.wait()
    assert "2 done" in (place / "out").read_text(), "the task in hand is finished, no other begun"
    assert len(tasks(place)) == 1


def test_a_killed_run_is_an_attempt(place: Path) -> None:
    enqueue(place, "waits('never')")
    process = subprocess.Popen(
        [sys.executable, "-m", "ipcmules", "tasks", "run", "tasks", "--import", "app"],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"waiting\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    done = run_cli("tasks", "run", "tasks", "--import", "app", "--once", "--max-attempts", "1", cwd=place)
    assert done.returncode == 0, "it was not run again"
    reason = next((place / "tasks" / "dead").glob("ipcmules_reason_on_*"), None)
    record = reason or next((place / "tasks").glob("ipcmules_attempts_on_*"))
    assert '"attempts": 1' in record.read_text() and "died" in record.read_text()


def test_wrong_input(place: Path) -> None:
    missing = run_cli("tasks", "run", "nowhere", "--once", cwd=place)
    assert missing.returncode != 0 and "nowhere" in missing.stderr
    (place / "tasks").mkdir(mode=0o750)
    for wrong in (["--frequency", "0"], ["--max-attempts", "-1"], ["--import", "not_there"]):
        done = run_cli("tasks", "run", "tasks", "--once", *wrong, cwd=place)
        assert done.returncode == 2 and wrong[1] in done.stderr, done.stderr
