"""Crons where somebody sets the clock: the clock is the test's own, the loop and its descriptor are real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipcmules.bus.places import Places
from ipcmules.events import specs
from ipcmules.kernel import processes
from ipcmules.master.events import crons as crons_module
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.crons import Crons
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.loop.selector import Loop

#: 2026-03-02, a Monday, 10:00:30 UTC.
START = 1772445630.0
HOUR = 3600.0


class Clock:
    """What crons.py sees of the module time."""

    CLOCK_REALTIME = time.CLOCK_REALTIME

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now


class Bench:
    """The crons of a master, what they fired and when."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        self.clock = Clock()
        self.fired: list[float] = []
        self.where = Places("t", str(directory), str(directory / "state"), "/ipcmules.0.none.t.")
        self.crons = Crons(loop, self._fire, Fired(self.where, True))

    def _fire(self, _event: Event, _count: int, _due: float) -> None:
        self.fired.append(self.clock.now)

    def add(self, expression: str, runtime: bool = False) -> Event:
        spec = specs.cron(expression, tz="UTC")
        event = Event("0" * 32, spec, 7, 1, runtime, processes.current())
        self.crons.start(event)
        return event

    def at(self, moment: float) -> None:
        """The clock shows this, and the descriptor has woken the master."""
        self.clock.now = moment
        self.crons._look()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    loop = Loop()
    made = Bench(loop, tmp_path)
    monkeypatch.setattr(crons_module, "time", made.clock)
    made.crons._seen = START
    yield made
    made.crons.close()
    loop.close()


def test_at_its_minute_and_not_before(bench: Bench) -> None:
    event = bench.add("*/5 * * * *")
    assert bench.crons.next(event) == START + 270
    bench.at(START + 269)
    assert bench.fired == []
    bench.at(START + 270.01)
    bench.at(START + 271)
    assert bench.fired == [START + 270.01]
    assert bench.crons.next(event) == START + 570


def test_registered_within_a_minute_that_matches_it_comes_with_the_next(bench: Bench) -> None:
    event = bench.add("* * * * *")
    assert bench.crons.next(event) == START + 30
    bench.clock.now = START + 30
    bench.crons.stop(event)
    bench.crons.start(event)
    assert bench.crons.next(event) == START + 90


def test_a_machine_that_slept_two_hours_fires_once(bench: Bench) -> None:
    event = bench.add("*/5 * * * *")
    bench.at(START + 2 * HOUR)
    assert bench.fired == [START + 2 * HOUR]
    assert bench.crons.next(event) == START + 2 * HOUR + 270


def test_a_clock_that_is_corrected_forward_fires_nothing(bench: Bench) -> None:
    event = bench.add("*/5 * * * *")
    bench.at(START + 1000 * HOUR)
    assert bench.fired == []
    assert bench.crons.next(event) == START + 1000 * HOUR + 270


def test_a_clock_set_back_a_little_fires_nothing_twice(bench: Bench) -> None:
    event = bench.add("*/5 * * * *")
    bench.at(START + 270)
    bench.at(START - HOUR)
    bench.at(START + 269.99)
    bench.at(START + 300)
    assert bench.fired == [START + 270]
    assert bench.crons.next(event) == START + 570


def test_a_clock_that_is_corrected_back_begins_there(bench: Bench) -> None:
    event = bench.add("*/5 * * * *")
    bench.at(START + 270)
    bench.at(START - 1000 * HOUR)
    assert bench.crons.next(event) == START - 1000 * HOUR + 270
    bench.at(START - 1000 * HOUR + 270)
    assert len(bench.fired) == 2


def test_a_new_master_and_a_clock_that_was_set_back(bench: Bench, tmp_path: Path) -> None:
    """What fired is known to the next master: those of run time only to this one."""
    bench.add("*/5 * * * *")
    bench.at(START + 270)
    known = Fired(bench.where, True)
    assert known.last("0" * 32) == START + 270
    assert Fired(bench.where, False).last("0" * 32) == 0
    for number in range(3):
        known.note(f"{number:032x}", START + number * 24 * HOUR, keep=number != 1)
    known.save()
    again = Fired(bench.where, True)
    assert [again.last(f"{number:032x}") for number in range(3)] == [0, 0, START + 48 * HOUR]
