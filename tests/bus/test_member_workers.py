"""Who serves signals and who only joins; and a signal goes only to a process that has its handler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support import Launcher, run_cli, wait_until

#: Joins, registers, and says its number; ends with its input.
JOINS = """
import ipcmules, sys
ipcmules.register_signal(5, "workers", lambda number: print("got", number, flush=True))
print("worker", ipcmules.worker_id(), flush=True)
sys.stdin.readline()
"""


class Process:
    """A Python that runs a source, with the bus's name in its environment."""

    def __init__(
        self, bus: str, *arguments: str, source: str = "", cwd: Path | None = None, **more: str
    ) -> None:
        command = [sys.executable, *(("-c", textwrap.dedent(source)) if source else ()), *arguments]
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "IPCMULES_BUS": bus, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def end(self) -> str:
        """End its input; returns what else it wrote."""
        return self.popen.communicate("\n", timeout=30)[0]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


def workers(bus: str) -> list[int]:
    status = json.loads(run_cli("status", "--bus", bus, "--json").stdout)
    return [each["id"] for each in status["workers"]]


@pytest.mark.parametrize(
    ("before", "environment"),
    [("", {"IPCMULES_SERVE": "0"}), ("import ipcmules; ipcmules.attach(serve=False)", {})],
    ids=["variable", "argument"],
)
def test_who_says_so_joins_without_serving(
    bus_env: object, bus_name: str, before: str, environment: dict[str, str]
) -> None:
    with (
        Launcher("--bus", bus_name, "--mule"),
        Process(bus_name, source=before + JOINS, **environment) as shell,
        Process(bus_name, source=JOINS) as server,
    ):
        assert (shell.line(), server.line()) == ("worker 0", "worker 1")
        assert run_cli("signal", "--bus", bus_name, "5").returncode == 0
        assert server.line() == "got 5"
        assert workers(bus_name) == [1]
        assert shell.end() == ""
        server.end()


@pytest.mark.parametrize(
    ("command", "variables", "number"),
    [
        ("shell", {}, 0),
        ("report", {}, 0),
        ("runserver", {}, 1),
        ("consume", {"IPCMULES_SERVE": "1"}, 1),
        ("runserver", {"IPCMULES_SERVE": "0"}, 0),
    ],
)
def test_a_command_of_django_that_is_no_server_serves_nothing(
    bus_env: object, bus_name: str, tmp_path: Path, command: str, variables: dict[str, str], number: int
) -> None:
    (tmp_path / "manage.py").write_text(JOINS)
    with (
        Launcher("--bus", bus_name, "--mule"),
        Process(bus_name, "manage.py", command, cwd=tmp_path, **variables) as django,
    ):
        assert django.line() == f"worker {number}"
        django.end()


def test_attach_may_make_a_worker_as_a_web_server_does(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(
        "import os, ipcmules\nfrom ipcmules.decorators import postfork\n"
        "@postfork\ndef fork():\n"
        "    print('fork', ipcmules.worker_id(), 'tasks', ipcmules.mule_id(), flush=True)\n"
    )
    source = """
    import ipcmules, sys
    ipcmules.attach(serve=True)
    print(ipcmules.worker_id(), flush=True)
    sys.stdin.readline()
    """
    with (
        Launcher("--bus", bus_name, "--mule", "--import", "tasks", cwd=tmp_path),
        Process(bus_name, source=source, IPCMULES_SERVE="0") as server,
    ):
        assert (server.line(), server.line()) == ("fork 1 tasks 0", "1")
        assert workers(bus_name) == [1]
        server.end()


def test_daemons_and_crons_serve_nothing(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    source = JOINS.replace("sys.stdin.readline()", "import time; time.sleep(600)")
    (tmp_path / "daemon.py").write_text(source)
    with Launcher(
        "--bus", bus_name, "--attach-daemon", f"{sys.executable} daemon.py", cwd=tmp_path
    ) as launcher:
        launcher.wait_output("worker 0")
        assert workers(bus_name) == []


#: Handles signal 6 (another process has registered it too, but handles nothing else) and says so.
HANDLES = """
import ipcmules, os, sys
ipcmules.register_signal(6, "worker", lambda number: os.write(1, b"got %d\\n" % number))
os.write(1, b"worker %d\\n" % ipcmules.worker_id())
sys.stdin.readline()
"""
#: Is a worker by another signal.
OTHER = HANDLES.replace("6", "9").replace("got", "wrong")


def test_a_signal_for_the_first_worker_goes_to_one_that_handles_it(bus_env: object, bus_name: str) -> None:
    with Launcher("--bus", bus_name) as launcher, Process(bus_name, source=OTHER) as other:
        assert other.line() == "worker 1"
        with Process(bus_name, source=HANDLES) as able:
            assert able.line() == "worker 2"
            raise_signal = "import ipcmules\nfor _ in range(50): ipcmules.signal(6)"
            with Process(bus_name, source=raise_signal) as raiser:
                raiser.end()
            assert [able.line() for _ in range(50)] == ["got 6"] * 50
            assert (other.end(), able.end()) == ("", "")
        assert "no handler" not in launcher.stderr


def test_it_waits_for_a_worker_that_handles_it(bus_env: object, bus_name: str) -> None:
    with Launcher("--bus", bus_name), Process(bus_name, source=OTHER) as other:
        assert other.line() == "worker 1"
        with Process(bus_name, source=HANDLES) as able:
            assert able.line() == "worker 2"
            able.end()
        wait_until(lambda: workers(bus_name) == [1], what="the end of worker 2")
        for _ in range(3):
            assert run_cli("signal", "--bus", bus_name, "6").returncode == 0
        with Process(bus_name, source=HANDLES) as able:
            lines = sorted(able.line() for _ in range(4))
            assert lines == ["got 6"] * 3 + ["worker 2"]
            assert (able.end(), other.end()) == ("", "")


def test_what_a_worker_did_not_come_to_handle_is_another_ones(bus_env: object, bus_name: str) -> None:
    stuck = HANDLES.replace(
        'os.write(1, b"got %d\\n" % number)', 'os.write(1, b"stuck\\n") and time.sleep(600)'
    )
    stuck = stuck.replace("import ", "import time, ", 1)
    with Launcher("--bus", bus_name), Process(bus_name, source=OTHER) as other:
        assert other.line() == "worker 1"
        with Process(bus_name, source=stuck) as dies:
            assert dies.line() == "worker 2"
            for _ in range(4):
                assert run_cli("signal", "--bus", bus_name, "6").returncode == 0
            assert dies.line() == "stuck"
            dies.popen.kill()
        with Process(bus_name, source=HANDLES) as able:
            # One was in hand.
            assert sorted(able.line() for _ in range(4)) == ["got 6"] * 3 + ["worker 2"]
            assert (able.end(), other.end()) == ("", "")
