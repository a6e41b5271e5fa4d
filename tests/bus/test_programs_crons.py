"""Commands that crons run: in a loop that the test turns, and with a whole bus at the next minute."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.bus.config import BusConfig, CronCommand
from ipcmules.bus.places import places
from ipcmules.events import texts
from ipcmules.kernel import linux
from ipcmules.kernel.processes import start_time
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.loop.selector import Loop
from ipcmules.master.programs.crons import Commands
from ipcmules.master.programs.guard import Guard
from support import Launcher, run_cli, wait_until

#: Longer than any test.
NEVER = "0 0 1 1 *"


class Running:
    """Cron commands without a bus: due() has one run now."""

    def __init__(self, where: str, log: pytest.LogCaptureFixture) -> None:
        self.loop = Loop()
        self.guard = Guard("ipcmules: test guard", 1.0)
        self.empty = 0
        self.commands = Commands(self.loop, self.guard, Fired(places(where), False), self._changed)
        self._log = log
        linux._prctl(linux._PR_SET_CHILD_SUBREAPER, 1)
        self.loop.on_signal(signal.SIGCHLD, self._reap)

    def _changed(self) -> None:
        self.empty += 1

    def _reap(self) -> None:
        # Those of the commands' groups alone: this process has other children.
        for run in list(self.commands._runs):
            try:
                while (found := os.waitpid(-run.group.pid, os.WNOHANG))[0]:
                    self.commands.ended(*found)
            except ChildProcessError:
                pass

    def configure(self, *crons: CronCommand, harakiri: float = 0.0) -> None:
        self.commands.replace(BusConfig(directory="/", crons=crons, cron_harakiri=harakiri))

    def due(self, number: int = 0) -> None:
        self.commands._due(list(self.commands._tasks.values())[number].event, 1, 0.0)

    @property
    def lines(self) -> list[str]:
        return [each.getMessage() for each in self._log.records]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.lines
            tick = self.loop.later(0.02, lambda: None)
            self.loop.run_once()
            tick.cancel()

    def close(self) -> None:
        self.commands.stop()
        self.commands.kill()
        self.until(lambda: not self.commands.running())
        pid = self.guard.pid
        self.guard.finish()
        if pid:
            os.waitpid(pid, 0)
        self.loop.close()
        linux._prctl(linux._PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture
def running(bus_env: BusEnvironment, bus_name: str, caplog: pytest.LogCaptureFixture) -> Iterator[Running]:
    caplog.set_level(logging.INFO, "ipcmules")
    made = Running(bus_name, caplog)
    yield made
    made.close()


def test_output_and_exit_code(running: Running) -> None:
    running.configure(texts.cron(f"{NEVER} echo one; echo two >&2; printf '\\377three'; exit 3"))
    running.due()
    running.until(lambda: bool(running.empty))
    first, *output, last = running.lines
    assert "started (pid " in first
    assert [each.rpartition(": ")[2] for each in output] == ["one", "two", "\\xffthree"]
    assert "ended with code 3 after " in last
    [row] = running.commands.rows()
    assert (row["runs"], row["exceptions"], row["ticks"], row["skips"]) == (1, 1, 1, 0)
    assert row["handler"].startswith("echo one")
    assert row["schedule"] == NEVER
    json.dumps(row)


def test_very_long_lines_come_in_pieces(running: Running) -> None:
    running.configure(texts.cron(f"{NEVER} head -c 30000 /dev/zero | tr '\\0' x; echo; echo end"))
    running.due()
    running.until(lambda: bool(running.empty))
    assert sum(each.count("x" * 8) for each in running.lines) >= 30000 // 8 - 10
    assert max(map(len, running.lines)) < 8192 + 100
    assert any(each.endswith(": end") for each in running.lines)


def test_a_command_may_overlap_itself_unless_it_is_unique(running: Running) -> None:
    running.configure(texts.cron(f"{NEVER} sleep 600"), texts.cron(f"{NEVER} sleep 600", unique=True))
    for _ in range(2):
        running.due(0)
        running.due(1)
    assert len(running.commands._runs) == 3
    assert [(row["ticks"], row["skips"]) for row in running.commands.rows()] == [(2, 0), (1, 1)]
    assert any("still running: not started again" in each for each in running.lines)


def test_harakiri_kills_the_group(running: Running, tmp_path: Path) -> None:
    command = f"sleep 600 & echo $! >{tmp_path}/pid; trap '' TERM; wait"
    running.configure(texts.cron(f"{NEVER} {command}"), harakiri=0.5)
    running.due()
    running.until(lambda: any("takes longer than 0.5 s: killed" in each for each in running.lines))
    child = int((tmp_path / "pid").read_text())
    running.until(lambda: not start_time(child))
    running.until(lambda: any("was killed by SIGKILL" in each for each in running.lines))


def test_harakiri_of_one_command(running: Running) -> None:
    running.configure(texts.cron2("harakiri=0 sleep 600"), texts.cron2("harakiri=1 sleep 600"), harakiri=600)
    running.due(0)
    running.due(1)
    running.until(lambda: any("takes longer than 1 s" in each for each in running.lines))
    allowed = [run.harakiri is not None for run in running.commands._runs]
    assert allowed[0] is False


def test_what_cannot_be_run_is_the_shells_word(running: Running) -> None:
    running.configure(texts.cron(f"{NEVER} /nowhere/at/all"))
    running.due()
    running.until(lambda: bool(running.empty))
    assert any("not found" in each for each in running.lines)
    assert "ended with code 127" in running.lines[-1]


def test_a_directory_that_is_gone(running: Running) -> None:
    running.commands.replace(BusConfig(directory="/nowhere/at/all", crons=(texts.cron(f"{NEVER} true"),)))
    running.due()
    assert "cannot be run" in running.lines[-1]
    assert not running.commands.running()


def test_another_configuration(running: Running) -> None:
    kept, gone = texts.cron(f"{NEVER} sleep 600"), texts.cron(f"{NEVER} sleep 601")
    running.configure(kept, gone, kept)
    running.due(0)
    running.due(1)
    running.configure(kept, CronCommand(NEVER, "sleep 602"))
    assert [(row["handler"], row["ticks"]) for row in running.commands.rows()] == [
        ("sleep 600", 1),
        ("sleep 602", 0),
    ]
    assert len(running.commands._runs) == 2  # what was running goes on
    running.configure(CronCommand(NEVER, "sleep 600", unique=True))
    running.due()
    assert running.commands.rows()[0]["skips"] == 1


def test_the_time_zone_of_the_configuration(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    try:
        running.configure(texts.cron("0 9 * * * true"))
        [row] = running.commands.rows()
        assert row["zone"] == "Asia/Tokyo"
        assert row["next"] % 86400 == 0
        assert row["next_iso"].endswith("T09:00:00+09:00")
    finally:
        monkeypatch.undo()
        time.tzset()


# A whole bus: its crons come at the next minute.

FAMILY = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN) if "deaf" in sys.argv else None
name = "child" if os.fork() == 0 else "parent"
pathlib.Path(sys.argv[1], f"{name}.{os.getpid()}").touch()
time.sleep(600)
"""


