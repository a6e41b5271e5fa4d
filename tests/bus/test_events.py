"""Timers, crons and monitors on a bus: from every process, over reloads, respawns and the master's death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from conftest import BusEnvironment
from eventbus import app, attached, event, lines, listed, start, wait_lines
from ipcmules.bus import table
from ipcmules.bus.places import places
from support import Launcher, run_cli, wait_until

TICK = """
@mstimer({milliseconds}, target="mule")
def tick(number):
    said("tick", {version})
"""


def reload(bus: str, code: int = 0) -> str:
    done = run_cli("reload", "--bus", bus)
    assert done.returncode == code, done.stderr
    return done.stderr


def kill_mule(bus: str) -> None:
    """Kill mule 1 and wait for its successor."""
    shared = table.open(places(bus).table)
    cell = shared.mule(1) + table.R_PID
    pid = int(shared.cells[cell])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shared.cells[cell] not in (0, pid), what="the successor")


def test_ten_processes_that_load_one_app_have_one_event(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    app(tmp_path, "@timer(3600, target='mule')\ndef one(n): pass\n", "one")
    app(tmp_path, "for each in range(3):\n @cron(-1, -1, -1, -1, each)\n def two(n): pass\n", "two")
    app(tmp_path, "import one, two\nipcmules.add_timer(5, 60)\nipcmules.add_timer(5, 61)")
    program = "import importlib, sys\nfor each in sys.argv[1:]: importlib.import_module(each)"
    with start(bus_name, tmp_path, "--processes", "1"):
        before = {(each["kind"], each["schedule"], each["signal"]) for each in listed(bus_name)}
        assert len(before) == len(listed(bus_name)) == 6
        environment = {
            **os.environ,
            "IPCMULES_BUS": bus_name,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        }
        orders = [["app"], ["two", "one", "app"], ["one", "app"], ["two", "app"], ["app", "one"]] * 2
        running = [
            subprocess.Popen([sys.executable, "-c", program, *each], env=environment) for each in orders
        ]
        assert [each.wait(60) for each in running] == [0] * 10
        assert {(each["kind"], each["schedule"], each["signal"]) for each in listed(bus_name)} == before
        assert len(listed(bus_name)) == 6


def test_multiprocessing_children_of_an_embedding_program(bus_env: BusEnvironment, tmp_path: Path) -> None:
    app(tmp_path, TICK.format(milliseconds=50, version=1))
    (tmp_path / "main.py").write_text(
        """
import multiprocessing, sys
import ipcmules, app
def child(queue):
    queue.put(len(ipcmules.list_events()))
if __name__ == "__main__":
    with ipcmules.Bus(mules=1, imports=["app"]) as bus:
        found = []
        for method in ("spawn", "fork"):
            context = multiprocessing.get_context(method)
            queue = context.Queue()
            children = [context.Process(target=child, args=(queue,)) for _ in range(5)]
            for each in children: each.start()
            found += [queue.get(timeout=30) for _ in children]
            for each in children: each.join()
        print("counts", found, len(bus.list_events()), file=sys.stderr)
        while bus.list_events()[0]["runs"] < 3: pass
"""
    )
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"counts {[1] * 10} 1" in done.stderr


def test_from_every_kind_of_process(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """In the template while it loads, in a mule and a worker before and after ready, in a child, attached."""
    app(
        tmp_path,
        """
@signal(7, target="mule1")
def seven(number): pass

ipcmules.add_timer(7, 1001)

@postfork
def forked():
    if ipcmules.mule_id() == 1:
        ipcmules.add_timer(7, 1002)
        if os.fork() == 0:
            ipcmules.add_timer(7, 1003)
            os._exit(0)
        os.wait()
    elif ipcmules.worker_id() == 1:
        ipcmules.add_ms_timer(7, 1004)

@signal(8, target="mule1")
def eight(number):
    ipcmules.add_rb_timer(7, 1005, 2)
    said("eight", len(ipcmules.list_events()))
