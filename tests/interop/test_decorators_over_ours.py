"""uWSGI's own uwsgidecorators.py over our uwsgi module."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from scripts import write
from support import Launcher, wait_until


@pytest.fixture
def real_decorators(uwsgi_binary: str, tmp_path: Path) -> Path:
    """The module, in the test's directory, which comes before ours."""
    home = Path(uwsgi_binary).parent.parent
    (found,) = home.glob("lib/python3*/site-packages/uwsgidecorators.py")
    shutil.copy(found, tmp_path)
    return tmp_path


def test_mules_signals_locks_and_calls(bus_env: object, bus_name: str, real_decorators: Path) -> None:
    write(
        real_decorators,
        "app.py",
        """
        import time, uwsgi
        from uwsgidecorators import *
        import uwsgidecorators
        assert "compat" not in uwsgidecorators.__file__

        def say(*words):
            print(" ".join(map(str, words)), flush=True)

        @postfork
        def forked():
            say("forked", uwsgi.mule_id(), uwsgi.worker_id())

        @postfork(1)
        def forked_in_one():
            say("in worker 1 alone", uwsgi.worker_id())

        @mulefunc(3)
        def work(number, word):
            say("work", uwsgi.mule_id(), number, word)

        @mulemsg(1)
        def got(message):
            say("message", message)

        @muleloop(2)
        def loop():
            say("round")
            time.sleep(0.1)

        @signal(40, target="mule3")
        def forty(number):
            say("signal", number)

        @lock
        def locked():
            return uwsgi.is_locked()

        @rpc("add")
        def add(one, two):
            return str(int(one) + int(two)).encode()
        """,
    )
    write(
        real_decorators,
        "command.py",
        """
        import app, signal, uwsgi
        app.work(5, word="w")
        uwsgi.mule_msg("hello", 1)
        uwsgi.signal(40)
        app.say("locked", app.locked(), uwsgi.is_locked(), uwsgi.rpc("mule3", b"add", b"2", b"3"))
        signal.pause()
        """,
    )
    options = ("--bus", bus_name, "--compat", "--mules", "3", "--processes", "1", "--import", "app")
    with Launcher(*options, command=[sys.executable, "command.py"], cwd=real_decorators) as launcher:
        for line in (
            *("work 3 5 w", "message b'hello'", "signal 40", "locked True False b'5'", "in worker 1 alone 1"),
            *("forked 1 0", "forked 2 0", "forked 3 0", "forked 0 1", "round"),
        ):
            launcher.wait_output(f"{line}\n")
        launcher.process.terminate()


def test_timers_crons_monitors_and_spooling(bus_env: object, bus_name: str, real_decorators: Path) -> None:
    write(
        real_decorators,
        "app.py",
        """
        import os, uwsgi
        from uwsgidecorators import *
        import uwsgidecorators
        assert "compat" not in uwsgidecorators.__file__

        def say(*words):
            print(" ".join(map(str, words)), flush=True)

        @timer(1, target="mule")
        def each_second(number):
            say("timer", uwsgi.mule_id())

        @rbtimer(1, target="mule")
        def each_second_too(number):
            say("rbtimer", uwsgi.mule_id())

        @cron(0, 3, -1, -1, -1, target="mule")
        def nightly(number):
            say("cron")

        @filemon("watched", target="mule")
        def changed(number):
            say("changed")

        @spool
        def plain(arguments):
            say("plain", arguments["a"], uwsgi.i_am_the_spooler())

        @spool(pass_arguments=True)
        def called(one, two):
            say("called", one, two)

        @spoolraw
        def raw(arguments):
            say("raw", arguments["body"])
            return uwsgi.SPOOL_OK
        """,
    )
    write(
        real_decorators,
        "command.py",
        """
        import signal
        import app, ipcmules, uwsgi
        path = app.plain({"a": "b"})
        assert type(path) is bytes, path
        app.called(1, two=[2])
        app.raw(a="b", body="the body")
        with open("watched", "a") as file:
            file.write("more")
        print("events", sorted(each["handler"] for each in ipcmules.list_events()), flush=True)
        signal.pause()
        """,
    )
    (real_decorators / "watched").touch()
    options = (
        "--bus",
        bus_name,
        "--compat",
        "--mules",
        "1",
        "--spooler",
        "spool",
        "--spooler-frequency",
        "1",
    )
    command = [sys.executable, "command.py"]
    with Launcher(*options, "--import", "app", command=command, cwd=real_decorators) as launcher:
        launcher.wait_output("events ['changed', 'each_second', 'each_second_too', 'nightly']\n")
        for line in ("timer 1", "rbtimer 1", "changed", "plain b True", "called 1 [2]", "raw the body"):
            launcher.wait_output(f"{line}\n")
        wait_until(
            lambda: not list((real_decorators / "spool").glob("uwsgi_spoolfile*")), what="no task left"
        )
        launcher.process.terminate()
    assert "Traceback" not in launcher.stderr
