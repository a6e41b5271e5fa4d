"""The segment of counters: its numbers, its names, and who changes it at the same time."""

from __future__ import annotations

import os
import random
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.counters import counter, segment
from ipcmules.counters.counter import Counter
from ipcmules.counters.segment import Segment
from ipcmules.errors import ConfigError, CounterError
from ipcmules.options.metrics import MetricSpec, metric
from minibus import child, ended


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Segment]:
    found = Segment(str(tmp_path / "counters"))
    yield found
    found.close()


def test_numbers(counters: Segment) -> None:
    found = Counter("hits", lambda: counters, 5)
    assert (found.value, int(found), found.inc(), found.inc(4), found.dec(), found.mul(-3)) == (
        5,
        5,
        6,
        10,
        9,
        -27,
    )
    assert (found.div(4), found.set(7), found.set_max(5), found.set_max(9), found.set_min(8)) == (
        -6,
        7,
        7,
        9,
        8,
    )
    assert found.set(2**63 - 1) == 2**63 - 1 and found.inc() == -(2**63) and found.dec(2) == 2**63 - 2
    with pytest.raises(CounterError, match="divided by 0"):
        found.div(0)
    for wrong in (1.5, "1", None, True):
        with pytest.raises(CounterError, match="give a whole one"):
            found.inc(wrong)  # type: ignore[arg-type]
    assert Counter("hits", lambda: counters).value == found.value  # 'initial' is for a new one
    assert repr(found) == f"Counter('hits', {2**63 - 2})"


@given(st.integers(-(2**80), 2**80))
def test_wrapping_is_that_of_c(number: int) -> None:
    assert segment.wrapped(number) == struct.unpack("<q", (number % 2**64).to_bytes(8, "little"))[0]


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100).filter(bool))
def test_division_is_that_of_c(there: int, by: int) -> None:
    found = counter.divided(there, by)
    assert abs(found) == abs(there) // abs(by) and (found == 0 or (found < 0) is ((there < 0) != (by < 0)))


def test_names_and_how_many(counters: Segment, tmp_path: Path) -> None:
    other = Segment(str(tmp_path / "counters"))
    for number in range(segment.CAPACITY):
        counters.place(f"c{number}", number)
    assert other.value(other.place("c1023", None)) == 1023 and other.place("nobody", None) == 0
    assert other.values() == segment.read(other.path) == {f"c{n}": n for n in range(1024)}
    with pytest.raises(CounterError, match="1024 at most"):
        other.place("one-more")
    for wrong in ("", "a b", "x" * 113, "é"):
        with pytest.raises(CounterError, match="no name"):
            other.place(wrong)
    other.close()
    assert segment.read(str(tmp_path / "nothing")) == {}


@pytest.mark.slow
def test_processes_and_threads_lose_nothing_though_some_are_killed(counters: Segment) -> None:
    found, killed = Counter("n", lambda: counters), Counter("killed", lambda: counters)

    def count() -> None:
        threads = [threading.Thread(target=lambda: [found.inc() for _ in range(200)]) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def count_for_ever() -> None:
        while True:
            killed.inc()

    victims = [child(count_for_ever) for _ in range(3)]
    counting = [child(count) for _ in range(3)]
    for _ in range(60):
        time.sleep(random.uniform(0, 0.003))
        victim = victims.pop(0)
        os.kill(victim, signal.SIGKILL)
        ended(victim)
        victims.append(child(count_for_ever))
    assert [ended(each) for each in counting] == [0] * 3
    for each in victims:
        os.kill(each, signal.SIGKILL)
        ended(each)
    assert found.value == 1800 and killed.inc() > 1


def test_a_signal_handler_that_counts_in_the_middle_is_counted(counters: Segment) -> None:
    found = Counter("n", lambda: counters)
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        found.inc()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(5000):
            found.inc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled and found.value == 5000 + handled
    assert ended(child(found.inc)) == 0  # the lock is free


def test_a_half_made_segment_is_made(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    path.write_bytes(b"")
    path.chmod(0o600)
    found = Segment(str(path))
    assert found.values() == {} and found.place("a", -3) and found.values() == {"a": -3}
    found.close()


def test_texts() -> None:
    assert metric("hits") == metric("name=hits,type=gauge,oid=1.2") == MetricSpec("hits")
    assert metric("name=a.b-c_d,initial_value=-5") == MetricSpec("a.b-c_d", -5)
    for text, says in (
        ("a b", "not allowed"),
        ("type=gauge", "does not say name"),
        ("name=a,collector=sum", "nobody fills in"),
        ("name=a,type=alias", "nobody fills in"),
        ("name=a,b", "not KEY=VALUE"),
        ("name=a,b=c", "'b' .* is not known"),
        ("name=a,initial_value=x", "no whole number"),
        (f"name=a,initial_value={2**64}", "64 bits|no whole"),
    ):
        with pytest.raises(ConfigError, match=says):
            metric(text)
