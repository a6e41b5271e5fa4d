"""So many at once, so many in a time, what is paused; and what a spooler remembers of tasks that are held."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.process.spooler.holding import BEGUN, NEVER, PAUSED, PLACES, Hold, Holding
from ipcmules.spooler import keyed, limits, pauses
from ipcmules.spooler.limits import Limits, Place

_TAKES = """
import sys
from ipcmules.spooler.limits import Limits
found = Limits(sys.argv[1]).take("k", int(sys.argv[2]), None)
print("full" if isinstance(found, float) else "taken", flush=True)
input()
"""


def taken(found: Place | float) -> Place:
    assert isinstance(found, Place)
    return found


def later(found: Place | float) -> float:
    assert isinstance(found, float)
    return found


def taker(directory: Path, number: int) -> tuple[subprocess.Popen[str], str]:
    """A process that takes a place and keeps it while it lives."""
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKES, str(directory), str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_places_are_free_again_when_their_process_dies(tmp_path: Path) -> None:
    one, first = taker(tmp_path, 2)
    two, second = taker(tmp_path, 2)
    try:
        assert [first, second] == ["taken", "taken"]
        here = Limits(str(tmp_path))
        assert not here.is_free("k", 2) and later(here.take("k", 2, None)) > time.time()
        here.free(taken(here.take("other", 2, None)))
        one.kill()
        one.communicate()
        assert here.is_free("k", 2)
        here.free(taken(here.take("k", 2, None)))
    finally:
        for each in (one, two):
            each.kill()
            each.communicate()


def test_places_are_a_tasks_and_not_the_process_s(tmp_path: Path) -> None:
    here = Limits(str(tmp_path))
    places = [taken(here.take("k", 2, None)) for _ in range(2)]
    assert later(here.take("k", 2, None)) > time.time() and not here.is_free("k", 2)
    here.free(places[0])
    other, said = taker(tmp_path, 2)
    try:
        assert said == "taken", "a place that was given back is free for others"
        assert not here.is_free("k", 2)
    finally:
        other.kill()
        other.communicate()
    here.free(places[1])


def test_a_file_of_places_that_was_removed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Limits(str(tmp_path))
    here.free(taken(here.take("k", 1, None)))
    (path,) = (tmp_path / limits.DIRECTORY).iterdir()
    opened = keyed.open_file

    def swept_meanwhile(name: str) -> int:
        file = opened(name)
        monkeypatch.setattr(keyed, "open_file", opened)
        os.unlink(path)
        return file

    monkeypatch.setattr(keyed, "open_file", swept_meanwhile)
    place = taken(here.take("k", 1, None))
    assert path.exists()
    other, said = taker(tmp_path, 1)
    other.kill()
    other.communicate()
    assert said == "full"
    monkeypatch.setattr(limits, "_OLD", -1.0)
    assert limits.sweep(str(tmp_path)) == 0 and not here.is_free("k", 1), "it is in use"
    here.free(place)
    assert limits.sweep(str(tmp_path)) == 1


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)


@given(st.integers(1, 4), st.lists(st.floats(0, 30), min_size=1, max_size=30))
def test_never_more_are_begun_in_a_time_than_may_be(number: int, steps: list[float]) -> None:
    """Whenever it is asked: of any `number` + 1 that were begun the last is 10 s after the first."""
    import tempfile

    clock, begun = Clock(), []
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", clock)
        here = Limits(directory)
        for step in steps:
            clock.now += step
            when = here.take("k", 0, (number, 10.0))
            if isinstance(when, Place):
                here.free(when)
                begun.append(clock.now)
                continue
            assert clock.now < when <= clock.now + 10.0 + 1e-6
            clock.now = when + 1e-6
            assert isinstance(here.take("k", 0, (number, 10.0)), Place), "it may run when it was said"
            begun.append(clock.now)
    for first, last in zip(begun, begun[number:], strict=False):
        assert last - first >= 10.0 - 1e-5


def test_a_clock_that_was_set_back_holds_tasks_for_one_time_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    here = Limits(str(tmp_path))
    taken(here.take("k", 0, (1, 60.0)))
    clock.now -= 86400
    when = later(here.take("k", 0, (1, 60.0)))
    assert clock.now < when <= clock.now + 60
    clock.now = when
    taken(here.take("k", 0, (1, 60.0)))


def test_a_clock_that_was_set_back_holds_many_tasks_for_one_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again and again, as by several spoolers."""
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    here = Limits(str(tmp_path))
    for _each in range(5):
        taken(here.take("k", 0, (5, 60.0)))
    clock.now -= 86400
    end = clock.now + 60
    while clock.now < end:
        assert later(here.take("k", 0, (5, 60.0))) <= end + 1e-6
        clock.now += 15
    for _each in range(5):
        taken(here.take("k", 0, (5, 60.0)))
    later(here.take("k", 0, (5, 60.0)))


