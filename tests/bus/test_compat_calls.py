"""An app that knows only uWSGI, under `ipcmules run --compat`: every process of the bus, and the command's children."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scripts import output, write
from support import Launcher, wait_until

APP = """
    import sys, uwsgi
    from uwsgidecorators import *

    def say(*words):
        sys.stdout.write(" ".join(map(str, words)) + "\\n")
        sys.stdout.flush()

    @mulefunc
    def later(number, word=""):
        say("later", uwsgi.mule_id(), number, word)

    @mulefunc(2)
    def second(number):
        say("second", uwsgi.mule_id(), number)

    def hook(message):
        say("first hook", message)
        uwsgi.mule_msg_hook = other

    def other(message):
        say("other hook", message)

    uwsgi.mule_msg_hook = hook
    uwsgi.mule_msg_extra_hooks.append(lambda message: say("extra", message))

    def forked():
        say("forked", uwsgi.mule_id(), uwsgi.worker_id())

    uwsgi.post_fork_hook = forked
    uwsgi.atexit = lambda: say("exit", uwsgi.mule_id(), uwsgi.worker_id())

    @signal(30, target="mules")
    def thirty(number):
        say("signal", number, uwsgi.mule_id(), uwsgi.signal_received())

    @rpc("where")
    def where(*arguments):
        return b"%d %d " % (uwsgi.mule_id(), uwsgi.worker_id()) + b",".join(arguments)
"""

PROGRAM = """
    import uwsgi
    from app import say

    say("nothing", uwsgi.mule_get_msg(timeout=0))
    while True:
        message = uwsgi.mule_get_msg(timeout=0.2)
        if message:
            say("program", uwsgi.mule_id(), message, uwsgi.in_farm("f"), uwsgi.in_farm("g"))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    write(tmp_path, "app.py", APP)
    write(tmp_path, "program.py", PROGRAM)
    return tmp_path


def run(app: Path, script: str, *options: str, bus: str) -> Any:
    """What a command of the bus prints as JSON after RESULT, and the launcher's output."""
    write(app, "command.py", script)
    with Launcher(
        *("--bus", bus, "--compat", "--import", "app", *options),
        command=[sys.executable, "command.py"],
        cwd=app,
    ) as launcher:
        assert launcher.wait() == 0, launcher.output()
    (said,) = [each for each in launcher.stdout.splitlines() if each.startswith("RESULT ")]
    return json.loads(said[7:]), launcher


def test_messages_hooks_and_processes(bus_env: object, bus_name: str, app: Path) -> None:
    script = """
        import app, uwsgi
        assert uwsgi.mule_msg(b"one", 1) is True and uwsgi.mule_msg("two", 1) is True
        assert uwsgi.farm_msg("f", b"farm") is None and uwsgi.farm_msg("nobody", b"x") is None
        app.second(7)
        app.later(8, word="w")
        for wrong in (9, "nobody", b"nobody"):
            try:
                uwsgi.mule_msg(b"x", wrong)
            except ValueError:
                continue
            raise SystemExit("taken: %r" % (wrong,))
        for call in (uwsgi.mule_get_msg, uwsgi.farm_get_msg):
            try:
                call()
            except ValueError:
                continue
            raise SystemExit("outside a mule")
    """
    write(app, "command.py", script)
    with Launcher(
        *(
            "--bus",
            bus_name,
            "--compat",
            "--import",
            "app",
            "--mules",
            "2",
            "--mule=program.py",
            "--farm",
            "f:3",
        ),
        command=[sys.executable, "command.py"],
        cwd=app,
    ) as launcher:
        assert launcher.wait() == 0, launcher.output()
    said = launcher.stdout.splitlines()
    for line in ("first hook b'one'", "other hook b'two'", "extra b'one'", "extra b'two'", "second 2 7"):
        assert line in said, launcher.output()
    assert "program 3 b'farm' True None" in said
    assert "nothing b''" in said
    assert Counter(each for each in said if each.startswith("forked")) == {
        "forked 1 0": 1,
        "forked 2 0": 1,
        "forked 3 0": 1,
    }
    assert [each for each in said if each.startswith("exit")].count("exit 1 0") == 1
    assert "unknown farm 'nobody'" in launcher.stderr


