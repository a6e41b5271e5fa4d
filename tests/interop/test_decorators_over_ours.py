"""uWSGI's own uwsgidecorators.py over our uwsgi module."""

from __future__ import annotations

import os
import shutil
import subprocess
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
        import app, time, uwsgi
        app.work(5, word="w")
        uwsgi.mule_msg("hello", 1)
        uwsgi.signal(40)
        app.say("locked", app.locked(), uwsgi.is_locked(), uwsgi.rpc("mule3", b"add", b"2", b"3"))
        time.sleep(0.5)
        """,
    )
    options = ("--bus", bus_name, "--compat", "--mules", "3", "--processes", "1", "--import", "app")
    with Launcher(*options, command=[sys.executable, "command.py"], cwd=real_decorators) as launcher:
        assert launcher.wait() == 0, launcher.output()
    said = launcher.stdout.splitlines()
    for line in (
        "work 3 5 w",
        "message b'hello'",
        "signal 40",
        "locked True False b'5'",
        "in worker 1 alone 1",
    ):
        assert line in said, launcher.output()
    assert said.count("round") > 1 and {"forked 1 0", "forked 2 0", "forked 3 0", "forked 0 1"} <= set(said)
    assert os.path.exists(real_decorators)
    assert subprocess.DEVNULL and wait_until(lambda: True)