def test_a_place_is_given_back_where_too_many_were_begun(tmp_path: Path) -> None:
    here = Limits(str(tmp_path))
    here.free(taken(here.take("k", 1, (1, 3600.0))))
    assert later(here.take("k", 1, (1, 3600.0))) > time.time() + 3000
    other, said = taker(tmp_path, 1)
    other.kill()
    other.communicate()
    assert said == "taken"


def test_what_is_paused_on_all_hosts_is_said_beside_what_is_here(tmp_path: Path) -> None:
    where = str(tmp_path)
    everywhere = pauses.Pauses(5.0, {"app.mail": 6.0})
    assert pauses.loaded(pauses.dumped(everywhere)) == everywhere and not pauses.loaded(b"{")
    pauses.set_everywhere(where, everywhere)
    assert pauses.read(where) == everywhere
    assert not pauses.change(where, None, False), "it is not paused here"
    assert pauses.change(where, "app.count", True)
    assert sorted(pauses.read(where).functions) == ["app.count", "app.mail"]
    pauses.set_everywhere(where, pauses.NONE)
    assert not pauses.read(where).everything and list(pauses.read(where).functions) == ["app.count"]


def test_pauses_are_said_by_a_file(tmp_path: Path) -> None:
    where = str(tmp_path)
    assert not pauses.read(where)
    assert pauses.change(where, None, True) and not pauses.change(where, None, True)
    assert pauses.change(where, "app.mail", True) and pauses.read(where).everything
    assert pauses.change(where, None, False)
    assert not pauses.read(where).everything and list(pauses.read(where).functions) == ["app.mail"]
    assert pauses.change(where, "app.mail", False) and not pauses.change(where, "app.mail", False)
    assert not pauses.read(where)
    for nonsense in (b"", b"[]", b'{"functions": 3}', b"\xff"):
        (tmp_path / pauses.FILE).write_bytes(nonsense)
        assert not pauses.read(where)


def test_several_pause_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=pauses.change, args=(str(tmp_path), f"f{number}", True))
        for number in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(pauses.read(str(tmp_path)).functions) == [f"f{number}" for number in range(8)]


def free(_by: Hold) -> float:
    return 0.0


def test_tasks_are_held_in_order_and_asked_for_once_a_key() -> None:
    holding, by = Holding(), Hold(PLACES, "k", 1)
    assert not holding and holding.next(9e8, free) is None
    for name in "abc":
        assert holding.hold(name, by, 10.0)
    asked: list[Hold] = []

    def taken(each: Hold) -> float:
        asked.append(each)
        return 20.0

    assert holding.due() == 10.0 and holding.next(15.0, taken) is None and asked == [by]
    assert holding.due() == 20.0
    assert holding.next(20.0, free) == "a"
    holding.hold("a", by, 30.0)
    assert holding.next(20.0, free) is None and holding.due() == 30.0, "it is the first again"
    holding.free_place(by)
    assert [holding.next(20.0, free) for _ in "abcd"] == ["a", "b", "c", None]
    assert not holding and holding.due() == 0.0


def test_what_is_paused_has_no_time() -> None:
    holding, paused, begun = Holding(), Hold(PAUSED, "f"), Hold(BEGUN, "k")
    holding.hold("a", paused, NEVER)
    assert holding.due() == 0.0
    holding.hold("b", begun, 50.0)
    assert holding.due() == 50.0
    holding.free(lambda by: by.kind == PAUSED)
    assert holding.next(1.0, free) == "a" and holding.next(1.0, free) is None
    assert holding.next(50.0, free) == "b"
