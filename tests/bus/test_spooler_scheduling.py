"""When tasks are run, in which order, and by whom."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.process.spooler.agenda import Agenda, stagger
from ipcmules.spooler import names
from spoolers import Spooling
from support import wait_until

#: Nothing is found by a look at the directory that nobody asked for.
_NEVER = ("--spooler-frequency", "3600")


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


def test_first_in_first_out_before_the_start_and_beyond_the_queue(spooling: Spooling) -> None:
    for number in range(30):
        spooling.put(key=f"a{number}")
    go = spooling.home / "go"
    with spooling.start(*_NEVER):
        spooling.wait_runs(30)
        spooling.spool(key="b", do="wait", file=str(go))
        spooling.wait_runs(31)
        for number in range(40):  # more than the queue takes
            spooling.spool(key=f"c{number}")
        go.touch()
        spooling.wait_runs(71)
    assert spooling.ran() == [*(f"a{n}" for n in range(30)), "b", *(f"c{n}" for n in range(40))]


def test_ordered_takes_numbered_directories_first_and_names_by_version(spooling: Spooling) -> None:
    spooling.put(key="plain")
    for priority in (10, 9, 1):
        spooling.put(key=f"p{priority}", priority=priority)
    spooling.raw("b10", spooling.task(key="b10"))
    spooling.raw("b9", spooling.task(key="b9"))
    with spooling.start("--spooler-ordered"):
        spooling.wait_runs(6)
    assert spooling.ran()[:3] == ["p1", "p9", "p10"]
    assert [each for each in spooling.ran() if each.startswith("b")] == ["b9", "b10"]


def test_ordered_puts_what_comes_by_the_queue_in_order(spooling: Spooling) -> None:
    """As the real uWSGI runs them: 000111222, whatever came first."""
    go = spooling.home / "go"
    with spooling.start("--spooler-ordered", *_NEVER):
        spooling.spool(key="hold", do="wait", file=str(go), priority=5)
        spooling.wait_runs(1)
        for number, priority in enumerate((2, 0, 1, 0, 1, 0, 1, 1, 2)):
            spooling.spool(key=f"{priority}{number}", priority=priority)
        spooling.spool(key="plain")
        go.touch()
        spooling.wait_runs(11)
    assert spooling.ran()[1:] == ["01", "03", "05", "12", "14", "16", "17", "20", "28", "plain"]


def test_ordered_runs_what_is_urgent_before_hundreds_that_wait(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-ordered", *_NEVER), ipcmules.attach(spooling.bus) as bus:
        bus.spool(key="hold", do="wait", file=str(go), priority=0)
        spooling.wait_runs(1)
        for number in range(300):
            bus.spool(key=f"n{number}", do="slow", seconds="0.002", priority=2)
        go.touch()
        spooling.wait_runs(20)
        bus.spool(key="urgent", priority=0)
        spooling.wait_runs(302)
    ran = spooling.ran()
    assert ran.index("urgent") < 250
    assert [each for each in ran if each.startswith("n")] == [f"n{number}" for number in range(300)]


def test_ordered_with_two_spoolers_begins_with_the_urgent_ones(spooling: Spooling) -> None:
    go = spooling.home / "go"
    # Not nice: on a busy machine one of them would be held up with its share of the urgent ones.
    options = ("--spooler-ordered", "--spooler-processes", "2", "--spooler-nice", "0")
    with spooling.start(*options, *_NEVER):
        for _each in range(2):
            spooling.spool(key="hold", do="wait", file=str(go))
        spooling.wait_runs(2)
        for _each in range(20):
            spooling.spool(key="low", priority=2)
            spooling.spool(key="high", priority=1)
        go.touch()
        spooling.wait_runs(42)
        spooling.wait_empty()
    assert set(spooling.ran()[2:20]) == {"high"}


def test_priorities_run_without_ordered_too(spooling: Spooling) -> None:
    spooling.put(key="old", priority=3)
    with spooling.start(*_NEVER):
        spooling.wait_runs(1)
        spooling.spool(key="new", priority=7)
        spooling.wait_runs(2)
        spooling.wait_empty()
    assert spooling.ran() == ["old", "new"]


def test_at_is_not_before_then_and_soon_after(spooling: Spooling) -> None:
    with spooling.start("--spooler-processes", "2", *_NEVER):
        due = time.time() + 2.0
        spooling.spool(key="later", at=due)
        spooling.spool(key="now")
        runs = spooling.wait_runs(2)
    assert [each["task"]["key"] for each in runs] == ["now", "later"]
    assert runs[1]["time"] >= due
    assert runs[1]["task"]["at"]


def test_a_scheduled_task_is_found_at_the_start_and_when_its_time_is_changed(spooling: Spooling) -> None:
    due = time.time() + 1.0
    spooling.put(key="soon", at=due)
    name = spooling.put(key="tomorrow", at=time.time() + 86400)
    with spooling.start(*_NEVER):
        spooling.wait_runs(1)
        os.utime(spooling.directory / name)
        spooling.wait_runs(2)
    assert spooling.ran() == ["soon", "tomorrow"]
    assert spooling.runs()[0]["time"] >= due


def test_what_others_drop_in_starts_at_once(spooling: Spooling) -> None:
    with spooling.start(*_NEVER):
        spooling.put(key="off the bus")
        spooling.wait_runs(1)
        spooling.raw("renamed", spooling.task(key="renamed"))
        spooling.wait_runs(2)
        _as_uwsgi_writes(spooling.directory / f"{names.TASK}uwsgi", spooling.task(key="uwsgi"), spooling)
        spooling.wait_runs(4)
        spooling.wait_empty()
    assert spooling.ran() == ["off the bus", "renamed", "between", "uwsgi"]


def _as_uwsgi_writes(path: Path, content: bytes, spooling: Spooling) -> None:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    fcntl.lockf(file, fcntl.LOCK_EX)
    for at in range(len(content)):
        os.write(file, content[at : at + 1])
    before = len(spooling.runs())
    with spooling_at_work(spooling):
        assert len(spooling.runs()) == before + 1  # not the one that is being written
    os.close(file)


def test_what_was_locked_is_run_when_its_writer_closes_it(spooling: Spooling) -> None:
    """To give up the lock changes no time of the file: only the close tells of it."""
    with spooling.start(*_NEVER):
        path = spooling.directory / f"{names.TASK}slow"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.write(file, spooling.task(key="slow"))
        os.utime(path)  # a spooler tries it, and is refused
        with spooling_at_work(spooling):
            assert spooling.ran() == ["between"]
        os.close(file)
        spooling.wait_runs(2)
        spooling.wait_empty()
    assert spooling.ran() == ["between", "slow"]


class spooling_at_work:  # noqa: N801 # reads as a statement
    """A task has gone through the spooler: whatever was there before has been seen."""

    def __init__(self, spooling: Spooling) -> None:
        self._spooling = spooling

    def __enter__(self) -> None:
        count = len(self._spooling.runs())
        self._spooling.spool(key="between")
        self._spooling.wait_runs(count + 1)

    def __exit__(self, *_exception: object) -> None:
        """Nothing to undo."""


def test_several_spoolers_share_and_each_task_runs_once(spooling: Spooling) -> None:
    for number in range(200):
        spooling.put(key=f"a{number}", do="slow", seconds="0.002")
    with spooling.start("--spooler-processes", "3", "--spooler-quiet", *_NEVER):
        for number in range(100):
            spooling.spool(key=f"b{number}", do="slow", seconds="0.002")
        spooling.wait_runs(300, 60)
        spooling.wait_empty()
    assert all(count == 1 for count in Counter(spooling.ran()).values())
    assert len(set(spooling.ran())) == 300
    assert len({each["pid"] for each in spooling.runs()}) == 3


def test_one_of_several_spoolers_wakes_for_a_task(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-processes", "2", *_NEVER):
        spooling.spool(key="long", do="wait", file=str(go))
        spooling.wait_runs(1)
        for number in range(20):  # beside the busy one, at once
            spooling.spool(key=f"n{number}")
            spooling.wait_runs(2 + number)
        go.touch()
    assert len({each["pid"] for each in spooling.runs()}) == 2


def test_a_retry_runs_beside_a_spooler_that_became_busy(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-processes", "2", "--spooler-frequency", "20"):
        spooling.spool(key="again", ud_spool_func="brittle", do="raise")
        spooling.spool(key="long", do="wait", file=str(go))
        wait_until(spooling.dead, what="its attempts")
        go.touch()
        spooling.wait_empty()
    assert spooling.ran().count("again") == 3


def test_agenda_gives_due_ones_first_and_forgets_the_farthest() -> None:
    agenda = Agenda(limit=4)
    agenda.found(["a", "b"], [(5.0, "x"), (3.0, "y")], False)
    assert [agenda.next(2.0), agenda.next(4.0), agenda.next(4.0), agenda.next(4.0)] == ["a", "y", "b", None]
    agenda.put("x", 9.0)  # put off
    assert agenda.next(6.0) is None
    assert agenda.due() == 9.0
    for number in range(10):
        agenda.put(f"n{number}", 20.0 - number)
    assert agenda.incomplete
    assert len(agenda.later) <= 5
    assert agenda.due() == 9.0


def test_stagger_keeps_all_names_and_begins_elsewhere() -> None:
    given = [str(number) for number in range(1000)]
    orders = [[each for each in stagger(given, share, 3) if each] for share in range(3)]
    assert all(sorted(each) == sorted(given) for each in orders)
    assert [each[0] for each in orders] == ["0", "1", "2"]
    assert max(abs(orders[1].index(each) - int(each)) for each in given) < 96
    assert stagger(given, 0, 1)[:32] == given[:32]


def test_two_agendas_meet_in_each_window_and_try_few_tasks_of_the_other() -> None:
    given = [f"{number:04}" for number in range(6400)]
    one, other = (Agenda(share=share, shares=2) for share in range(2))
    for each in (one, other):
        each.found(list(given), [], False)
    done: dict[str, int] = {}
    tries = misses = 0
    while one.ready() or other.ready():
        for turn in (one, one, other):  # one is twice as fast
            name = turn.next(0.0)
            tries += name is not None
            if name is None:
                continue
            if name in done:
                misses += 1
                turn.missed()
            done.setdefault(name, tries)
    assert sorted(done) == given
    assert misses < len(given) / 16
    assert one.incomplete  # a look follows, for what was left to somebody who is gone


def test_where_few_tasks_are_left_each_is_tried() -> None:
    agenda = Agenda(share=0, shares=2)
    agenda.found(["busy", "other's", "mine"], [], False)
    assert agenda.next(0.0) == "busy"
    agenda.missed()
    assert [agenda.next(0.0) for _ in range(3)] == ["mine", "other's", None]
    assert not agenda.incomplete
