"""The application command and the daemons: process groups, signals, respawn, and no orphan whoever dies."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.master.commandline import SHELL, split
from ipcmules.processes import start_time
from support import Launcher, wait_until

#: A program with a child of its own: both write down their pids, and the parent waits for ever.
FAMILY = """
import os, pathlib, signal, sys, time
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    pathlib.Path(sys.argv[1], f"child.{os.getpid()}").touch()
else:
    pathlib.Path(sys.argv[1], f"parent.{os.getpid()}").touch()
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path: Path) -> Path:
    path = tmp_path / "family.py"
    path.write_text(FAMILY)
    return path


def pids(directory: Path, kind: str, count: int = 1) -> list[int]:
    """Of those that have written themselves down, once there are so many."""

    def found() -> list[int]:
        return [int(each.suffix[1:]) for each in directory.glob(f"{kind}.*")]

    wait_until(lambda: len(found()) >= count, what=f"{count} {kind}")
    return found()


def gone(*processes: int) -> bool:
    return not any(map(start_time, processes))


def daemon(family: Path, *more: str) -> str:
    return " ".join([sys.executable, str(family), str(family.parent), *more])


def test_a_daemon_is_started_again_and_ends_with_the_bus(
    bus_env: BusEnvironment, bus_name: str, family: Path
) -> None:
    with Launcher("--bus", bus_name, "--attach-daemon", daemon(family)) as launcher:
        [first], [child] = pids(family.parent, "parent"), pids(family.parent, "child")
        assert os.getpgid(first) == os.getpgid(child) == first != os.getpgid(launcher.pid)
        os.kill(first, signal.SIGKILL)
        parents, children = pids(family.parent, "parent", 2), pids(family.parent, "child", 2)
        wait_until(lambda: gone(first, child), what="the end of the first family")
        assert "was killed by SIGKILL: starting it again" in launcher.stderr
        assert launcher.stop() == 0
        assert gone(*parents, *children)


def test_daemons_that_end_young_wait_longer_and_longer(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    arguments = ["--attach-daemon", "echo started; exit 3", "--attach-daemon", "sleep 600"]
    with Launcher("--bus", bus_name, *arguments) as launcher:
        wait_until(lambda: launcher.stdout.count("started") >= 4, what="four starts")
        text = "ended with code 3: starting it again"
        lines = [line.partition("again")[2] for line in launcher.stderr.splitlines() if text in line]
        assert lines[:3] == ["", " in 0.1 s", " in 0.2 s"]
    assert launcher.code == 0


def test_a_stop_kills_a_daemon_that_will_not_end(
    bus_env: BusEnvironment, bus_name: str, family: Path
) -> None:
    arguments = ["--mule-reload-mercy", "1", "--attach-daemon", daemon(family, "deaf")]
    with Launcher("--bus", bus_name, *arguments) as launcher:
        family_ = pids(family.parent, "parent") + pids(family.parent, "child")
        began = time.monotonic()
        assert launcher.stop() == 0
        assert time.monotonic() - began < 5 and gone(*family_)


@pytest.mark.parametrize("deaf", [False, True])
def test_nobody_outlives_a_killed_master(
    bus_env: BusEnvironment, bus_name: str, family: Path, deaf: bool
) -> None:
    bus_env.may_leave_objects("the master is killed for good")
    words = ["deaf"] if deaf else []
    command = [sys.executable, str(family), str(family.parent), *words]
    arguments = ["--mule-reload-mercy", "1", "--attach-daemon", daemon(family, *words)]
    with Launcher("--bus", bus_name, *arguments, command=command) as launcher:
        family_ = pids(family.parent, "parent", 2) + pids(family.parent, "child", 2)
        launcher.process.kill()
        launcher.wait()
        wait_until(lambda: gone(*family_), 5, "the end of all")


def test_the_guard_is_started_again(bus_env: BusEnvironment, bus_name: str, family: Path) -> None:
    bus_env.may_leave_objects("the master is killed for good")
    with Launcher("--bus", bus_name, "--attach-daemon", daemon(family)) as launcher:
        family_ = pids(family.parent, "parent") + pids(family.parent, "child")
        [guard] = guards(launcher.pid)
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: guards(launcher.pid) not in ([], [guard]), what="another guard")
        launcher.process.kill()
        launcher.wait()
        wait_until(lambda: gone(*family_), 5, "the end of all")


def guards(master: int) -> list[int]:
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(each) for each in children if b" guard" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_what_the_command_leaves_in_its_group_ends_with_it(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    command = ["sh", "-c", "sleep 600 & echo $! > left; exit 7"]
    with Launcher("--bus", bus_name, command=command, cwd=tmp_path) as launcher:
        assert launcher.wait() == 7
    assert gone(int((tmp_path / "left").read_text()))


@pytest.mark.parametrize(("signum", "word"), [(signal.SIGINT, "INT"), (signal.SIGTERM, "TERM")])
def test_the_stops_signal_reaches_the_commands_group(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, signum: int, word: str
) -> None:
    source = (
        "import os, signal, sys\n"
        "child = os.fork()\n"
        "for each in (2, 15):\n"
        "    signal.signal(each, lambda n, _: (print('got', signal.Signals(n).name, flush=True), exit()))\n"
        "print('there', flush=True)\n"
        "signal.pause()\n"
    )
    with Launcher("--bus", bus_name, command=[sys.executable, "-c", source]) as launcher:
        wait_until(lambda: launcher.stdout.count("there") == 2, what="both")
        launcher.stop(signum)
        assert launcher.stdout.count(f"got SIG{word}") == 2


def test_a_command_on_a_terminal_reads_it(bus_env: BusEnvironment, bus_name: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        source = "import os; print('said', input(), os.getpgrp() == os.getpgid(os.getppid()))"
        arguments = ["run", "--bus", bus_name, "--", sys.executable, "-c", source]
        os.execv(sys.executable, [sys.executable, "-m", "ipcmules", *arguments])
    os.write(terminal, b"hello\n")
    text = b""
    try:
        while data := os.read(terminal, 1000):
            text += data
    except OSError:
        pass  # EIO: nobody has the terminal any more
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"said hello True" in text


def test_a_daemon_that_is_not_there(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ipcmules", "run", "--bus", bus_name, "--attach-daemon", "no-such-daemon -x"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    assert done.returncode == 2
    assert "'no-such-daemon' is not an executable program" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redis-server --port 0", ("redis-server", "--port", "0")),
        ('run \'two words\' "and \\" more"', ("run", "two words", 'and " more')),
        ("a | b", (SHELL, "-c", "a | b")),
        ("A=1 b", (SHELL, "-c", "A=1 b")),
        ("b A=1", ("b", "A=1")),
        ("echo $HOME", (SHELL, "-c", "echo $HOME")),
    ],
)
def test_splitting(text: str, words: tuple[str, ...]) -> None:
    assert split(text) == words