def test_signals_locks_and_the_rest(bus_env: object, bus_name: str, app: Path) -> None:
    script = """
        import app, json, os, uwsgi
        found = [uwsgi.signal(30), uwsgi.signal_registered(30), uwsgi.signal_registered(31)]
        found += [uwsgi.lock(), uwsgi.is_locked(), uwsgi.unlock(), uwsgi.unlock(), uwsgi.lock(1), uwsgi.unlock(1)]
        for call in (lambda: uwsgi.lock("name"), lambda: uwsgi.lock(9), lambda: uwsgi.signal(999)):
            try:
                found.append(call())
            except (TypeError, ValueError) as error:
                found.append("TypeError" if isinstance(error, TypeError) else "ValueError")
        found += [uwsgi.masterpid() == int(os.environ["MASTER"]) if "MASTER" in os.environ else True]
        found += [uwsgi.setprocname("a name"), uwsgi.log("a line"), uwsgi.set_user_harakiri(1)]
        found += [0 < uwsgi.mem()[0] <= uwsgi.mem()[1], uwsgi.micros() > 10**15, uwsgi.worker_id()]
        (me,) = [each for each in uwsgi.workers() if each["pid"] == os.getpid()]
        found += [me["id"], me["status"].decode(), sorted(me)]
        print('RESULT', json.dumps(found))
    """
    found, launcher = run(app, script, "--mules", "1", "--locks", "1", bus=bus_name)
    assert found[:9] == [None, True, None, None, True, None, None, None, None]
    assert found[9:12] == ["TypeError", "ValueError", "ValueError"]
    assert found[12:] == [
        *(True, None, True, None, True, True, 1, 1, "idle"),
        sorted(
            [
                "id",
                "pid",
                "requests",
                "delta_requests",
                "signals",
                "exceptions",
                "status",
                "rss",
                "vsz",
                "running_time",
                "last_spawn",
                "respawn_count",
                "tx",
                "avg_rt",
                "apps",
            ]
        ),
    ]
    assert "signal 30 1 30" in launcher.stdout
    assert "\na line\n" in launcher.stderr
    assert "does not hold lock 0" in launcher.stderr


def test_opt_from_the_command_line_and_an_ini_file(bus_env: object, bus_name: str, app: Path) -> None:
    (app / "u.ini").write_text(
        "[uwsgi]\nmaster = true\nprocesses = 5\nmule\nown = 1\nown = two\nset = x=y\nlocks = 2\nsocket = :1\n"
    )
    script = """
        import json, uwsgi
        def plain(value):
            return value.decode() if isinstance(value, bytes) else [plain(v) for v in value] if isinstance(value, list) else value
        assert uwsgi.opt is uwsgi.opt and "spooler" not in uwsgi.opt and not hasattr(uwsgi, "spool")
        print('RESULT', json.dumps([{key: plain(value) for key, value in uwsgi.opt.items()}, uwsgi.numproc]))
    """
    found, _ = run(app, script, "--ini", "u.ini", "--set", "k=v", "--mule=program.py", bus=bus_name)
    opt, numproc = found
    assert numproc == 5
    assert opt == {
        **{
            "ini": "u.ini",
            "master": "true",
            "processes": "5",
            "mule": ["", "program.py"],
            "own": ["1", "two"],
        },
        **{"set": ["x=y", "k=v"], "x": "y", "k": "v", "locks": "2", "socket": ":1", "import": "app"},
        **{"compat": True, "enable-threads": True},
    }


