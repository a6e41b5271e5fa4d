"""The snapshot of a bus: what is told of processes, signals, events, locks, tasks and the rest."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.kernel import processes
from ipcmules.signals import running
from ipcmules.snapshot import Snapshot, take
from minibus import MiniBus, mini_bus
from support import Launcher, run_cli, wait_until

APP = """
import os, time
import ipcmules

def slow(number):
    with open("began", "w"):
        pass
    until = time.monotonic() + 30
    while not os.path.exists("go") and time.monotonic() < until:
        time.sleep(0.005)

def quick(number):
    if number == 12:
        raise ValueError("twelve")

ipcmules.register_signal(11, "mule1", slow)
ipcmules.register_signal(12, "mule2", quick)
ipcmules.register_signal(13, "mule2", quick)
ipcmules.add_timer(13, 0.05)
"""


def _seen(bus_name: str, events: bool = False) -> Snapshot:
    return take(places(bus_name), events=events)


def test_processes_signals_events_and_locks(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    options = ("--bus", bus_name, "--import", "app.py", "--mules", "2", "--locks", "2", "--cache", "name=c")
    with Launcher(*options, "--queue", "4", cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        ipcmules.signal(12)
        wait_until(lambda: _signal(_seen(bus_name), 12).exceptions == 1, what="its exception")
        ipcmules.signal(11)
        wait_until((tmp_path / "began").exists, what="the handler")
        ipcmules.signal(11)
        ipcmules.lock(1)
        ipcmules.cache("c").set("key", b"value")
        mine = ipcmules.status(events=True)
        first, second = mine.mules
        assert (first.kind, first.signal, first.state) == ("signal", 11, "busy")
        assert first.doing == "handler of signal 11"
        assert 0 <= first.doing_since <= first.uptime < 60 and first.memory > 1 << 20 and first.cpu >= 0
        assert mine.master.pid == launcher.pid and mine.master.memory > 1 << 20
        assert second.all_exceptions == 1 and second.all_signals >= second.signals > 0
        eleven = _signal(mine, 11)
        assert (eleven.handler, eleven.target, eleven.runs) == ("slow", "mule1", 1)
        assert (eleven.pending, eleven.running) == (1, 1)
        assert [each.holder for each in mine.locks] == [0, os.getpid(), 0]
        assert [(each.name, each.entries) for each in mine.caches] == [("c", 1)]
        assert mine.ring is not None and mine.ring.slots == 4
        [timer] = _events(bus_name)
        assert (timer.signal, timer.kind, timer.handler) == (13, "timer", "quick")
        assert timer.last is not None and timer.last <= time.time() and timer.ticks > 0
        assert timer.late is not None and 0 <= timer.late < 10
        assert json.loads(json.dumps(mine.to_json()))["locks_held"] == [
            {"number": 1, "holder": os.getpid(), "waiters": 0}
        ]
        (tmp_path / "go").touch()
        # What the one before has counted stays, whatever becomes of it.
        before = _seen(bus_name).mules[1].all_signals
        os.kill(second.pid, signal.SIGKILL)
        after = wait_until(lambda: _respawned(bus_name, second.pid), what="its successor")
        assert after.mules[1].all_signals >= before > after.mules[1].signals - 1
        assert (after.mules[1].respawns, after.mules[1].all_exceptions) == (1, 1)
        assert "SIGKILL" in after.mules[1].last_death


def _signal(seen: Snapshot, number: int) -> ipcmules.snapshot.values.Signal:
    return next(each for each in seen.signals if each.number == number)


def _events(bus_name: str) -> list[ipcmules.snapshot.values.Event]:
    def look() -> list[ipcmules.snapshot.values.Event]:
        return [each for each in _seen(bus_name, True).events or () if each.late is not None]

    return wait_until(look, what="a tick that was handled")


def _respawned(bus_name: str, pid: int) -> Snapshot | None:
    seen = _seen(bus_name)
    return seen if seen.mules[1].pid not in (0, pid) and seen.mules[1].state == "waiting" else None


def test_tasks(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    with handled.start():
        for number in range(3):
            handled.call("give", number)
        handled.call("fails", "no good")
        handled.call("quiet", 1, at=time.time() + 3600)
        wait_until(lambda: _has(bus_name, dead=1), what="the dead one")
        waits = handled.call("waits")
        wait_until(lambda: waits.status() == "running", what="the one that waits")
        handled.call("give", 4)
        seen = _seen(bus_name)
        [directory] = seen.tasks.directories
        assert (directory.path, directory.running, directory.scheduled) == (str(handled.directory), 1, 1)
        assert directory.waiting == 1 and directory.oldest is not None and not directory.sampled
        figures = {each.function: each for each in seen.tasks.functions}
        assert (figures["give"].done, figures["give"].failed) == (3, 0)
        assert (figures["fails"].failed, figures["fails"].dead, figures["fails"].done) == (2, 1, 0)
        assert figures["waits"].running == 1
        [spooler] = seen.spoolers
        assert (spooler.kind, spooler.task.endswith(waits.id)) == ("task", True)
        assert 0 <= spooler.doing_since < 60
        os.kill(spooler.pid, signal.SIGKILL)
        seen = wait_until(lambda: _has(bus_name, killed=1), what="the next attempt")
        assert seen.spoolers[0].all_messages >= 3
        (tmp_path / "spool" / "go").touch()
        wait_until(lambda: waits.status() == "succeeded", what="its end")


def _has(bus_name: str, dead: int = 0, killed: int = 0) -> Snapshot | None:
    seen = _seen(bus_name)
    found = sum(each.dead for each in seen.tasks.directories) >= dead
    waits = [each for each in seen.tasks.functions if each.function == "waits"]
    return seen if found and (not killed or (waits and waits[0].killed == killed)) else None


def test_no_bus(bus_env: BusEnvironment, bus_name: str) -> None:
    seen = _seen(bus_name)
    assert (seen.state, seen.mules, seen.events, seen.processes) == ("absent", (), None, ())
    with pytest.raises(ipcmules.NotAttached):
        ipcmules.status()
    assert json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["tasks"]["functions"] == []


def test_totals_never_go_down(bus_env: BusEnvironment, bus_name: str) -> None:
    with mini_bus(bus_name) as bus:
        cells, record = bus.table.cells, bus.table.mule(1)
        cells[record + table.R_SIGNALS] = 5
        for count in (7, 0, 3):
            _claimed(bus, record)
            assert cells[record + table.R_SIGNALS] == 0
            cells[record + table.R_SIGNALS] = count
        assert running.total(cells, record, table.R_SIGNALS) == 15
        # Killed between the two stores: what is in the sum already is not counted twice.
        cells[record + table.R_ALL_SIGNALS] = 2 * 15 | 1
        assert running.total(cells, record, table.R_SIGNALS) == 15
        _claimed(bus, record)
        assert running.total(cells, record, table.R_SIGNALS) == 15


def _claimed(bus: MiniBus, record: int) -> None:
    running.open_record(bus.table.cells, record)
    running.close_record()


def test_usage_of_a_process() -> None:
    used = processes.usage(os.getpid())
    assert used.memory > 1 << 20 and used.cpu > 0
    assert processes.usage(2**22 - 1) == (0, 0.0)
