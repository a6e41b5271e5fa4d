"""The application command and the daemons: process groups, signals, respawn, and no orphan whoever dies."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.kernel.commandline import SHELL, split
from ipcmules.kernel.processes import start_time
from support import Launcher, run_cli, wait_until

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
        launcher.wait_log("was killed by SIGKILL: starting it again")
        assert launcher.stop() == 0
        assert gone(*parents, *children)


#: Writes down who and where it is and which signal ended it.
SAID = """
cd -P .
trap 'touch ended.TERM; exit' TERM
trap 'touch ended.QUIT; exit' QUIT
echo "$PWD $(id -u) $(id -g) $(id -G)" > new
mv new began.$$
while :; do sleep 0.1; done
"""


def test_a_described_daemon(bus_env: BusEnvironment, bus_name: str) -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # the test's own is closed to others
        out = Path(name)
        out.chmod(0o777)
        program = out / "said.sh"
        program.write_text(SAID)
        text = f"cmd=sh {program},stopsignal=QUIT,touch={out}/a;{out}/b,chdir={out}"
        more = ",uid=65534,gid=65534" * root
        with Launcher("--bus", bus_name, "--attach-daemon2", text + more) as launcher:
            [first] = pids(out, "began")
            where, who = (out / f"began.{first}").read_text().strip().split(" ", 1)
            assert where == str(out)
            assert not root or who == "65534 65534 65534"
            (out / "b").touch()
            pids(out, "began", 2)
            assert gone(first) and (out / "ended.QUIT").exists()
            launcher.wait_log(f"{out}/b was touched: daemon")
            (out / "ended.QUIT").unlink()
            assert launcher.stop() == 0
            assert (out / "ended.QUIT").exists() and not (out / "ended.TERM").exists()


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
        assert launcher.stop() == 0
        assert gone(*family_)


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
    children = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
    return [each for each in children if b" guard" in command_line(each)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended just now
        return b""


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
        "def say(n, _):\n"
        "    os.write(1, f'got {signal.Signals(n).name}\\n'.encode())  # in one piece: two processes say it\n"
        "    exit()\n"
        "for each in (2, 15):\n"
        "    signal.signal(each, say)\n"
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


#: Says what it reads, and what Ctrl-C did, until the end of input.
PROMPT = """
import os, sys
print("pids", os.getpid(), os.getppid(), flush=True)
while True:
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        continue
    if not line:
        sys.exit(7)
    print("<%s>" % line.strip(), flush=True)