""",
    )
    with start(bus_name, tmp_path, "--processes", "1") as launcher:
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        assert wait_lines(launcher, "eight", 1) == [["5"]]
        found = attached(
            bus_name,
            """
import ipcmules, json
bus = ipcmules.attach()
assert bus.add_cron(7, "@daily", tz="Europe/Rome") is True
assert ipcmules.add_cron(7, 0, -2, -1, -1, -1) is True
assert bus.add_timer(7, 1006.5) is None
print(json.dumps(ipcmules.list_events()))
""",
            tmp_path,
        )
        kinds = [(each["kind"], each["interval"], each["runtime"]) for each in found]
        assert sorted(kinds, key=repr) == sorted(
            [
                ("timer", 1001, False), ("timer", 1002, True), ("timer", 1003, True),
                ("mstimer", 1.004, True), ("rbtimer", 1005, True), ("timer", 1006.5, True),
                ("cron", None, True), ("cron", None, True),
            ],
            key=repr,
        )  # fmt: skip
        assert {(each["signal"], each["target"], each["handler"]) for each in found} == {
            (7, "mule1", "seven")
        }


def test_a_list_says_what_there_is(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        TICK.format(milliseconds=20, version=1)
        + """
@cron("0 12 * * mon-fri", tz="Europe/Rome", target="mule1")
def noon(number): pass
ipcmules.add_timer(99, 3600)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_lines(launcher, "tick", 3)
        found = {each["handler"]: each for each in listed(bus_name)}
        tick, noon, nobody = found["tick"], found["noon"], found[None]
        assert tick["ticks"] >= tick["runs"] >= 3
        assert (tick["kind"], tick["interval"], tick["target"]) == ("mstimer", 0.02, "mule")
        assert tick["last_duration"] > 0
        assert (tick["exceptions"], tick["skips"], tick["overlap"]) == (0, 0, True)
        assert abs(tick["next"] - time.time()) < 60
        assert (noon["zone"], noon["runs"], noon["last_duration"]) == ("Europe/Rome", 0, None)
        assert noon["next"] % 3600 == 0
        assert noon["next_iso"]
        assert (nobody["signal"], nobody["target"], nobody["runs"]) == (99, None, 0)
        done = run_cli("events", "--bus", bus_name)
        assert done.returncode == 0
        for text in ("tick", "noon", "0 12 * * mon-fri", "Europe/Rome", "every 20 ms", "mule1", "mstimer"):
            assert text in done.stdout.replace("\n", " ")
        assert len(json.loads(run_cli("events", "--bus", bus_name, "--json").stdout)) == 3
    gone = run_cli("events", "--bus", bus_name)
    assert gone.returncode == 1
    assert "no running bus" in gone.stderr


def test_remove(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        TICK.format(milliseconds=20, version=1)
        + """
ipcmules.register_signal(7, "mule", tick)
ipcmules.add_timer(7, 3600)
ipcmules.add_rb_timer(7, 3600)
ipcmules.add_cron(7, "@hourly")
""",
    )
    remove = """
import ipcmules, json
from ipcmules.bus import table
number = next(each["signal"] for each in ipcmules.list_events() if each["kind"] == "mstimer")
found = [ipcmules.remove_timer(7), ipcmules.remove_timer(7), ipcmules.remove_cron(7)]
found += [ipcmules.remove_timer(number), ipcmules.remove_cron(number), ipcmules.remove_file_monitor(7)]
print(json.dumps(found))
"""
    with start(bus_name, tmp_path) as launcher:
        wait_lines(launcher, "tick", 1)
        assert attached(bus_name, remove, tmp_path) == [2, 0, 1, 1, 0, 0]
        assert listed(bus_name) == []


