"""Deaths and ends: what follows when a mule, the template or the master dies, and how a bus stops."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.kernel.processes import start_time
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until

ECHO = """
import os, sys, time
import ipcmules

def main():
    print("entered", os.getpid(), flush=True)
    while True:
        text = ipcmules.mule_get_msg().decode()
        word, _, rest = text.partition(" ")
        if word == "kill":
            os.kill(os.getpid(), 9)
        if word == "raise":
            raise RuntimeError(rest)
        if word == "exit":
            sys.exit(int(rest))
        if word == "sleep":
            print("sleeping", flush=True)
            time.sleep(float(rest))
        if word == "hold":
            print("holding", flush=True)
            while not os.path.exists(rest):
                time.sleep(0.01)
        print("got", text, flush=True)
"""


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    scripts.write(tmp_path, "echo.py", ECHO)
    return tmp_path


def start(name: str, directory: Path, *more: str, **others: object) -> Launcher:
    return Launcher("--bus", name, "--mule=echo:main", *more, cwd=directory, **others)  # type: ignore[arg-type]


def send(name: str, *texts: str) -> None:
    for text in texts:
        assert run_cli("msg", "--bus", name, "--mule", "1", text).returncode == 0


def mule_pid(name: str, number: int = 1) -> int:
    shared = table.open(places(name).table)
    return int(shared.cells[shared.mule(number) + table.R_PID])


def pids(launcher: Launcher) -> list[int]:
    return [int(each) for each in re.findall(r"entered (\d+)", launcher.stdout)]


def test_a_killed_mule_is_respawned_and_what_it_held_is_kept(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo) as launcher:
        launcher.wait_output("entered")
        send(bus_name, "kill me", "after")
        launcher.wait_output("got after")
        assert len(set(pids(launcher))) == 2
    assert launcher.code == 0
    [path] = kept.listing(places(bus_name))
    found = kept.load(path)
    assert (found.data, found.endpoint, found.process) == (b"kill me", "mule1", "mule1")
    assert "SIGKILL" in found.reason and "was killed by SIGKILL: starting it again" in launcher.stderr


def test_dying_young_again_and_again_grows_the_delay(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo) as launcher:
        for count in range(1, 5):
            wait_until(lambda count=count: len(pids(launcher)) == count, what=f"start {count}")  # type: ignore[misc]
            send(bus_name, "raise on purpose")
        wait_until(lambda: len(pids(launcher)) == 5)
    assert launcher.code == 0
    lines = [line for line in launcher.stderr.splitlines() if "starting it again" in line]
    assert [line.rpartition("again")[2] for line in lines] == ["", " in 0.1 s", " in 0.2 s", " in 0.4 s"]
    assert launcher.stderr.count("RuntimeError: on purpose") == 4


def test_a_stop_drains_what_is_queued(bus_env: BusEnvironment, bus_name: str, echo: Path) -> None:
    with start(bus_name, echo) as launcher:
        launcher.wait_output("entered")
        send(bus_name, "sleep 0.5", "1", "2", "3")
        assert launcher.stop() == 0
        assert [line for line in launcher.stdout.splitlines() if line.startswith("got")] == [
            "got sleep 0.5",
            "got 1",
            "got 2",
            "got 3",
        ]
    assert kept.listing(places(bus_name)) == []


def test_a_second_signal_ends_it_at_once_and_the_next_start_queues_the_rest_again(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo) as launcher:
        send(bus_name, "sleep 60")
        launcher.wait_output("sleeping")
        send(bus_name, "first", "second", "third")
        launcher.process.send_signal(signal.SIGTERM)
        shared = table.open(places(bus_name).table)
        wait_until(lambda: shared.cells[table.H_STATE] == table.STOPPING, what="the stop")
        assert launcher.stop(signal.SIGINT) == 0  # waits for less than the mercy of 60 s
    reasons = [kept.load(path) for path in kept.listing(places(bus_name))]
    assert [each.data for each in reasons] == [b"sleep 60", b"first", b"second", b"third"]
    with start(bus_name, echo) as launcher:
        launcher.wait_output("got third")
        assert re.findall("got (.*)", launcher.stdout) == ["first", "second", "third"]
    assert [kept.load(path).data for path in kept.listing(places(bus_name))] == [b"sleep 60"]


def test_the_mercy_ends(bus_env: BusEnvironment, bus_name: str, echo: Path) -> None:
    with start(bus_name, echo, "--mule-reload-mercy", "1") as launcher:
        send(bus_name, "sleep 60")
        launcher.wait_output("sleeping")
        began = time.monotonic()
        assert launcher.stop() == 0
        assert time.monotonic() - began > 0.9
    assert "killed after 1 s of mercy: mule 1" in launcher.stderr


def test_a_program_that_never_receives_ends_at_once(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(
        tmp_path, "sleeper.py", "import time\ntry:\n    time.sleep(600)\nfinally:\n    print('left')\n"
    )
    with Launcher("--bus", bus_name, "--mule=sleeper.py", cwd=tmp_path) as launcher:
        assert launcher.stop() == 0
    assert launcher.stdout == "left\n"


def test_idle_mules_follow_a_killed_master_within_a_second(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    bus_env.may_leave_objects("the master is killed for good")
    with start(bus_name, echo, "--mule") as launcher:
        launcher.wait_output("entered")
        followers = [mule_pid(bus_name, 1), mule_pid(bus_name, 2)]
        launcher.process.kill()
        wait_until(lambda: not any(map(start_time, followers)), seconds=1, what="the mules' end")


def test_a_killed_masters_messages_reach_the_next_ones_mules(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo) as launcher:
        send(bus_name, "hold released")
        launcher.wait_output("holding")
        send(bus_name, "one", "two", "three")
        launcher.process.kill()
        launcher.wait()
        (echo / "released").touch()
        with start(bus_name, echo) as successor:
            successor.wait_output("got three")
            assert re.findall("got (.*)", successor.stdout) == ["one", "two", "three"]
        assert successor.code == 0
        # What it held it finished; what was queued it left.
        assert re.findall("got (.*)", launcher.stdout) == ["hold released"]
    assert kept.listing(places(bus_name)) == []


def test_survivors_of_a_killed_master_are_killed_after_the_mercy(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo) as launcher:
        send(bus_name, "hold for-ever")
        launcher.wait_output("holding")
        survivor = mule_pid(bus_name)
        launcher.process.kill()
        launcher.wait()
        with start(bus_name, echo, "--mule-reload-mercy", "1") as successor:
            assert not start_time(survivor) and mule_pid(bus_name) != survivor
        assert f"mule 1 (pid {survivor}) of the dead master is killed" in successor.stderr
    assert [kept.load(path).data for path in kept.listing(places(bus_name))] == [b"hold for-ever"]


def test_the_template_is_started_again(bus_env: BusEnvironment, bus_name: str, echo: Path) -> None:
    with start(bus_name, echo) as launcher:
        launcher.wait_output("entered")
        titles = {each: _title(each) for each in _children(launcher.pid)}
        [template] = [each for each, title in titles.items() if title.endswith("template")]
        os.kill(template, signal.SIGKILL)
        wait_until(lambda: "the template was killed by SIGKILL" in launcher.stderr)
        send(bus_name, "kill me", "after")
        launcher.wait_output("got after")
    assert launcher.code == 0


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def test_every_process_is_the_masters_child_and_says_what_it_is(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    with start(bus_name, echo, "--mule", "--processes", "1") as launcher:
        titles = {_title(each) for each in _children(launcher.pid)}
        assert titles == {
            f"ipcmules: {bus_name} {each}" for each in ("template", "mule 1", "mule 2", "worker 1")
        }
        assert _title(launcher.pid) == f"ipcmules: {bus_name} master"


@pytest.mark.parametrize(("program", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_the_commands_exit_code(
    bus_env: BusEnvironment, bus_name: str, echo: Path, program: str, code: int
) -> None:
    with start(bus_name, echo, command=["sh", "-c", program]) as launcher:
        assert launcher.wait() == code


def test_the_command_is_on_the_bus(bus_env: BusEnvironment, bus_name: str, echo: Path) -> None:
    command = [sys.executable, "-c", "import ipcmules; ipcmules.mule_msg('hello', 1)"]
    with start(bus_name, echo, command=command) as launcher:
        assert launcher.wait() == 0
        launcher.wait_output("got hello")


def test_a_killed_attached_worker_gives_its_number_back(
    bus_env: BusEnvironment, bus_name: str, echo: Path
) -> None:
    source = (
        f"import ipcmules; ipcmules.attach({bus_name!r});"
        "ipcmules.register_signal(9, 'worker', print); input()"
    )
    with start(bus_name, echo) as launcher:
        shared = table.open(places(bus_name).table)
        worker = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE)
        wait_until(lambda: shared.cells[table.H_WORKERS] == 1, what="the worker")
        worker.kill()
        worker.communicate()
        wait_until(lambda: shared.cells[table.H_WORKERS] == 0, what="the number's return")
    assert launcher.code == 0


def test_bodies_for_a_mule_with_a_program_are_said_to_be_ignored(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    source = "from ipcmules.decorators import farm, mule, muleloop, mulemsg, postfork\n" + "".join(
        f"@{decorator}\ndef f{number}(*_): pass\n"
        for number, decorator in enumerate(
            ("mule(1)", "muleloop(1)", "mulemsg(1)", "mule(2)", "farm('both')", "farm('mixed')", "mule(9)")
        )
    )
    (tmp_path / "app.py").write_text(source)
    (tmp_path / "program.py").write_text("import ipcmules\nipcmules.mule_get_msg()\n")
    arguments = ["--mule=program.py", "--mule", "--mule=program.py", "--farm=both:3,1", "--farm=mixed:1,2"]
    with Launcher("--bus", bus_name, *arguments, "--import=app.py", cwd=tmp_path) as launcher:
        lines = [line for line in launcher.stderr.splitlines() if "ignored" in line]
    assert len(lines) == 1 and f"[{bus_name} mule 1]" in lines[0], launcher.stderr
    assert "@mule f0, @muleloop f1, @mulemsg f2, @farm f4;" in lines[0]


def test_status_counts_what_the_process_that_runs_has_received(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import ipcmules\nfrom ipcmules.decorators import signal\n"
        "ipcmules.install_mule_msg_hook(lambda message: print('got', message, flush=True))\n"
        "@signal(5, target='mule1')\ndef five(number): print('five', flush=True)\n"
    )

    def mule() -> dict[str, int]:
        found: dict[str, int] = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["mules"][0]
        return found

    with Launcher("--bus", bus_name, "--mule", "--import=app.py", cwd=tmp_path) as launcher:
        for command in (["msg", "--mule", "1", "x"], ["signal", "5"]):
            assert run_cli(command[0], "--bus", bus_name, *command[1:]).returncode == 0
        launcher.wait_output("got")
        launcher.wait_output("five")
        wait_until(lambda: mule()["messages"] == mule()["signals"] == 1, what="the counts")
        os.kill(mule()["pid"], signal.SIGKILL)
        wait_until(lambda: mule()["respawns"] == 1 and mule()["state"] == "waiting", what="the successor")
        assert mule()["messages"] == mule()["signals"] == 0
