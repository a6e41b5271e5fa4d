"""The spooler by uWSGI's names, tasks that come over a socket, and uwsgi-tasks from PyPI as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ipcmules
from ipcmules.wire import packets, signatures
from scripts import write
from support import Launcher, wait_until


def test_names_and_results(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        "app.py",
        """
        import uwsgi
        from uwsgidecorators import *

        def say(*words):
            print(" ".join(map(str, words)), flush=True)

        @spool
        def plain(arguments):
            say("plain", sorted((k, v) for k, v in arguments.items() if k != "spooler_task_name"), uwsgi.i_am_the_spooler())

        @spool(pass_arguments=True)
        def called(one, two=2):
            say("called", one, two, uwsgi.mule_id(), uwsgi.worker_id())

        @lock
        def locked():
            say("locked")
            return 1

        def task(env):
            say("task", env[b"key"], env["body"], type(env["spooler_task_name"]).__name__, locked())
            try:
                uwsgi.lock()
            except ValueError:
                say("no locks here")
            return uwsgi.SPOOL_OK

        uwsgi.spooler = task
        """,
    )
    write(
        tmp_path,
        "command.py",
        """
        import app, uwsgi
        path = app.plain({"a": "b"}) or b""
        app.called(1, two=3)
        path = uwsgi.spool({b"key": b"value", b"body": b"the body"})
        assert type(path) is bytes and path.startswith(uwsgi.spoolers[0]), path
        assert hasattr(uwsgi, "spooler_jobs") and "spool" in dir(uwsgi) and "spooler" in uwsgi.opt
        assert all(type(each) is bytes for each in uwsgi.spooler_jobs())
        assert uwsgi.spooler_pid() in uwsgi.spooler_pids() and uwsgi.i_am_the_spooler() is None
        assert uwsgi.set_spooler_frequency(5) is True
        import time
        deadline = time.time() + 20
        while uwsgi.spooler_jobs() and time.time() < deadline:
            time.sleep(0.02)
        """,
    )
    options = ("--bus", bus_name, "--compat", "--spooler", "spool", "--import", "app")
    with Launcher(*options, command=[sys.executable, "command.py"], cwd=tmp_path) as launcher:
        assert launcher.wait() == 0, launcher.output()
    said = launcher.stdout.splitlines()
    for line in ("called 1 3 0 0", "task b'value' b'the body' bytes None", "no locks here"):
        assert line in said, launcher.output()
    assert any(re.match(r"plain \[.*\('a', 'b'\).*\] True", each) for each in said), launcher.output()


def test_tasks_over_a_socket(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        "app.py",
        """
        import uwsgi
        from uwsgidecorators import spool

        def task(env):
            print("task", sorted((k, v) for k, v in env.items() if isinstance(k, bytes)), flush=True)
            return uwsgi.SPOOL_OK

        uwsgi.spooler = task

        @spool(pass_arguments=True)
        def called(*arguments):
            print("called", arguments, flush=True)
        """,
    )
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    options = ("--bus", bus_name, "--compat", "--spooler", "spool", "--import", "app")
    with Launcher(*options, "--socket", "127.0.0.1:0", "--socket-key-file", "key", cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        assert (
            ipcmules.send_message(found[1], 17, 0, signatures.sign({b"a": b"b", b"n": b"3"}, b"k" * 32))
            is True
        )
        launcher.wait_output("task [(b'a', b'b'), (b'n', b'3')]\n")
        import pickle

        call = {b"ud_spool_func": b"called", b"args": pickle.dumps((1, 2)), b"kwargs": pickle.dumps({})}
        call[b"ud_spool_ret"] = b"-2"
        packets.send_task(signatures.sign(call, b"k" * 32), found[1])
        launcher.wait_output("called (1, 2)\n")
        for wrong in (call, signatures.sign(call, b"wrong" * 8)):
            with pytest.raises(ValueError, match="the same --socket-key-file"):
                ipcmules.send_message(found[1], 17, 0, wrong)
    assert launcher.stdout.count("called") == 1


def test_a_pickled_call_without_any_key_is_buried(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "app.py", "")
    options = (
        "--bus",
        bus_name,
        "--compat",
        "--spooler",
        "spool",
        "--import",
        "app",
        "--socket",
        "127.0.0.1:0",
    )
    with Launcher(*options, cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        assert ipcmules.send_message(found[1], 17, 0, {"ud_spool_func": "called", "args": b"(t."}) is True
        wait_until(lambda: len(_dead(tmp_path)) == 1, what="a buried task")
        listed = subprocess.run(
            [sys.executable, "-m", "ipcmules", "tasks", "list", "--dir", str(tmp_path / "spool")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "dead" in listed.stdout, listed


def _dead(directory: Path) -> list[str]:
    dead = directory / "spool" / "dead"
    return [each for each in os.listdir(dead) if each.startswith("uwsgi_spoolfile")] if dead.exists() else []


TASKS = """
    import os, sys, uwsgi
    from datetime import timedelta
    from uwsgi_tasks import task, TaskExecutor, RetryTaskException, get_current_task, SPOOL_OK

    def say(*words):
        with open(os.environ["SAID"], "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")

    @task(executor=TaskExecutor.MULE)
    def in_mule(one, two=2):
        say("mule", uwsgi.mule_id(), one, two, get_current_task().executor == TaskExecutor.MULE)

    @task
    def auto(one):
        say("auto", one, uwsgi.i_am_the_spooler())

    @task(executor=TaskExecutor.RUNTIME)
    def at_once(one):
        say("runtime", one)

    @task(executor=TaskExecutor.SPOOLER, retry_count=3, retry_timeout=1)
    def again(word):
        current = get_current_task()
        count = current.buffer.get("count", 0) + 1
        current.buffer["count"] = count
        say("again", word, count, current.retry_count)
        raise RetryTaskException

    @task(executor=TaskExecutor.SPOOLER)
    def large(data):
        say("large", len(data))
