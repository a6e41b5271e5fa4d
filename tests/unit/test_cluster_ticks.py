"""Names of the ticks of the cluster's events: the same on each host for one tick, others for others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ipcmules.bus.table import E_TARGET
from ipcmules.events import specs
from ipcmules.kernel import processes
from ipcmules.master.events import ticks_of_cluster
from ipcmules.master.events.catalogue import Event
from ipcmules.master.events.ticks_of_cluster import TickNames


class Host:
    """What one host calls its ticks, on a clock of the test's."""

    def __init__(self, target: str = "mule@any") -> None:
        texts = {E_TARGET: target}
        table = SimpleNamespace(text=lambda _number, cell: texts.get(cell, "handler"))
        self.names = TickNames(table)  # type: ignore[arg-type]

    def cron(self, expression: str, due: float, zone: str = "UTC") -> str | None:
        return self.names.of(_event(specs.cron(expression, tz=zone)), due)

    def timer(self, seconds: float) -> str | None:
        return self.names.of(_event(specs.timer(seconds)), 0.0)


def _event(spec: specs.Spec) -> Event:
    return Event("0" * 32, spec, 7, 1, False, processes.current())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=1_000_000.0)
    monkeypatch.setattr(ticks_of_cluster, "time", SimpleNamespace(time=lambda: found.now))
    return found


def test_crons_by_their_moment() -> None:
    one, two = Host(), Host()
    assert one.cron("*/5 * * * *", 600.0) == two.cron("*/5 * * * *", 600.0)
    names = {
        one.cron("*/5 * * * *", 600.0),
        one.cron("*/5 * * * *", 900.0),
        one.cron("*/10 * * * *", 600.0),
        Host("mules@all").cron("*/5 * * * *", 600.0),
    }
    assert len(names) == 4 and None not in names


def test_timers_by_intervals_of_the_wall_clock(clock: SimpleNamespace) -> None:
    one, two = Host(), Host()
    # One host ticks early in each interval and the other one late, by a scheduler that is never exact.
    first, second = [], []
    for tick in range(20):
        clock.now = 1_000_000.0 + 10 * tick + 0.02 * (tick % 3)
        first.append(one.timer(10))
        clock.now += 9.93
        second.append(two.timer(10))
    assert first == second and len(set(first)) == 20


def test_a_timer_at_the_edge_of_an_interval_misses_none(clock: SimpleNamespace) -> None:
    host = Host()
    names = []
    for tick in range(20):
        clock.now = 1_000_000.0 + 10 * tick + (0.01 if tick % 2 else -0.01)
        names.append(host.timer(10))
    assert len(set(names)) == 20


def test_a_clock_that_was_set_counts(clock: SimpleNamespace) -> None:
    one, two = Host(), Host()
    one.timer(10)
    clock.now += 3600
    assert one.timer(10) == two.timer(10)


def test_what_each_host_does_for_itself(clock: SimpleNamespace) -> None:
    assert Host().names.of(_event(specs.rb_timer(0, 3)), 0.0) is None
