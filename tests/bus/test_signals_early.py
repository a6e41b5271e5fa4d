"""Signals raised before the app is loaded: nobody has registered them yet, and they are not lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus import liveness, table
from ipcmules.bus.places import places
from ipcmules.kernel import atomics
from ipcmules.master.leftovers import saved_signals
from minibus import MiniBus, drain, mini_bus
from support import Launcher, run_cli, wait_until


@pytest.fixture
def bus(bus_name: str, bus_env: object) -> Iterator[MiniBus]:
    with mini_bus(bus_name) as made:
        saved_signals.give(made.where, made.description, made.table)
        made.table.cells[table.H_STATE] = table.STARTING
        yield made


def held(bus: MiniBus) -> int:
    return atomics.value(bus.table.counter(bus.layout.held, 7))


def become_ready(bus: MiniBus) -> None:
    bus.registry().register(7, "mule1", print)
    bus.table.cells[table.H_STATE] = table.READY
    releasing = bus.raiser()
    saved_signals.release(bus.table, releasing)
    releasing.close()


def test_they_are_raised_when_the_bus_is_ready(bus: MiniBus) -> None:
    raising = bus.raiser()
    for raise_it in (lambda: raising.raise_signal(7), raising.bind(7), raising.bind(8)):
        raise_it()
    assert held(bus) == 2
    become_ready(bus)
    assert held(bus) == 0 and drain(bus.taker("mule1")) == [7, 7]
    assert bus.table.cells[table.H_DROPPED] == 1  # 8


@pytest.mark.parametrize("late", ["before", "after"])
def test_a_raise_while_it_becomes_ready_is_raised_once(
    bus: MiniBus, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """The bus is ready just before it is held, or just after."""

    count = atomics.increment

    def increment(address: int) -> int:
        monkeypatch.setattr(atomics, "increment", count)
        if late == "before":
            become_ready(bus)
        count(address)
        if late == "after":
            become_ready(bus)
        return 0

    raising = bus.raiser()
    monkeypatch.setattr(atomics, "increment", increment)
    raising.raise_signal(7)
    assert held(bus) == 0 and drain(bus.taker("mule1")) == [7]


APP = """
import os, time
from ipcmules.decorators import signal

while not os.path.exists("gate"):
    time.sleep(0.01)

@signal(7, target="mule1")
def handler(number):
    print("handled", number, flush=True)
"""


def test_a_first_start_that_is_killed_keeps_them(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mule", "--import", "app")

    def can_raise() -> bool:
        return run_cli("signal", "--bus", bus_name, "7").returncode == 0

    with Launcher(*options, cwd=tmp_path, ready=False) as launcher:
        wait_until(can_raise, what="a bus that can be joined")
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
    wait_until(lambda: not liveness.is_alive(places(bus_name)), what="the end of the lock")
    with Launcher(*options, cwd=tmp_path, ready=False) as launcher:
        wait_until(can_raise, what="a bus that can be joined again")
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        (tmp_path / "gate").touch()
        launcher.wait_ready()
        wait_until(lambda: launcher.stdout.count("handled 7") == 2, what="both signals")
        wait_until(lambda: "signal 8 dropped" in launcher.stderr, what="the word about the other one")


def test_workers_get_what_was_raised_before_they_were_there_again(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP.replace('"mule1"', '"workers"'))
    options = ("--bus", bus_name, "--processes", "2", "--import", "app")
    gate = tmp_path / "gate"
    gate.touch()
    with Launcher(*options, cwd=tmp_path):
        gate.unlink()
    for end in (signal.SIGKILL, None):
        with Launcher(*options, cwd=tmp_path, ready=False) as launcher:
            wait_until(
                lambda: run_cli("signal", "--bus", bus_name, "7").returncode == 0, what="a bus to be joined"
            )
            if end is not None:
                os.kill(launcher.pid, end)
                launcher.wait()
                continue
            gate.touch()
            wait_until(lambda: launcher.stdout.count("handled 7") == 4, what="both signals in both workers")
