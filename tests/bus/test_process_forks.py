"""A child that user code forks is a child: it handles nothing, and ends where its parent goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import eventbus
from support import Launcher, run_cli, wait_until

APP = """
import os, sys, threading
import ipcmules
from ipcmules.decorators import signal, spool

def said(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def fork(word):
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        said("child", word, parent, ipcmules.role())
        if word == "raises":
            raise ValueError("out of a child")
        if word == "exec":
            os.execvp("/no/such", ["x"])
        return "child"
    return "parent"

def hook(message):
    word = message.decode()
    if fork(word) == "parent":
        said("handled", word, os.getpid())

ipcmules.install_mule_msg_hook(hook)

@signal(17, target="mule1")
def on_signal(number):
    if fork("signal") == "parent":
        said("handled signal", os.getpid())

@spool
def task(arguments):
    said("task", fork("task"))

ipcmules.register_rpc("fork", lambda: fork("rpc"))
threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
if ipcmules.role() != "attached":
    said("loaded in", ipcmules.role())
"""


def _mules(bus: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run_cli("status", "--bus", bus, "--json").stdout)["mules"]
    return found


def test_children_of_hooks_handlers_tasks_and_calls(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    arguments = ("--bus", bus_name, "--mules", "1", "--import", "app", "--spooler", str(tmp_path / "spool"))
    with Launcher(*arguments, cwd=tmp_path) as launcher:
        for word in ("returns", "raises", "exec", "returns"):
            assert run_cli("msg", "--bus", bus_name, word).returncode == 0
        assert run_cli("signal", "--bus", bus_name, "17").returncode == 0
        launcher.wait_output("handled signal")
        eventbus.attached(bus_name, "import app; app.task(a=b'b')", tmp_path)
        launcher.wait_output("task parent")
        answer = eventbus.attached(
            bus_name,
            "import ipcmules, json; print(json.dumps(ipcmules.rpc('mule1', 'fork').decode()))",
            tmp_path,
        )
        assert answer == "parent"
        pid = _mules(bus_name)[0]["pid"]
        lines = launcher.stdout.splitlines()
        assert "task child" in lines  # the task itself goes on in the child; what comes after it does not
        assert [each for each in lines if each.startswith("handled")] == [
            f"handled {word} {pid}" for word in ("returns", "raises", "exec", "returns", "signal")
        ]
        children = [each.split() for each in lines if each.startswith("child")]
        assert len(children) == 7
        assert all(each[-1] == "child" for each in children)
        wait_until(lambda: not _children(pid), what="every child has ended")
        assert "loaded in template" in lines
    log = launcher.stderr
    assert launcher.code == 0, launcher.output()
    assert "forked raised, and ends:" in log
    assert "ValueError: out of a child" in log
    assert "FileNotFoundError" in log
    assert log.count("thread 'poller' was started while the app was loaded") == 1


def _children(pid: object) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [each for each in file.read().split() if _state(each) != "Z"]


def _state(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_child_of_a_program_and_of_its_own_signal_handler(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    """The handler interrupts a receive, and its child comes back into it."""
    (tmp_path / "program.py").write_text(
        "import os, signal, sys\n"
        "import ipcmules\n"
        "def handler(number, frame):\n"
        "    if os.fork() == 0:\n"
        "        os.write(1, b'a child\\n')\n"
        "signal.signal(signal.SIGUSR1, handler)\n"
        "while True:\n"
        "    message = ipcmules.mule_get_msg()\n"
        "    os.write(1, b'got %s %d\\n' % (message, os.getpid()))\n"
        "    if message == b'fork' and os.fork() == 0:\n"
        "        os.write(1, b'a child\\n')\n"
    )
    with Launcher("--bus", bus_name, "--mule=program.py", cwd=tmp_path) as launcher:
        pid = _mules(bus_name)[0]["pid"]
        os.kill(int(str(pid)), 10)
        launcher.wait_output("a child")
        wait_until(lambda: not _children(pid), what="the child of the handler has ended")
        for word in ("one", "fork", "two", "three"):
            assert run_cli("msg", "--bus", bus_name, word).returncode == 0
        launcher.wait_output("got three")
        wait_until(lambda: not _children(pid), what="the child of the program has ended")
        got = [each for each in launcher.stdout.splitlines() if each.startswith("got")]
        assert got == [f"got {word} {pid}" for word in ("one", "fork", "two", "three")]
    assert launcher.code == 0, launcher.output()
    assert "this is a process of role 'child'" in launcher.stderr
