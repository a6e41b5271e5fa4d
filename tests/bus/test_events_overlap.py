"""overlap=False: a tick is skipped and counted while the former run waits for a process, or runs in one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import BusEnvironment
from eventbus import app, attached, event, lines, start, wait_lines
from ipcmules.bus import table
from ipcmules.bus.places import places
from support import Launcher, wait_until

#: Every run says when it began and ended, by a clock that all processes share.
RUN = """
@{decorator}
def run(number):
    began = time.monotonic_ns()
    {body}
    said("run", began, time.monotonic_ns())
"""


def write(directory: Path, body: str, decorator: str = "mstimer(10, target='mule', overlap=False)") -> Path:
    return app(directory, RUN.format(decorator=decorator, body=body))


def assert_one_after_the_other(launcher: Launcher) -> None:
    runs = sorted((int(began), int(ended)) for began, ended in lines(launcher, "run"))
    assert runs
    for (_, ended), (began, _) in itertools.pairwise(runs):
        assert ended <= began


def test_a_slow_handler(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "time.sleep(0.1)")
    with start(bus_name, tmp_path, mules=2) as launcher:
        wait_lines(launcher, "run", 10)
        wait_until(lambda: event(bus_name, "run")["skips"] > 20, what="skips")
        found = event(bus_name, "run")
        assert found["ticks"] >= found["runs"] >= found["ticks"] - 1
        assert found["overlap"] is False
    assert_one_after_the_other(launcher)


def test_a_slow_handler_in_spoolers(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "time.sleep(0.05)", "mstimer(10, target='spooler', overlap=False)")
    with start(bus_name, tmp_path, "--spooler", "tasks", "--spooler-processes", "2", mules=0) as launcher:
        wait_lines(launcher, "run", 10)
        wait_until(lambda: event(bus_name, "run")["skips"] > 0, what="skips")
    assert_one_after_the_other(launcher)


@pytest.mark.slow
def test_a_quick_handler_in_many_mules_and_often(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """Every window between a counter and a handler, over and over: the tick is as fast as it goes."""
    write(tmp_path, "pass", "mstimer(1, target='mule', overlap=False)")
    with start(bus_name, tmp_path, mules=3) as launcher:
        wait_lines(launcher, "run", 1500, seconds=60)
    assert_one_after_the_other(launcher)


def test_two_mules_that_each_have_it(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """Target mules: as long as one of them still runs it, none begins again."""
    app(
        tmp_path,
        """
@mstimer(10, target="mules", overlap=False)
def run(number):
    mule = ipcmules.mule_id()
    said("began", mule)
    while mule == 2 and not os.path.exists("go"):
        time.sleep(0.01)
    said("ended", mule)
""",
    )
    with start(bus_name, tmp_path, mules=2) as launcher:
        wait_lines(launcher, "ended", 1)
        wait_until(lambda: event(bus_name, "run")["skips"] > 20, what="skips")
        assert lines(launcher, "ended") == [["1"]]
        assert sorted(lines(launcher, "began")) == [["1"], ["2"]]
        (tmp_path / "go").touch()
        wait_lines(launcher, "ended", 6)


def test_one_that_waits_counts_as_well(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        """
@mstimer(10, target="mule1", overlap=False)
def run(number): said("run", 1)

@rbtimer(0, 1, target="mule1")
def busy(number):
    said("busy", 1)
    while not os.path.exists("go"):
        time.sleep(0.01)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_lines(launcher, "busy", 1)
        wait_until(lambda: event(bus_name, "run")["skips"] > 20, what="skips")
        had, found = len(lines(launcher, "run")), event(bus_name, "run")
        assert found["ticks"] <= had + 1
        (tmp_path / "go").touch()
        wait_lines(launcher, "run", had + 3)