def family(directory: Path) -> Path:
    directory.mkdir()
    path = directory / "family.py"
    path.write_text(FAMILY)
    return path


def members(directory: Path) -> list[int]:
    """Parent and child, once both have written themselves down."""

    def found() -> list[int]:
        return [int(each.suffix[1:]) for each in directory.glob("[cp]*.*") if each.suffix != ".py"]

    wait_until(lambda: len(found()) >= 2, seconds=90, what="the cron's processes")
    return found()


@pytest.mark.slow
def test_buses_with_crons(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """Two at once, as each waits for the next minute: one that is stopped, one whose master is killed."""
    bus_env.may_leave_objects("a master is killed")
    ours, theirs = family(tmp_path / "ours"), family(tmp_path / "theirs")
    arguments = [
        *("--cron", "-1 -1 -1 -1 -1 echo $IPCMULES_BUS; exit 4", "--mule-reload-mercy", "2"),
        *("--unique-cron", f"* * * * * exec {sys.executable} {ours} {ours.parent} deaf"),
        *("--cron2", f"week=-1,unique=1 touch {tmp_path}/orphan; sleep 600 & echo orphan $!"),
        *("--cron", "@yearly true", "--cron-harakiri", "300"),
    ]
    killed = ("--bus", f"{bus_name}k", "--cron", f"* * * * * {sys.executable} {theirs} {theirs.parent}; true")
    with Launcher("--bus", bus_name, "--mules", "1", *arguments) as launcher, Launcher(*killed) as other:
        left = members(theirs.parent)
        os.kill(other.pid, signal.SIGKILL)
        processes = members(ours.parent)
        wait_until(lambda: "ended with code 4" in launcher.stderr, what="the exit code")
        launcher.wait_log(f"exit 4': {bus_name}\n")
        orphans = re.compile(r": orphan (\d+)$", re.MULTILINE)
        orphan = int(wait_until(lambda: orphans.search(launcher.stderr), what="the orphan")[1])
        listed = json.loads(run_cli("events", "--bus", bus_name, "--json").stdout)
        commands = {each["handler"]: each for each in listed if each["kind"] == "command"}
        assert len(commands) == 4
        assert commands["true"]["ticks"] == 0
        assert commands["echo $IPCMULES_BUS; exit 4"]["exceptions"] >= 1
        assert start_time(orphan)
        assert launcher.stop() == 0
        assert not any(map(start_time, [*processes, orphan]))
        launcher.wait_log("killed after 2 s of mercy: commands of crons")
        wait_until(lambda: not any(map(start_time, left)), what="the end of the killed bus's cron")


def test_a_reload_brings_other_crons(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    ini = tmp_path / "bus.ini"
    ini.write_text("[ipcmules]\ncron = @yearly one\ncron = @yearly two\nsignal-timer = 5 100\n")
    with Launcher("--bus", bus_name, "--mules", "1", "--ini", str(ini)) as launcher:

        def listed() -> list[tuple[str, str]]:
            found = json.loads(run_cli("events", "--bus", bus_name, "--json").stdout)
            return sorted((each["kind"], each["handler"] or each["schedule"]) for each in found)

        assert listed() == [("command", "one"), ("command", "two"), ("timer", "every 100 s")]
        ini.write_text(
            "[ipcmules]\ncron = @yearly two\ncron = @daily three\nsignal-timer = 5 200\nrbtimer = 6 7 8\n"
        )
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        assert listed() == [
            ("command", "three"),
            ("command", "two"),
            ("rbtimer", "every 7 s, 8 times"),
            ("timer", "every 200 s"),
        ]
        ini.write_text("[ipcmules]\ncron = @yearly four\nimport = broken.py\n")
        (tmp_path / "broken.py").write_text("1/0")
        assert run_cli("reload", "--bus", bus_name).returncode == 1
        assert [each[1] for each in listed()[:2]] == ["three", "two"]
    assert launcher.code == 0


SIGNALS_APP = """
import ipcmules, os
def note(number):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{number}\\n")
for number in (1, 2, 3, 4):
    ipcmules.register_signal(number, "mule", note)
"""


def test_signals_of_options(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SIGNALS_APP)
    notes = tmp_path / "notes"
    arguments = [
        *("--chdir", str(tmp_path), "--import", "app.py", "--mules", "1"),
        *("--timer", "1 0.05", "--signal-rbtimer", "2 0.05 3"),
        *("--touch-signal", "touched by me 3", "--fs-signal", "sub 4"),
    ]
    (tmp_path / "sub").mkdir()
    with Launcher("--bus", bus_name, *arguments, env={**os.environ, "NOTES": str(notes)}):

        def count(number: int) -> int:
            return notes.read_text().split().count(str(number)) if notes.exists() else 0

        wait_until(lambda: count(1) >= 10, what="ten ticks")
        assert count(2) == 3
        assert count(3) == count(4) == 0
        (tmp_path / "touched by me").touch()
        wait_until(lambda: count(3), what="the touched file's signal")
        (tmp_path / "sub" / "x").touch()
        wait_until(lambda: count(4), what="the directory's signal")
        before = count(3), count(4)
        (tmp_path / "touched by me").unlink()
        (tmp_path / "sub" / "x").unlink()
        wait_until(lambda: count(4) > before[1], what="the directory's signal")
        assert count(3) == before[0]