def test_a_respawn_registers_nothing_new(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(tmp_path, TICK.format(milliseconds=50, version=1) + "ipcmules.add_rb_timer(9, 0, 2)\n")
    for lazy in ((), ("--lazy-apps",)):
        with start(bus_name, tmp_path, *lazy) as launcher:
            before = event(bus_name, "tick")
            kill_mule(bus_name)
            had = len(lines(launcher, "tick"))
            wait_lines(launcher, "tick", had + 3)
            after = {each["handler"]: each for each in listed(bus_name)}
            assert len(after) == 2
            assert after["tick"]["ticks"] > before["ticks"]
            assert after[None]["ticks"] == 2


def test_a_reload_follows_the_new_code(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    same = """
@timer(1000, target="mule")
def same(number): pass

@rbtimer(0, 2, target="mule")
def once(number):
    said("once", 1)
"""
    removed = "@timer(2000)\ndef removed(number): pass\n"
    new = "@timer(2000)\ndef new(number): pass\n"
    app(tmp_path, same + TICK.format(milliseconds=100_000, version=1) + removed)
    with start(bus_name, tmp_path, mules=2) as launcher:
        wait_lines(launcher, "once", 2)
        before = {each["handler"]: each for each in listed(bus_name)}
        number = attached(
            bus_name,
            "import ipcmules, json, os, signal\n"
            "ipcmules.add_timer(5, 4000)\n"
            "print(json.dumps(len(ipcmules.list_events())))",
            tmp_path,
        )
        assert number == 5
        app(tmp_path, same + TICK.format(milliseconds=50, version=2) + new)
        reload(bus_name)
        # While the mules were being replaced the old ones had ticks too.
        wait_until(lambda: lines(launcher, "tick").count(["2"]) > 3, what="ticks of the new code")
        after = {each["handler"]: each for each in listed(bus_name)}
        # What the attached process registered at run time went with it.
        assert set(after) == {"same", "once", "tick", "new"}
        assert after["tick"]["signal"] == before["tick"]["signal"]
        # Their clocks run on: an unchanged timer keeps its phase, one with its iterations done stays done.
        assert after["same"]["next"] == pytest.approx(before["same"]["next"], abs=0.5)
        assert after["once"]["ticks"] == 2
        assert {each["generation"] for each in after.values()} == {2}
        assert len(lines(launcher, "once")) == 2
        assert "events that the new code does not register: timer of signal" in launcher.stderr


def test_a_reload_that_fails_takes_back(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    code = TICK.format(milliseconds=3_600_000, version=1) + "@timer(1000)\ndef other(number): pass\n"
    app(tmp_path, code)
    with start(bus_name, tmp_path) as launcher:
        before = {each["handler"]: each for each in listed(bus_name)}
        app(
            tmp_path,
            TICK.format(milliseconds=20, version=2) + "@timer(9)\ndef new(n): pass\nraise SystemError",
        )
        reload(bus_name, code=1)
        launcher.wait_log("SystemError")
        # And one whose processes cannot live, which are rolled back.
        app(
            tmp_path,
            TICK.format(milliseconds=30, version=3)
            + "@timer(9)\ndef new(n): pass\n@postfork\ndef end():\n    os._exit(3)\n",
        )
        reload(bus_name, code=1)
        after = {each["handler"]: each for each in listed(bus_name)}
        assert set(after) == set(before)
        for name, each in after.items():
            assert each["interval"] == before[name]["interval"]
            assert each["generation"] == 1
            assert each["next"] == pytest.approx(before[name]["next"], abs=0.5)
        had = len(lines(launcher, "tick"))
        app(tmp_path, TICK.format(milliseconds=20, version=4))
        reload(bus_name)
        wait_until(lambda: ["4"] in lines(launcher, "tick")[had:], what="ticks of the code that works")


def test_a_new_master_has_the_events_when_the_app_is_loaded(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    app(tmp_path, TICK.format(milliseconds=50, version=1))
    launcher = start(bus_name, tmp_path)
    with launcher:
        wait_lines(launcher, "tick", 2)
        launcher.process.kill()
        launcher.wait()
    with start(bus_name, tmp_path) as second:
        wait_lines(second, "tick", 2)
        assert len(listed(bus_name)) == 1


def test_an_attached_process_takes_its_events_to_the_next_bus(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    program = """
import ipcmules, sys
ipcmules.register_signal(7, "worker", lambda number: print("seven", number, flush=True))
ipcmules.add_ms_timer(7, 30)
ipcmules.add_rb_timer(8, 0, 1)  # done, and not to be done again
sys.stdin.read()
"""
    environment = {**os.environ, "IPCMULES_BUS": bus_name}
    with Launcher("--bus", bus_name):
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"seven 7\n"
    try:
        with Launcher("--bus", bus_name):
            wait_until(lambda: [each["kind"] for each in listed(bus_name)] == ["mstimer"], what="the timer")
            wait_until(lambda: listed(bus_name)[0]["runs"] > 2, what="its runs")
    finally:
        process.communicate()
    assert process.returncode == 0


def test_recorded_before_there_is_a_bus(bus_env: BusEnvironment, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        """
import ipcmules
ipcmules.register_signal(7, "mule", print)
ipcmules.add_ms_timer(7, 20)
if __name__ == "__main__":
    with ipcmules.Bus(mules=1) as bus:
        ipcmules.add_timer(7, 3600)
        while max(each["runs"] for each in bus.list_events()) < 3: pass
        print("found", [(each["kind"], each["runtime"]) for each in bus.list_events()], flush=True)
        assert bus.remove_timer(7) == 2
        assert bus.list_events() == []
"""
    )
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "found [('mstimer', False), ('timer', False)]" in done.stdout


@pytest.mark.slow
def test_ten_thousand_at_once(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    source = """
import ipcmules, json
for each in range(10_000):
    ipcmules.add_timer(each % 256, 3600 + each)
with ipcmules.attach({name!r}) as bus:
    print(json.dumps(len(bus.list_events())))
"""
    with Launcher("--bus", bus_name):
        assert attached("", source.format(name=bus_name), tmp_path) == 10_000


@pytest.mark.parametrize("more", [(), ("--lazy-apps",)])
def test_thousands_while_the_app_is_loaded(
    more: tuple[str, ...], bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """They are published together, but the app can list and remove what it has registered so far."""
    app(
        tmp_path,
        """
asked = []
from ipcmules.bus import control
ask = control.ask
control.ask = lambda *all, **more: (asked.append(1), ask(*all, **more))[1]
ipcmules.add_timer(5, 60)
ipcmules.add_timer(6, 61)
said("first", len(asked), len(ipcmules.list_events()), ipcmules.remove_timer(5))
for each in range(2500):
    ipcmules.add_timer(7, 3600 + each)
@signal(8, target="mule")
def eight(number): said("asked", len(asked))
""",
    )
    with start(bus_name, tmp_path, *more) as launcher:
        assert len(listed(bus_name)) == 2501
        assert lines(launcher, "first") == [["0", "2", "1"]]
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        assert wait_lines(launcher, "asked", 1) == [["6"]]  # publish, list, remove, and three thousands
        assert not {5} & {each["signal"] for each in listed(bus_name)}


def test_wrong_arguments(bus_env: BusEnvironment) -> None:
    for wrong in (0, -1, float("nan"), 1e300):
        with pytest.raises(ValueError):
            ipcmules.add_timer(7, wrong)
    for number in (-1, 256):
        with pytest.raises(ValueError):
            ipcmules.add_timer(number, 1)
    anything: Any = ipcmules
    for call in (
        lambda: anything.add_timer("7", 1), lambda: anything.add_timer(7, "1"),
        lambda: anything.add_cron(7, 1, 2), lambda: anything.add_file_monitor(7, 3),
        lambda: anything.remove_timer(None),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="60"):
        ipcmules.add_cron(7, 60, -1, -1, -1, -1)
    with pytest.raises(ValueError, match="Nowhere"):
        ipcmules.add_cron(7, "* * * * *", tz="Nowhere/Else")
    with pytest.raises(ipcmules.NotAttached):
        ipcmules.list_events()
    assert ipcmules.remove_timer(7) == 0