def test_a_handler_that_is_killed(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """What a dead process had in hand is over: by SIGKILL, and one that was stopped first."""
    app(
        tmp_path,
        """
@mstimer(10, target="mule1", overlap=False)
def run(number):
    said("began", os.getpid())
    while not os.path.exists("go"):
        time.sleep(0.01)
    said("ended", 1)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        for count in (1, 2):
            pid = int(wait_lines(launcher, "began", count)[-1][0])
            skips = event(bus_name, "run")["skips"]
            if count == 2:
                os.kill(pid, signal.SIGSTOP)
            wait_until(lambda skips=skips: event(bus_name, "run")["skips"] > skips + 5, what="skips")
            os.kill(pid, signal.SIGKILL)
        wait_lines(launcher, "began", 3)
        (tmp_path / "go").touch()
        wait_lines(launcher, "ended", 5)


def test_nested_and_threaded_runs(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """A handler that itself handles other signals meanwhile is still running."""
    app(
        tmp_path,
        """
@mstimer(5, target="mule1")
def other(number): pass

@mstimer(10, target="mule1", overlap=False)
def run(number):
    said("began", 1)
    while not os.path.exists("go"):
        ipcmules.signal_wait(timeout=0.05)
    said("ended", 1)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_lines(launcher, "began", 1)
        others = event(bus_name, "other")["runs"]
        wait_until(lambda: event(bus_name, "other")["runs"] > others + 20, what="the other's runs")
        wait_until(lambda: event(bus_name, "run")["skips"] > 20, what="skips")
        assert len(lines(launcher, "began")) == 1
        (tmp_path / "go").touch()
        wait_lines(launcher, "ended", 3)


def test_coroutines(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """With ipcmules.aio a run is over when the coroutine is."""
    app(
        tmp_path,
        """
import asyncio
from ipcmules import aio

@mstimer(10, target="mule1", overlap=False)
async def run(number):
    began = time.monotonic_ns()
    await asyncio.sleep(0.1)
    said("run", began, time.monotonic_ns())

@mstimer(10, target="mule1")
async def free(number):
    await asyncio.sleep(0.1)

async def receive():
    while True:
        await aio.mule_get_msg()

def main():
    asyncio.run(receive())
""",
    )
    with Launcher("--bus", bus_name, "--mule=app:main", "--import", "app", cwd=tmp_path) as launcher:
        wait_lines(launcher, "run", 5)
        wait_until(lambda: event(bus_name, "run")["skips"] > 20, what="skips")
        assert event(bus_name, "run")["last_duration"] >= 0.1
        assert event(bus_name, "free")["skips"] == 0
    assert_one_after_the_other(launcher)


def test_in_attached_processes(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """Workers that come and go; what one that is killed had in hand is over."""
    app(
        tmp_path,
        """
@mstimer(10, target="workers", overlap=False)
def run(number):
    said("began", os.getpid())
    while not os.path.exists("go"):
        time.sleep(0.01)
    said("ended", os.getpid())
""",
    )
    environment: dict[str, Any] = {**os.environ, "IPCMULES_BUS": bus_name}
    with Launcher("--bus", bus_name), (tmp_path / "out").open("wb") as out:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", "import app, sys; sys.stdin.read()"],
                cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=out,
            )
            for _ in range(2)
        ]  # fmt: skip

        def said(word: str) -> int:
            return (tmp_path / "out").read_text().count(word)

        wait_until(lambda: said("began") == 1 or said("began") == 2, what="the first runs")
        skips = event(bus_name, "run")["skips"]
        wait_until(lambda: event(bus_name, "run")["skips"] > skips + 10, what="skips")
        workers[0].kill()
        workers[0].wait()
        workers[1].kill()
        workers[1].wait()
        (tmp_path / "go").touch()
        third = subprocess.Popen(
            [sys.executable, "-c", "import app, sys; sys.stdin.read()"],
            cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=out,
        )  # fmt: skip
        wait_until(lambda: said("ended") > 3, what="runs in the third")
        third.communicate()


def test_an_exception(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """It ends the run, and is counted."""
    app(
        tmp_path,
        """
@mstimer(10, target="mule1", overlap=False)
def fails(number): raise RuntimeError
""",
    )
    with start(bus_name, tmp_path):
        wait_until(lambda: event(bus_name, "fails")["runs"] > 5, what="runs that raise")
        found = event(bus_name, "fails")
        assert found["exceptions"] >= found["runs"] - 1
        attached(bus_name, f"import ipcmules; assert ipcmules.remove_timer({found['signal']}) == 1", tmp_path)
        shared = table.open(places(bus_name).table)
        first = shared.mule(1) + table.R_HANDS
        wait_until(lambda: not any(shared.cells[first : first + 4]), what="empty hands")
