"""However many files there are, the master does a bounded part of the work a turn of its loop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.master.leftovers import feeder as feeding
from ipcmules.master.leftovers.feeder import Feeder
from ipcmules.master.loop.selector import Loop
from ipcmules.messages import kept
from messagebus import MessageBus, message_bus, no_signal


class Counter:
    """How much of something was done, at most a turn and in all."""

    def __init__(self) -> None:
        self.most = self.all = self.now = 0

    def add(self, count: int = 1) -> None:
        self.now += count

    def turn(self) -> None:
        self.most, self.all, self.now = max(self.most, self.now), self.all + self.now, 0


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def turns(loop: Loop, *counters: Counter) -> None:
    """Run the loop until it has nothing to do at once."""
    while True:
        for each in counters:
            each.turn()
        if not loop._timers:
            return
        loop.run_once()


def test_dead_letters_cost_a_bounded_part_of_a_turn_each_once(
    bus_env: BusEnvironment, bus_name: str, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        for number in range(300):
            kept.store(bus.where, b"dead", "mule1", "test")
            if number % 100 == 0:
                kept.store(bus.where, b"%d" % number, "mule1", "test", again=True)
        opened, named, looks = Counter(), Counter(), Counter()
        header, batches = kept.header, kept.batches

        def counted_header(path: str) -> kept.Kept:
            opened.add()
            return header(path)

        def counted_batches(where: object, most: int) -> Iterator[list[str]]:
            looks.add()
            for names in batches(bus.where, most):
                named.add(len(names))
                yield names

        monkeypatch.setattr(kept, "header", counted_header)
        monkeypatch.setattr(kept, "batches", counted_batches)
        monkeypatch.setattr(feeding, "NAMES", 40)
        monkeypatch.setattr(feeding, "HEADERS", 10)
        fed = Feeder(loop, bus.where, bus.description, bus.table)
        fed.look()
        turns(loop, opened, named, looks)
        assert opened.all == named.all == 303 and looks.all == 1
        assert opened.most <= 10 and named.most <= 40
        inbox = bus.inbox(1)
        assert [inbox.get(5, True, True, no_signal) for _ in range(3)] == [b"0", b"100", b"200"]
        _age(bus)
        fed.look()  # it has changed: what was queued is gone
        turns(loop, opened, named, looks)
        assert opened.all == 303 and named.all == 603
        for _ in range(5):
            fed.look()  # a byte in the notify FIFO, whatever it is for
            turns(loop, opened, named, looks)
        assert opened.all == 303 and named.all == 603 and looks.all == 2
        kept.store(bus.where, b"new", "mule1", "test", again=True)
        fed.look()
        turns(loop, opened, named, looks)
        assert opened.all == 304
        assert inbox.get(5, True, True, no_signal) == b"new"
        fed.close()


def _age(bus: MessageBus) -> None:
    """The directory has not changed for a while."""
    os.utime(bus.where.kept, (1e9, 1e9))


def test_a_queue_is_fed_some_frames_a_turn_and_in_order(
    bus_env: BusEnvironment, bus_name: str, loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        paths = [
            kept.store(bus.where, b"%d" % number, "mule1", "test", priority=number % 2, again=True)
            for number in range(40)
        ]
        monkeypatch.setattr(feeding, "FRAMES", 1)
        monkeypatch.setattr(feeding, "_MOST", 4)
        fed = Feeder(loop, bus.where, bus.description, bus.table)
        fed.begin()
        added = kept.store(bus.where, b"last", "mule1", "test", again=True)
        fed.add(added)
        inbox = bus.inbox(1)
        got = []
        while len(got) < 41:
            loop.run_once()
            while (message := inbox.get(0, True, True, no_signal)) is not None:
                got.append(message)
        numbers = [*range(1, 40, 2), *range(0, 40, 2)]
        assert sorted(got[:-1]) == sorted(b"%d" % number for number in numbers) and b"last" in got
        evens = [message for message in got if message != b"last" and int(message) % 2 == 0]
        assert evens == [b"%d" % number for number in range(0, 40, 2)]
        assert not any(map(os.path.exists, [*paths, added]))
        fed.close()
