"""A task that is told of before its file is there: whoever is late, it runs at once and once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules import membership, table
from ipcmules.messages.spooled import Spools
from ipcmules.spooler import codec, names
from ipcmules.spooler.enqueue import Writer
from spoolers import Spooling
from support import wait_until

#: Nothing is found by a look at the directory that nobody asked for.
_NEVER = ("--spooler-frequency", "3600")


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


@contextmanager
def _on(spooling: Spooling) -> Iterator[tuple[Spools, table.Table]]:
    with ipcmules.attach(spooling.bus):
        member = membership.current()
        yield member.spools, member.table


def _wait_asleep(shared: table.Table) -> None:
    state = shared.spooler(1) + table.R_STATE
    wait_until(lambda: shared.cells[state] == table.WAITING, what="a spooler that sleeps")


def test_a_writer_that_is_late_tells_again(spooling: Spooling) -> None:
    writer = Writer(str(spooling.directory))
    with spooling.start(*_NEVER), _on(spooling) as (spools, shared):
        missed = shared.spool(1) + table.D_MISSED
        _wait_asleep(shared)
        before = shared.cells[missed]
        name = names.new_name()
        told = spools.soon(writer.directory, name)
        assert told
        wait_until(lambda: shared.cells[missed] != before, what="a spooler that gives up")
        writer.put(codec.pack({"key": "late"}), name=name)
        spools.wake(writer.directory, name, told)
        spooling.wait_runs(1)
        spooling.wait_empty()
    assert spooling.ran() == ["late"]


def test_a_task_that_never_comes_stops_nobody(spooling: Spooling) -> None:
    with spooling.start(*_NEVER), _on(spooling) as (spools, shared):
        for number in range(3):
            _wait_asleep(shared)
            assert spools.soon(os.path.realpath(spooling.directory), names.new_name())
            spooling.spool(key=f"n{number}")
            spooling.wait_runs(number + 1)
        _wait_asleep(shared)
    assert spooling.ran() == ["n0", "n1", "n2"]


def test_nobody_is_told_early_who_does_not_sleep(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start(*_NEVER), _on(spooling) as (spools, _shared):
        spooling.spool(key="long", do="wait", file=str(go))
        spooling.wait_runs(1)
        assert not spools.soon(os.path.realpath(spooling.directory), names.new_name())
        go.touch()
        spooling.wait_empty()


def test_a_look_at_the_directory_loses_nobody_who_was_told_of(spooling: Spooling) -> None:
    """Names that a spooler drops, because it looks at all of the directory, count as missed."""
    with spooling.start(*_NEVER), _on(spooling) as (spools, shared):
        missed = shared.spool(1) + table.D_MISSED
        _wait_asleep(shared)
        before = shared.cells[missed]
        assert spools.look(1)
        wait_until(lambda: shared.cells[missed] != before, what="a look")