"""


class Terminal:
    """A shell with job control on a terminal of its own, typed at by a test."""

    def __init__(self, cwd: Path) -> None:
        self.text = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.environ["PS1"] = "$ "
            os.execvp(SHELL, [SHELL, "-i"])
        os.set_blocking(self._terminal, False)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until a pattern was printed; what was printed before it is forgotten."""

        def found() -> re.Match[str] | None:
            try:
                self.text += os.read(self._terminal, 4096).decode(errors="replace")
            except (BlockingIOError, OSError):
                pass
            return re.search(pattern, self.text)

        try:
            match = wait_until(found, what=pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None
        self.text = self.text[match.end() :]
        return match

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_prompt_on_a_terminal_as_in_a_shell(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """Ctrl-C is the prompt's, Ctrl-Z stops the job as a whole and fg goes on, end of input ends the bus."""
    (tmp_path / "prompt.py").write_text(PROMPT)
    terminal = Terminal(tmp_path)
    try:
        run = f"{sys.executable} -m ipcmules run --bus {bus_name} --mules 1 --attach-daemon 'sleep 600'"
        terminal.type(f"{run} -- {sys.executable} prompt.py; echo code $?\n")
        command, master = map(int, terminal.expect(r"pids (\d+) (\d+)").groups())
        terminal.type("one\n")
        terminal.expect("<one>")
        for _ in range(3):
            terminal.type("\x03")
            terminal.expect("interrupted")
        mule = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["mules"][0]["pid"]
        terminal.type("\x1a")
        wait_until(lambda: [state(each) for each in (command, master, mule)] == ["T"] * 3, what="the stop")
        terminal.expect(r"\$ ")
        terminal.type("echo still $((40 + 2))\n")
        terminal.expect("still 42")
        terminal.type("fg\n")
        wait_until(lambda: "T" not in [state(each) for each in (command, master, mule)], what="going on")
        terminal.type("two\n")
        terminal.expect("<two>")
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "x").returncode == 0
        terminal.type("\x04")
        wait_until(lambda: gone(command, master, mule), what="the end")
    finally:
        terminal.close()


def test_ctrl_c_ends_a_command_on_a_terminal_and_its_bus(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path)
    try:
        run = f"{sys.executable} -m ipcmules run --bus {bus_name} --mules 1"
        terminal.type(f"{run} -- sh -c 'echo started $((1 + 1)); exec sleep 600'\n")
        terminal.expect("started 2")
        terminal.type("\x03")
        terminal.expect(r"\$ ")
        terminal.type("echo code $?\n")
        assert terminal.expect(r"code (\d+)\r")[1] == "130"
        # While the bus is starting there is no command yet: Ctrl-C is the launcher's.
        (tmp_path / "slow.py").write_text("print('loading', flush=True); import time; time.sleep(600)")
        terminal.type(f"{run} --import slow.py -- true\n")
        terminal.expect("loading\r")
        terminal.type("\x03")
        terminal.expect(r"\$ ")
        terminal.type("echo code $?\n")
        terminal.expect(r"code \d+\r")
    finally:
        terminal.close()


def test_a_shell_as_the_command_has_job_control(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.type(f"{sys.executable} -m ipcmules run --bus {bus_name} -- {SHELL} -i\n")
        terminal.expect(r"ready.*\n")
        terminal.type("sh -c 'echo inside $IPCMULES_BUS; exec sleep 600'\n")
        terminal.expect(f"inside {bus_name}\r")
        terminal.type("\x1a")
        terminal.type("jobs; kill -9 %1; wait; echo inner $((1 + 1))\n")
        terminal.expect("inner 2")
        terminal.type("sh -c 'echo again $((1 + 1)); exec sleep 600'\n")
        terminal.expect("again 2")
        terminal.type("\x03")
        terminal.expect(r"\$ ")
        terminal.type("exit 5\n")
        wait_until(lambda: not os.path.lexists(places(bus_name).lock), what="the end of the bus")
        terminal.type("echo code $?\n")
        assert terminal.expect(r"code (\d+)\r")[1] == "5"
    finally:
        terminal.close()


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


def settle(directory: Path, **names: str) -> None:
    """Write bus.toml with a daemon for each name: it appends its pid to a file and stays."""
    lines = [f"echo $$ >> {directory}/{name}; {more}exec sleep 600" for name, more in names.items()]
    (directory / "bus.toml").write_text(
        f"mules = 1\nattach-daemon = {json.dumps(lines)}\nimport = 'app.py'\n"
    )


def written(directory: Path, name: str, count: int = 1) -> list[int]:
    """The pids that a daemon wrote, once there are so many."""
    path = directory / name

    def found() -> list[int]:
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    wait_until(lambda: len(found()) >= count, what=f"{count} starts of {name}")
    return found()


def test_a_reload_ends_starts_and_keeps_daemons(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("")
    settle(tmp_path, a="", b="", c="")
    with Launcher("--bus", bus_name, "--config", "bus.toml", cwd=tmp_path) as launcher:
        [a], [b], [c] = (written(tmp_path, name) for name in "abc")
        settle(tmp_path, b="", c="true; ", d="")  # without a, b as it was, c another, d new
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        [_, new_c], [d] = written(tmp_path, "c", 2), written(tmp_path, "d")
        wait_until(lambda: gone(a, c), what="the end of those that were taken out")
        assert written(tmp_path, "b") == [b] and not gone(b, new_c, d) and start_time(b)
        os.kill(d, signal.SIGKILL)  # what came with the reload is looked after as the others are
        [_, d] = written(tmp_path, "d", 2)
        # What does not load changes no daemon.
        (tmp_path / "app.py").write_text("raise KeyError('on purpose')")
        settle(tmp_path, e="", b="")
        assert run_cli("reload", "--bus", bus_name).returncode == 1
        assert not (tmp_path / "e").exists()
        assert all(map(start_time, (b, new_c, d)))
        # None at all.
        (tmp_path / "app.py").write_text("")
        settle(tmp_path)
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        wait_until(lambda: gone(*(pid for each in "abcd" for pid in written(tmp_path, each))), what="the end")
    assert launcher.code == 0


def test_a_daemon_that_is_not_there_refuses_the_reload(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("")
    settle(tmp_path, a="")
    with Launcher("--bus", bus_name, "--config", "bus.toml", cwd=tmp_path):
        [a] = written(tmp_path, "a")
        (tmp_path / "bus.toml").write_text(
            "mules = 1\nimport = 'app.py'\nattach-daemon = ['no-such-thing']\n"
        )
        done = run_cli("reload", "--bus", bus_name)
        assert done.returncode == 1 and "'no-such-thing' is not an executable program" in done.stderr
        assert written(tmp_path, "a") == [a] and start_time(a)
