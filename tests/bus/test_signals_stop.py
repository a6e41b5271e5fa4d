"""Raising while the bus ends: every raise is handled, saved, or refused, and only one of these."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ipcmules.bus import table
from ipcmules.errors import BusStopped
from ipcmules.kernel import atomics
from ipcmules.master.leftovers import saved_signals
from ipcmules.signals import raiser
from ipcmules.signals.raiser import PartlyRaised
from minibus import MiniBus, child, ended, mini_bus, until


@pytest.fixture
def bus(bus_name: str, bus_env: object) -> Iterator[MiniBus]:
    with mini_bus(bus_name, mules=3) as made:
        saved_signals.give(made.where, made.description, made.table)
        saved_signals.forget(made.where)
        made.registry().register(5, "mule1", print)
        made.registry().register(6, "mules", print)
        yield made


def end(bus: MiniBus) -> None:
    saved_signals.save(bus.where, bus.description, bus.table)


def saved(bus: MiniBus) -> dict[str, list[list[int]]]:
    """What is in the file."""
    path = Path(bus.where.signals)
    lives = json.loads(path.read_text()) if path.exists() else {}
    assert len(lives) <= 1
    found: dict[str, list[list[int]]] = lives["1"]["pending"] if lives else {}
    return found


def at_the_count(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Have something happen just before and just after a raise counts."""

    def increment(address: int) -> int:
        before()
        atomics.increment(address)
        after()
        return 0

    monkeypatch.setattr(raiser, "_increment", increment)


def nothing() -> None:
    pass


def test_a_raise_that_counts_after_the_save_is_refused(bus: MiniBus, monkeypatch: pytest.MonkeyPatch) -> None:
    raising = bus.raiser()
    at_the_count(monkeypatch, lambda: end(bus), nothing)
    for raise_it in (raising.bind(5), lambda: raising.raise_signal(5)):
        bus.table.cells[table.H_STATE] = table.READY
        with pytest.raises(BusStopped, match="signal 5 was not raised"):
            raise_it()
        assert saved(bus) == {}
        assert bus.counted() == 0


def test_a_raise_that_counts_before_the_save_is_saved(bus: MiniBus, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_it = bus.raiser().bind(5)
    at_the_count(monkeypatch, nothing, lambda: end(bus))
    raise_it()
    assert saved(bus) == {"mule1": [[5, 1]]}
    assert bus.counted() == 0


def test_a_raise_for_all_says_whom_it_missed(bus: MiniBus, monkeypatch: pytest.MonkeyPatch) -> None:
    raising = bus.raiser()
    counts = iter(range(100))
    at_the_count(monkeypatch, lambda: end(bus) if next(counts) == 1 else None, nothing)
    with pytest.raises(PartlyRaised, match="was not raised for mule2, mule3; its other targets") as caught:
        raising.raise_signal(6)
    assert saved(bus) == {"mule1": [[6, 1]]}
    assert caught.value.endpoints == ("mule2", "mule3")
    # What api.signal does on the next bus of that name.
    bus.table.cells[table.H_STATE] = table.READY
    raising.raise_at(6, (*caught.value.endpoints, "mule9"))
    assert bus.counted() == 2
    end(bus)
    assert saved(bus) == {"mule1": [[6, 1]], "mule2": [[6, 1]], "mule3": [[6, 1]]}


@pytest.mark.slow
@pytest.mark.parametrize("number, each", [(5, 1), (6, 3)])
def test_every_raise_at_the_end_is_saved_or_refused(bus: MiniBus, number: int, each: int) -> None:
    """Four processes raise as fast as they can while the bus ends."""
    for life in range(15):
        bus.table.cells[table.H_STATE] = table.READY
        Path(bus.where.signals).unlink(missing_ok=True)
        read, write = os.pipe()

        def raise_until_it_ends(write: int = write) -> None:
            done = missed = 0
            try:
                raise_it = bus.raiser().bind(number)
                while True:
                    raise_it()
                    done += 1
            except PartlyRaised as error:
                done, missed = done + 1, len(error.endpoints)
            except BusStopped:
                pass
            os.write(write, b"%d\n" % (done * each - missed))

        raising = [child(raise_until_it_ends) for _ in range(4)]
        until(lambda: bus.counted() > 100, "some raises")
        time.sleep(random.uniform(0, 0.002))  # another moment each time; any will do
        end(bus)
        assert [ended(pid) for pid in raising] == [0] * 4
        os.close(write)
        with os.fdopen(read) as file:
            accepted = sum(map(int, file))
        counts = saved(bus)
        assert sum(count for found in counts.values() for _number, count in found) == accepted, life
        assert bus.counted() == 0


def test_a_save_that_is_killed_anywhere_and_done_again_saves_all(bus: MiniBus) -> None:
    """Killed at its first, second, third ... system call on the file, or while it takes."""
    for step in range(1, 40):
        bus.table.cells[table.H_STATE] = table.READY
        Path(bus.where.signals).unlink(missing_ok=True)
        raising = bus.raiser()
        for _ in range(10):
            raising.raise_signal(5)
        raising.raise_signal(6)
        pid = child(partial(_killed_at, step, lambda: end(bus)))
        killed = ended(pid) == -signal.SIGKILL
        end(bus)
        assert {name: dict(map(tuple, found)) for name, found in saved(bus).items()} == {
            "mule1": {5: 10, 6: 1},
            "mule2": {6: 1},
            "mule3": {6: 1},
        }, step
        if not killed:
            assert step > 10
            return
    raise AssertionError("more steps than this test has tried")


def _killed_at(step: int, do: Callable[[], None]) -> None:
    """Run do(), and SIGKILL this process at the step-th of: taking a count, replacing the file."""
    left = step
    take, replace = atomics.take, os.replace

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_take(address: int) -> int:
        result: int = take(address)
        if not result:
            count()
        return result

    def counted_replace(source: str, target: str) -> None:
        count()
        replace(source, target)
        count()

    atomics.take, os.replace = counted_take, counted_replace  # type: ignore[assignment]  # this child ends with it
    do()


def test_a_start_that_was_killed_while_it_was_given_the_signals_gives_them_again(bus: MiniBus) -> None:
    for _ in range(7):
        bus.raiser().raise_signal(5)
    end(bus)
    # A new table that has a part of them already, as of a start that was killed.
    cells = bus.table.cells
    cells[table.H_GIVEN], cells[table.H_STATE] = 0, table.STARTING
    for _ in range(3):
        atomics.increment(bus.table.counter(bus.layout.mule_endpoint(1), 5))
    end(bus)
    assert saved(bus) == {"mule1": [[5, 7]]}
    # One that has all of them, and was killed before the file was removed.
    for _ in range(3):
        atomics.take(bus.table.counter(bus.layout.mule_endpoint(1), 5))
    path = Path(bus.where.signals)
    content = path.read_bytes()
    saved_signals.give(bus.where, bus.description, bus.table)
    saved_signals.forget(bus.where)
    assert not path.exists() and bus.counted() == 7
    path.write_bytes(content)
    bus.description = replace(bus.description, generation=2)
    end(bus)
    lives = json.loads(path.read_text())
    assert list(lives) == ["2"] and lives["2"]["pending"] == {"mule1": [[5, 7]]}
