"""Timers and crons with real processes and the real clock: no drift, no storm, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import BusEnvironment
from eventbus import app, attached, event, lines, listed, start, wait_lines
from ipcmules.bus.places import places
from support import run_cli, wait_until


def in_step(bus: str, first: float, interval: float) -> bool:
    """True if the next tick is listed a whole number of intervals after `first`; what drifted never is again.

    Now and then it is listed a little beside that: the list is in another clock (which may be slewed,
    adjtime(3)), and the master may lose the processor between the looks at both.
    """
    intervals = (event(bus, "tick")["next"] - first) / interval
    return bool(abs(intervals - round(intervals)) < 0.1)


def test_ticks_do_not_drift(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """However late they are delivered: the next one is always due at start + k * interval."""
    app(tmp_path, "@timer(0.037, target='mule')\ndef tick(number): time.sleep(0.01)\n")
    with start(bus_name, tmp_path):
        first = wait_until(lambda: event(bus_name, "tick")["next"], what="the first tick")
        for wanted in (5, 20, 60):
            wait_until(
                lambda wanted=wanted: (
                    event(bus_name, "tick")["ticks"] >= wanted and in_step(bus_name, first, 0.037)
                ),
                what="a tick that is due in step with the first one",
            )


def test_a_busy_target_gets_its_ticks_later(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        """
@rbtimer(0.01, 60, target="mule1")
def tick(number):
    while not os.path.exists("go"):
        time.sleep(0.01)
    said("tick", 1)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_until(lambda: event(bus_name, "tick")["ticks"] == 60, what="60 ticks")
        assert event(bus_name, "tick")["runs"] <= 1
        (tmp_path / "go").touch()
        wait_lines(launcher, "tick", 60)
        found = event(bus_name, "tick")
        assert (found["runs"], found["ticks"], found["next"]) == (60, 60, None)
    assert len(lines(launcher, "tick")) == 60