"""


def tasks(tmp_path: Path, script: str, *options: str, bus: str) -> list[str]:
    """What the tasks said until the last of them said 'end'."""
    write(tmp_path, "jobs.py", TASKS)
    write(tmp_path, "command.py", script)
    said = tmp_path / "said"
    said.touch()
    environment = {**os.environ, "SAID": str(said), "PYTHONWARNINGS": "ignore"}
    options = ("--bus", bus, "--compat", "--import", "jobs", *options)
    with Launcher(
        *options, command=[sys.executable, "command.py"], cwd=tmp_path, env=environment
    ) as launcher:
        assert launcher.wait(60) == 0, launcher.output()
    return said.read_text().splitlines()


def test_uwsgi_tasks_in_mules(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    said = tasks(
        tmp_path,
        """
        import jobs, time
        jobs.in_mule(1, two=b"3")
        jobs.at_once(4)
        jobs.auto(5)
        """,
        *("--mules", "1"),
        bus=bus_name,
    )
    assert sorted(said) == ["auto 5 None", "mule 1 1 b'3' True", "runtime 4"]


def test_uwsgi_tasks_in_a_spooler(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    said = tasks(
        tmp_path,
        """
        import jobs, os, time
        jobs.auto(5)
        jobs.large(b"x" * 100000)
        jobs.again("w")
        deadline = time.time() + 30
        while time.time() < deadline and "again w 3" not in open(os.environ["SAID"]).read():
            time.sleep(0.05)
        """,
        *("--spooler", "spool"),
        bus=bus_name,
    )
    assert "auto 5 True" in said and "large 100000" in said
    assert [each for each in said if each.startswith("again")] == [
        "again w 1 3",
        "again w 2 2",
        "again w 3 1",
    ]


def test_uwsgi_tasks_on_timers(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    said = tasks(
        tmp_path,
        """
        import os, time
        import jobs, timed
        deadline = time.time() + 30
        while time.time() < deadline and open(os.environ["SAID"]).read().count("tick") < 3:
            time.sleep(0.05)
        """,
        *("--mules", "1", "--import", write(tmp_path, "timed.py", TIMED).name),
        bus=bus_name,
    )
    assert said.count("tick 1") >= 3
    assert said.count("once 1") == 1


TIMED = """
    import uwsgi
    from uwsgi_tasks import timer
    from jobs import say

    @timer(seconds=1, target="mule1")
    def tick(signum):
        say("tick", uwsgi.mule_id())

    @timer(seconds=0, iterations=1, target="mule1")
    def once(signum):
        say("once", uwsgi.mule_id())
"""


def test_the_unit_tests_of_uwsgi_tasks(bus_env: object) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "unittest", "uwsgi_tasks.tests"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