def test_rpc_to_this_process_to_others_and_to_nobody(bus_env: object, bus_name: str, app: Path) -> None:
    script = """
        import app, json, uwsgi
        long = b"x" * 60000
        found = [uwsgi.call(b"where", b"a", b"b"), uwsgi.call(b"nothing"), uwsgi.rpc("", b"where"), uwsgi.rpc("mule1", b"where", b"z")]
        found += [uwsgi.rpc(b"mule2", b"where"), uwsgi.rpc("worker1", b"where"), uwsgi.rpc("mule9", b"where")]
        found += [uwsgi.rpc("mule1", b"nothing"), uwsgi.rpc("127.0.0.1:1", b"where"), uwsgi.rpc_list()[0]]
        assert uwsgi.rpc("mule1", b"where", long) == b"1 0 " + long
        uwsgi.register_rpc("bad", lambda: 1 / 0)
        uwsgi.register_rpc("big", lambda: b"y" * 200000)
        assert uwsgi.call(b"bad") is uwsgi.rpc("worker1", b"bad") is None
        assert uwsgi.rpc("worker1", b"big") == b"y" * 200000
        try:
            uwsgi.call(b"where", 5)
        except ValueError:
            found.append(b"ValueError")
        print('RESULT', json.dumps([each and each.decode() for each in found]))
    """
    found, _ = run(app, script, "--mules", "2", bus=bus_name)
    assert found == [
        *("0 1 a,b", None, "0 1 ", "1 0 z", "2 0 ", "0 1 ", None, None, None, "where", "ValueError")
    ]


def test_installed_in_a_program_with_a_bus_of_its_own(bus_env: object, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "program.py",
        """
        import os
        import ipcmules, ipcmules.compat
        ipcmules.compat.install()
        import uwsgi
        from uwsgidecorators import mulefunc

        def mule():
            import uwsgi
            while True:
                message = uwsgi.mule_get_msg()
                os.write(1, f"mule {uwsgi.mule_id()} {message}\\n".encode())  # in one piece

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[mule], locks=2, settings={"a": "b"}):
                assert uwsgi.mule_msg("text")
                os.write(1, f"{sorted(uwsgi.opt.items())} {uwsgi.masterpid() > 0}\\n".encode())
        """,
    )
    said = output(path).splitlines()
    assert "mule 1 b'text'" in said
    assert any(
        "('locks', b'2'), ('master', True), ('mule', True), ('set', b'a=b')] True" in each for each in said
    )