def test_a_stopped_master_does_not_fire_a_storm(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    app(tmp_path, "@timer(0.05, target='mule')\ndef tick(number): pass\n")
    with start(bus_name, tmp_path) as launcher:
        wait_until(lambda: event(bus_name, "tick")["ticks"] > 2, what="ticks")
        began, before = time.monotonic(), event(bus_name, "tick")["ticks"]
        os.kill(launcher.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        time.sleep(3)
        continued = time.monotonic()
        os.kill(launcher.pid, signal.SIGCONT)
        first = event(bus_name, "tick")
        running = (stopped - began) + (time.monotonic() - continued)
        # One for the 60 that were missed, and those of the time it ran.
        assert first["ticks"] - before <= 2 + running / 0.05
        wait_until(lambda: event(bus_name, "tick")["ticks"] > first["ticks"] + 3, what="more ticks")
        wait_until(lambda: in_step(bus_name, first["next"], 0.05), what="a tick in step with those before")


def test_iterations(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        """
@rbtimer(0, 3, target="mule")
def at_once(number): said("at_once", 1)

@rbtimer(0.02, 4, target="mule")
def four(number): said("four", 1)

@rbtimer(0, 5000, target="mule")
def many(number): pass

@signal(7, target="mule")
def seven(number): said("seven", 1)

@signal(8, target="mule1")
def eight(number):
    for _ in range(2):
        ipcmules.add_rb_timer(7, 0, 2)
        ipcmules.add_rb_timer(7, 0.03, 1)
    said("added", 1)
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_lines(launcher, "at_once", 3)
        wait_lines(launcher, "four", 4)
        wait_until(lambda: event(bus_name, "many")["runs"] == 5000, what="5000 runs")
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        wait_lines(launcher, "seven", 6)
        # Those of run time are gone with their last tick; what the app registered is known to be done.
        wait_until(lambda: len(listed(bus_name)) == 3, what="the end of the others")
        assert {each["next"] for each in listed(bus_name)} == {None}
    counts = {name: len(lines(launcher, name)) for name in ("at_once", "four", "seven")}
    assert counts == {"at_once": 3, "four": 4, "seven": 6}


def test_targets_that_name_nothing(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(tmp_path, "@mstimer(10, target='mule7')\ndef tick(number): pass\nipcmules.add_ms_timer(3, 10)\n")
    with start(bus_name, tmp_path) as launcher:
        wait_until(lambda: min(each["ticks"] for each in listed(bus_name)) > 20, what="ticks")
    assert launcher.stderr.count("signal 255 dropped") == 1
    assert launcher.stderr.count("signal 3 dropped") == 1


def test_nothing_fires_while_the_bus_stops(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(
        tmp_path,
        """
@mstimer(5, target="mule1")
def tick(number):
    if os.path.exists("hold"):
        said("held", 1)
        time.sleep(1)
        os.unlink("hold")
""",
    )
    with start(bus_name, tmp_path) as launcher:
        wait_until(lambda: event(bus_name, "tick")["runs"] > 3, what="runs")
        (tmp_path / "hold").touch()
        wait_lines(launcher, "held", 1)
    # It ends at all: a mule that drains 5 ms ticks while more come would take the whole mercy.
    assert launcher.code == 0
    assert "mercy" not in launcher.stderr


# Crons


def minute_from_now(zone: str, minutes: int = 1) -> str:
    """What an expression in this zone must say to come in so many minutes."""
    import zoneinfo
    from datetime import datetime, timedelta

    then = datetime.now(zoneinfo.ZoneInfo(zone)) + timedelta(minutes=minutes)
    return f"{then.minute} {then.hour} * * *"


@pytest.mark.slow
def test_a_cron_fires_in_the_zone_of_who_registers_it(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """Three ways to say the same minute: the app sets TZ, an attached process has another, tz= names one."""
    # There must be time to start in: seconds of this minute, or else the whole next one.
    minutes = 1 if time.time() % 60 < 40 else 2
    kiritimati, rome, local = (
        minute_from_now(each, minutes) for each in ("Pacific/Kiritimati", "Europe/Rome", "Asia/Tokyo")
    )
    app(
        tmp_path,
        f"""
os.environ["TZ"] = "Pacific/Kiritimati"
time.tzset()
@cron("{kiritimati}", target="mule")
def theirs(number): said("theirs", time.time())

@cron("{rome}", tz="Europe/Rome", target="mule")
def named(number): said("named", time.time())

@signal(7, target="mule")
def seven(number): said("seven", time.time())

minute, hour = map(int, "{local}".split()[:2])
""",
    )
    minute, hour = map(int, local.split()[:2])
    with start(bus_name, tmp_path) as launcher:
        attached(
            bus_name,
            f"import ipcmules\nipcmules.add_cron(7, {minute}, {hour}, -1, -1, -1)",
            tmp_path,
            TZ="Asia/Tokyo",
        )
        due = {each["next"] for each in listed(bus_name)}
        assert len(due) == 1
        assert {each["zone"] for each in listed(bus_name)} == {
            "Pacific/Kiritimati",
            "Europe/Rome",
            "Asia/Tokyo",
        }
        times = [
            float(wait_lines(launcher, each, 1, seconds=150)[0][0]) for each in ("theirs", "named", "seven")
        ]
        assert min(times) >= due.pop()
        # Not again in this minute, and a reload does not fire it again either.
        app(tmp_path, (tmp_path / "app.py").read_text())
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        assert all(each["next"] > time.time() + 3600 for each in listed(bus_name))
    state = json.loads(Path(places(bus_name).crons).read_text())
    assert len(state) == 2
    assert all(each % 60 == 0 for each in state.values())


def test_a_minute_that_was_fired_is_not_fired_by_the_next_master(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """The clock may have been set back meanwhile: here the note that is left is of a minute to come."""
    app(tmp_path, "@cron('* * * * *', target='mule')\ndef tick(number): pass\n")
    with start(bus_name, tmp_path):
        (found,) = listed(bus_name)
    # The identity is what the process says.
    source = "import app\nfrom ipcmules.api import timers as scheduling\nimport json\n"
    source += "print(json.dumps([each.digest.hex() for each in scheduling._recording().records()]))"
    environment = {each: value for each, value in os.environ.items() if each != "IPCMULES_BUS"}
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (digest,) = json.loads(done.stdout)
    later = found["next"] + 600
    state = Path(places(bus_name).state)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    Path(places(bus_name).crons).write_text(json.dumps({digest: later}))
    with start(bus_name, tmp_path):
        assert event(bus_name, "tick")["next"] == later + 60
    Path(places(bus_name).crons).write_text("nonsense")
    with start(bus_name, tmp_path) as launcher:
        assert event(bus_name, "tick")["next"] < later
    assert ".json cannot be read" in launcher.stderr


def test_a_killed_master_and_its_successor(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    app(tmp_path, "@rbtimer(0.02, 5, target='mule')\ndef five(number): said('five', 1)\n")
    first = start(bus_name, tmp_path)
    with first:
        wait_lines(first, "five", 5)
        first.process.kill()
        first.wait()
    with start(bus_name, tmp_path) as second:
        wait_lines(second, "five", 5)
    assert len(lines(second, "five")) == 5
