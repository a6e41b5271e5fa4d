"""Applications patched with gevent: mules, signals, timers, spooler, locks and RPC go on beside greenlets."""

from __future__ import annotations

import json
import re
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from scripts import write
from support import Launcher, wait_until

pytest.importorskip("gevent")

APP = """
    from gevent import monkey
    monkey.patch_all()
    import sys, time, gevent, uwsgi
    from ipcmules.decorators import spool as kept
    from uwsgidecorators import *

    def say(*words):
        sys.stdout.write(" ".join(map(str, words)) + "\\n")
        sys.stdout.flush()

    @mulefunc(1)
    def later(number):
        job = gevent.spawn(time.sleep, 0.01)
        job.join()
        say("later", uwsgi.mule_id(), number)

    @signal(30, target="mule1")
    def thirty(number):
        say("signal", number, uwsgi.mule_id())

    @timer(1, target="mule2")
    def tick(number):
        say("tick", uwsgi.mule_id())

    @spool
    def task(arguments):
        gevent.sleep(0.01)
        say("task", arguments["x"])

    @rpc("where")
    def where():
        time.sleep(0.01)
        return b"%d" % uwsgi.mule_id()

    @postfork
    def forked():
        say("forked", uwsgi.mule_id())

    @kept(results=60, pass_arguments=True)
    def double(number):
        time.sleep(0.2)
        return 2 * number

    uwsgi.install_mule_msg_hook(lambda message: say("hook", uwsgi.mule_id(), message))

    @signal(31, target="workers")
    def in_worker(number):
        say("in worker", number, uwsgi.worker_id())
"""

COMMAND = """
    import app, gevent, time, uwsgi

    app.later(5)
    uwsgi.signal(30)
    app.task.spool(x="one")
    uwsgi.worker_id()
    uwsgi.signal(31)
    sent = [gevent.spawn(uwsgi.mule_msg, b"m%d" % number, 3) for number in range(20)]
    gevent.joinall(sent, timeout=10, raise_error=True)
    assert all(each.value for each in sent)
    assert uwsgi.rpc("mule1", b"where") == b"1" and uwsgi.rpc("mule2", b"where") == b"2"

    went_on = []
    gevent.spawn(lambda: (time.sleep(0.01), went_on.append(1)))
    assert app.double(21).result(timeout=20) == 42 and went_on

    inside = []

    def locked():
        uwsgi.lock(1)
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.02)
        inside.pop()
        uwsgi.unlock(1)
        return True

    locks = [gevent.spawn(locked) for _ in range(5)]
    gevent.joinall(locks, timeout=10, raise_error=True)
    assert [each.value for each in locks] == [True] * 5 and not uwsgi.is_locked(1)
    app.say("done")
    time.sleep(60)
"""


def test_a_patched_application(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "app.py", APP)
    write(tmp_path, "command.py", COMMAND)
    with Launcher(
        *("--bus", bus_name, "--compat", "--mules", "3", "--locks", "1", "--spooler", "spool"),
        *("--import", "app"),
        command=[sys.executable, "command.py"],
        cwd=tmp_path,
    ) as launcher:
        for words in (
            *("forked 1\n", "forked 2\n", "forked 3\n", "later 1 5\n", "signal 30 1\n", "task one\n"),
            *("tick 2\n", "hook 3 b'm19'\n", "in worker 31 1\n", "done\n"),
        ):
            launcher.wait_output(words, 30)
        assert launcher.stop() in (0, 143, -15), launcher.output()
    assert "Traceback" not in launcher.stderr, launcher.stderr


SITE = """
    import json, os, time, gevent, threading
    import uwsgi
    from uwsgidecorators import mulefunc, rpc, signal, spool, timer

    seen, ticks = [], []

    @mulefunc
    def audit(text):
        print("audit", text, flush=True)

    @signal(40, target="workers")
    def refresh(number):
        seen.append(number)

    @timer(1, target="workers")
    def tick(number):
        ticks.append(number)

    @spool
    def task(arguments):
        print("task", arguments["x"], flush=True)

    @rpc("where")
    def where():
        return b"mule %d" % uwsgi.mule_id()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/audit":
            audit("order")
        elif environ["PATH_INFO"] == "/refresh":
            uwsgi.signal(40)
        elif environ["PATH_INFO"] == "/spool":
            task.spool(x="spooled")
        elif environ["PATH_INFO"] == "/lock":
            uwsgi.lock()
            time.sleep(0.02)
            uwsgi.unlock()
        from gevent import monkey
        patched = monkey.is_module_patched("socket")
        answer = {"patched": patched, "worker": uwsgi.worker_id(), "seen": len(seen), "ticks": len(ticks)}
        if environ["PATH_INFO"] == "/call":
            answer["call"] = uwsgi.rpc("mule1", b"where").decode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]
"""


@pytest.mark.slow
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_workers_of_gunicorn(
    bus_env: object, bus_name: str, tmp_path: Path, preload: tuple[str, ...]
) -> None:
    write(tmp_path, "site_app.py", SITE)
    gunicorn = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "-b", "127.0.0.1:0"]
    with Launcher(
        *("--bus", bus_name, "--compat", "--mules", "1", "--spooler", "spool", "--import", "site_app"),
        command=[*gunicorn, *preload, "site_app:application"],
        cwd=tmp_path,
    ) as launcher:
        found = wait_until(lambda: re.search(r"Listening at: http://127.0.0.1:(\d+)", launcher.stderr), 30)

        def ask(path: str) -> Any:
            connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
            try:
                connection.request("GET", path)
                return json.loads(connection.getresponse().read())
            finally:
                connection.close()

        assert ask("/audit")["patched"] is True
        launcher.wait_output("audit order\n")
        ask("/spool")
        launcher.wait_output("task spooled\n")
        assert ask("/call")["call"] == "mule 1"
        wait_until(lambda: ask("/")["ticks"], 30, "a timer in the worker")
        wait_until(lambda: ask("/")["worker"] == 1, 30, "a worker number")
        ask("/refresh")
        wait_until(lambda: ask("/")["seen"] == 1, 30, "the signal in the worker")
        from threading import Thread

        threads = [Thread(target=ask, args=("/lock",)) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        assert ask("/")["worker"] == 1
        assert launcher.stop() in (0, 143, -15), launcher.output()
    assert "BusStopped" not in launcher.stderr and "Traceback" not in launcher.stderr, launcher.stderr
