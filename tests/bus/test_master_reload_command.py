"""A reload and the command: how it is told, and what the log and `status` say of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import Launcher, run_cli, wait_until

#: Says which signals it gets; ends by SIGTERM.
COMMAND = """
import os, signal, sys, time
def got(number, _frame):
    print("got", signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit()
for each in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(each, got)
print("command", os.getpid(), flush=True)
while True:
    time.sleep(600)
"""


def launched(bus: str, directory: Path, *options: str, command: Sequence[str] = ()) -> Launcher:
    run = command or [sys.executable, "-c", COMMAND]
    return Launcher("--bus", bus, "--mule", *options, command=run, cwd=directory)


def test_a_command_that_nobody_knows_is_left_alone(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with launched(bus_name, tmp_path) as launcher:
        launcher.wait_output("command")
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        launcher.wait_log("keeps its code: it is no web server that is known")
        assert "got" not in launcher.stdout


def test_the_signal_may_be_given(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with launched(bus_name, tmp_path, "--command-reload-signal", "usr1") as launcher:
        launcher.wait_output("command")
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        launcher.wait_output("got SIGUSR1")
        launcher.wait_log("was sent SIGUSR1")


@pytest.mark.parametrize("word", ["", "HUPS", "SIG_IGN", "-1"])
def test_a_signal_that_is_none(bus_env: object, bus_name: str, word: str) -> None:
    refused = run_cli("run", "--bus", bus_name, f"--command-reload-signal={word}", "--", "true")
    assert refused.returncode == 2
    assert "is no signal of this system" in refused.stderr


@pytest.mark.parametrize(
    "option", ["touch-reload", "touch-workers-reload", "touch-chain-reload", "fs-reload"]
)
def test_touched_files_reload_everything(bus_env: object, bus_name: str, tmp_path: Path, option: str) -> None:
    (tmp_path / "app.ini").write_text(f"[uwsgi]\n{option} = touched\ncommand-reload-signal = HUP\n")
    with launched(bus_name, tmp_path, "--ini", "app.ini") as launcher:
        launcher.wait_output("command")
        (tmp_path / "touched").touch()
        launcher.wait_output("got SIGHUP")
        launcher.wait_log("touched was touched")
        launcher.wait_log("was sent SIGHUP")
        assert launcher.stderr.index("mule 1 (pid") < launcher.stderr.index("was sent SIGHUP"), "mules first"


def test_a_directory_of_fs_reload_is_looked_into(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "one").write_text("before")
    options = ("--fs-reload", "conf", "--command-reload-signal", "HUP")
    with launched(bus_name, tmp_path, *options) as launcher:
        launcher.wait_output("command")
        (tmp_path / "conf" / "one").write_text("after")
        launcher.wait_output("got SIGHUP")


def test_touching_for_the_mules_leaves_the_command(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    options = ("--touch-mules-reload", "touched", "--command-reload-signal", "HUP")
    with launched(bus_name, tmp_path, *options) as launcher:
        launcher.wait_output("command")
        (tmp_path / "touched").touch()
        wait_until(lambda: "processes replaced in" in launcher.stderr, what="the reload")
        assert "was sent SIGHUP" not in launcher.stderr


@pytest.mark.parametrize("option", ["autoreload", "py-autoreload"])
def test_changed_sources_reload_everything(
    bus_env: object, bus_name: str, tmp_path: Path, option: str
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "views.py").write_text("1")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "app.ini").write_text(f"[uwsgi]\n{option} = 0.1\ncommand-reload-signal = HUP\n")
    with launched(bus_name, tmp_path, "--ini", "app.ini") as launcher:
        launcher.wait_output("command")
        (tmp_path / "venv" / "theirs.py").write_text("2")
        (tmp_path / "package" / "views.py").write_text("2")
        launcher.wait_output("got SIGHUP")
        launcher.wait_log(f"{tmp_path}/package/views.py has changed")
        assert "theirs.py" not in launcher.stderr


def test_status_shows_the_command_and_the_daemons(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with launched(bus_name, tmp_path, "--attach-daemon", "sleep 600") as launcher:
        launcher.wait_output("command")
        found = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)
        text = run_cli("status", "--bus", bus_name).stdout
    command, [daemon] = found["command"], found["daemons"]
    assert f"command {command['pid']}\n" in launcher.stdout
    assert (command["arguments"][0], command["servers"]) == (sys.executable, [])
    assert daemon["arguments"] == ["sleep", "600"] and daemon["pid"]
    assert f"(pid {command['pid']})" in text
    assert f"daemon: sleep 600 (pid {daemon['pid']})" in text


def test_a_program_gets_sighup_at_a_reload_as_in_uwsgi(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(
        COMMAND.replace('"command"', '"program"').replace("SIGTERM:", "SIGHUP:")
    )
    with Launcher("--bus", bus_name, "--mule=program.py", cwd=tmp_path) as launcher:
        launcher.wait_output("program")
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        launcher.wait_output("got SIGHUP")
        assert "got SIGTERM" not in launcher.stdout
        os.kill(launcher.pid, signal.SIGQUIT)
        launcher.wait()


#: A task queue's worker: its child finishes what it has in hand, and is told to by the leader alone.
QUEUE = """
import os, signal, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"task died\\n"), os._exit(1)))
    print("task runs", flush=True)
    os.close(writer)
    os.read(reader, 1)
    time.sleep(0.3)
    print("task done", flush=True)
    os._exit(0)
os.close(reader)
def warm(*_):
    os.close(writer)
    os.wait()
    print("leader ends", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, warm)
print("leader up", flush=True)
while True:
    time.sleep(600)
"""


@pytest.mark.parametrize("what", ["daemon", "command"])
def test_a_leader_is_told_first_at_a_stop(bus_env: object, bus_name: str, tmp_path: Path, what: str) -> None:
    (tmp_path / "queue_worker.py").write_text(QUEUE)
    words = [sys.executable, "queue_worker.py"]
    options = ["--attach-daemon", " ".join(words)] if what == "daemon" else []
    command = words if what == "command" else []
    with Launcher("--bus", bus_name, *options, command=command, cwd=tmp_path) as launcher:
        launcher.wait_output("task runs")
        launcher.wait_output("leader up")
        launcher.stop()
    assert "task done\nleader ends\n" in launcher.stdout
    assert "task died" not in launcher.stdout
    assert launcher.code == 0


def test_a_leader_that_stays_is_ended_with_its_group(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    source = "trap '' TERM; sleep 600 & echo up $! ; while true; do sleep 1; done"
    (tmp_path / "daemon.sh").write_text(source)
    options = ("--attach-daemon", "sh daemon.sh", "--mule-reload-mercy", "0.5")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher:
        launcher.wait_output("up")
        launcher.stop()
    assert launcher.code == 0
