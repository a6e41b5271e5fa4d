"""The README's commands and programs, run as they are written there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

from support import Launcher, run_cli, wait_until

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def program(marker: str) -> str:
    """The README's Python block that contains a text."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    found = [each for each in blocks if marker in each]
    assert len(found) == 1, f"one block with {marker!r}, not {len(found)}"
    return str(found[0])


def commands(beginning: str) -> list[list[str]]:
    """The README's `ipcmules ...` lines that begin like this, as arguments without the program's name."""
    lines = re.findall(r"^    ipcmules (.*)$", TEXT, re.MULTILINE)
    found = [shlex.split(each) for each in lines if each.startswith(beginning)]
    assert found, f"no command that begins with {beginning!r}"
    return found


def test_the_first_look(bus_env: object, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(program("got {message!r}"))
    (run,) = (each for each in commands("run") if "hello" in each)
    with Launcher(*run[1:], cwd=tmp_path) as launcher:
        first, second = commands("msg")
        assert run_cli(*first).returncode == 0
        assert run_cli(*second).returncode == 0
        wait_until(lambda: "got b'to the first available mule'" in launcher.stdout, what="the first message")
        wait_until(lambda: "mule 2 got b'to mule 2'" in launcher.stdout, what="the second message")
        (status,) = commands("status")
        assert "worker.py" in run_cli(*status).stdout
        (stop,) = commands("stop")
        assert run_cli(*stop).returncode == 0
        launcher.process.wait(20)
    assert launcher.code == 0


def test_the_web_application(bus_env: object, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(program("got {message!r}"))
    (tmp_path / "app.py").write_text(program("def application(environ"))
    (run,) = (each for each in commands("run") if {"gunicorn", "--mule=worker.py"} <= set(each))
    split = run.index("--")
    command = [sys.executable, "-m", *run[split + 1 :], "--bind", "127.0.0.1:0"]
    with Launcher(*run[1:split], command=command, cwd=tmp_path) as launcher:
        listening = r"Listening at: http://127.0.0.1:(\d+)"
        port = int(wait_until(lambda: re.search(listening, launcher.stderr), 30, "gunicorn")[1])
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"done\n"
        wait_until(lambda: "mule 2 got b'a request came'" in launcher.stdout, what="the message")
        wait_until(lambda: "mail to someone@example.org welcome" in launcher.stdout, what="the mail")
        wait_until(
            lambda: len(json.loads(run_cli("status", "--json").stdout)["workers"]) == 4, 30, "four workers"
        )
        assert run_cli("signal", "17").returncode == 0
        wait_until(lambda: launcher.stdout.count("prices reloaded") == 4, what="the signal in four workers")


def test_the_embedded_bus(bus_env: object, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program("ipcmules.Bus("))
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert ended.returncode == 0, ended.stderr
    expected = sorted(str(f"{number} squared is {number * number}".encode()) for number in range(100))
    assert sorted(ended.stdout.splitlines()) == expected


def test_events(bus_env: object, tmp_path: Path) -> None:
    (tmp_path / "times.py").write_text(program("@filemon("))
    (run,) = (each for each in commands("run") if "clock" in each)
    (events,) = commands("events")
    with Launcher(*run[1:], cwd=tmp_path) as launcher:
        launcher.wait_output("counted")
        listed = run_cli(*events).stdout
        assert "count_visitors" in listed and "clean_up" in listed and "load_prices" in listed, listed
        (tmp_path / "prices.csv").write_text("1")
        wait_until(lambda: launcher.stdout.count("prices loaded") >= 2, what="the file in both mules")


def test_tasks_that_survive(bus_env: object, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(program("def send_invoice"))
    (tmp_path / "order.py").write_text(program("from tasks import"))
    subprocess.run([sys.executable, "order.py"], cwd=tmp_path, timeout=60, check=True)
    listed = run_cli("tasks", "list", "--dir", "spooled", cwd=tmp_path)
    assert "send_invoice" in listed.stdout, listed.stdout + listed.stderr
    (run,) = (each for each in commands("run") if "shop" in each)
    with Launcher(*run[1:], cwd=tmp_path) as launcher:
        launcher.wait_output("invoice 7 to someone@example.org")
        subprocess.run([sys.executable, "order.py"], cwd=tmp_path, timeout=60, check=True)
        wait_until(lambda: launcher.stdout.count("invoice 7 to") == 2, what="the second invoice")