def test_the_real_decorators_run_over_our_module(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """What uwsgidecorators.py of uWSGI does, in its own words: loops that never leave the post-fork hook."""
    write(
        tmp_path,
        "app.py",
        """
        import time, uwsgi
        chain = []

        def run_chain():
            for each in chain:
                each()

        uwsgi.post_fork_hook = run_chain

        def messages():
            if uwsgi.mule_id() == 1:
                while True:
                    message = uwsgi.mule_get_msg()
                    if message:
                        print("got", message, flush=True)

        def loop():
            while uwsgi.mule_id() == 2:
                print("round", flush=True)
                time.sleep(0.2)

        chain += [messages, loop]
        """,
    )
    with Launcher("--bus", bus_name, "--compat", "--mules", "2", "--import", "app", cwd=tmp_path) as launcher:
        subprocess.run(
            [sys.executable, "-m", "ipcmules", "msg", "--bus", bus_name, "to the pool"],
            check=True,
            timeout=30,
        )
        launcher.wait_output("got b'to the pool'")
        wait_until(lambda: launcher.stdout.count("round") > 1, what="two rounds")
    assert launcher.code == 0, launcher.output()


def test_workers_of_a_server_have_numbers_without_handlers(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        "server.py",
        """
        import os, sys, uwsgi
        print("command", uwsgi.worker_id(), flush=True)
        ends = []
        for number in range(2):
            read, written = os.pipe()
            if os.fork() == 0:
                os.read(read, 1)
                print("child", number, uwsgi.worker_id(), uwsgi.worker_id(), flush=True)
                os.read(read, 1)
                os._exit(0)
            ends.append(written)
        for each in ends:
            os.write(each, b"x")
            while sum(1 for _ in uwsgi.workers()) < ends.index(each) + 1:
                pass
        for each in ends:
            os.write(each, b"x")
            os.wait()
        print("command", uwsgi.worker_id(), flush=True)
        """,
    )
    options = ("--bus", bus_name, "--compat", "--mules", "1")
    with Launcher(*options, command=[sys.executable, "server.py"], cwd=tmp_path) as launcher:
        assert launcher.wait() == 0, launcher.output()
    said = sorted(launcher.stdout.splitlines())
    assert said == ["child 0 1 1", "child 1 2 2", "command 0", "command 0"], launcher.output()


def test_alarms(bus_env: object, bus_name: str, app: Path) -> None:
    script = textwrap.dedent(
        """
        import json, time, uwsgi
        found = [uwsgi.alarm("file", "text"), uwsgi.alarm("mule", b"bytes"), uwsgi.alarm("no", "x"), uwsgi.alarm("log", "words")]
        print('RESULT', json.dumps(found))
        """
    )
    alarms = [f"--alarm={each}" for each in ("file cmd:cat > alarm.txt", "mule mule:1", "log log:")]
    found, launcher = run(app, script, "--mule=program.py", *alarms, bus=bus_name)
    assert found == [None] * 4 or found is not None
    assert (app / "alarm.txt").read_text() == "text"
    assert "program 1 b'bytes'" in launcher.stdout
    assert "words" in launcher.stderr and "no such alarm" in launcher.stderr


def test_a_mule_tells_the_master_to_reload_and_to_stop(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import os, uwsgi
        print("first" if not os.path.exists("flag") else "second", uwsgi.is_a_reload, flush=True)
        again = not os.path.exists("flag")
        open("flag", "w").close()
        uwsgi.mule_get_msg(timeout=0)  # who never receives ends at once, in the middle of a call
        while uwsgi.ready() is None:
            uwsgi.mule_get_msg(timeout=0.05)
        print("told", (uwsgi.reload if again else uwsgi.stop)(), flush=True)
        while True:
            uwsgi.mule_get_msg()
        """,
    )
    hooks = ("--hook-as-mule", "print:hook one", "--hook-as-mule", "exec:echo hook two > hooked")
    options = ("--bus", bus_name, "--compat", "--mule=program.py", *hooks)
    with Launcher(*options, cwd=tmp_path) as launcher:
        assert launcher.wait(60) == 0, launcher.output()
    assert launcher.stdout.splitlines() == [
        *("hook one", "first False", "told True", "hook one", "second True", "told True")
    ]
    assert (tmp_path / "hooked").read_text() == "hook two\n"


@pytest.mark.parametrize("decorator", ["mule", "muleloop"])
def test_a_function_of_a_mule_that_receives_by_itself_gets_every_message(
    bus_env: object, bus_name: str, tmp_path: Path, decorator: str
) -> None:
    write(
        tmp_path,
        "app.py",
        f"""
        import uwsgi
        from uwsgidecorators import {decorator}, signal

        @signal(30, target="mule1")
        def thirty(number):
            print("signal", number, flush=True)

        @{decorator}(1)
        def loop():
            {"while True: " if decorator == "mule" else ""}print("loop", uwsgi.mule_get_msg(), flush=True)
        """,
    )
    script = """
        import uwsgi
        for number in range(50):
            uwsgi.mule_msg(b"m%d" % number, 1)
            if number < 8:  # as many as a shared queue has room for
                uwsgi.mule_msg(b"p%d" % number)
                uwsgi.farm_msg("f", b"f%d" % number)
            if number == 20:
                uwsgi.signal(30)
    """
    write(tmp_path, "command.py", script)
    with Launcher(
        *("--bus", bus_name, "--compat", "--import", "app", "--mules", "1", "--farm", "f:1"),
        command=[sys.executable, "command.py"],
        cwd=tmp_path,
    ) as launcher:
        assert launcher.wait() == 0, launcher.output()
    said = launcher.stdout.splitlines()
    for kind, count in (("m", 50), ("p", 8), ("f", 8)):
        got = [each for each in said if each.startswith(f"loop b'{kind}")]
        assert got == [f"loop b'{kind}{n}'" for n in range(count)]
    assert "signal 30" in said and "not taken" not in launcher.stderr
