"""For how long what waits behind a queue has been there, and how fast it comes and goes, of looks at it."""

from __future__ import annotations

from dataclasses import replace

from ipcmules.snapshot import Snapshot
from ipcmules.snapshot.ages import _KEPT, Ages
from ipcmules.snapshot.rates import Flow, between
from ipcmules.snapshot.values import Directory, Queue, Tasks


def _look(
    time: float, taken: int, waiting: int, oldest: float | None = None, generation: int = 1
) -> Snapshot:
    queue = Queue("pool", min(waiting, 10), 10, 4096, max(waiting - 10, 0), taken, oldest)
    return Snapshot("b", "ready", time, "/", generation, queues=(queue,))


def _oldest(ages: Ages, look: Snapshot) -> float | None:
    [queue] = ages.of(look).queues
    return queue.oldest


def test_the_first_of_those_that_wait_is_as_old_as_the_look_that_saw_it_first() -> None:
    ages = Ages()
    assert _oldest(ages, _look(10, 0, 0)) is None
    assert _oldest(ages, _look(11, 0, 5)) == 0
    assert _oldest(ages, _look(15, 0, 20)) == 4
    assert _oldest(ages, _look(16, 4, 30)) == 5  # the fifth was there at 11
    assert _oldest(ages, _look(17, 5, 30)) == 2  # and the sixth at 15 for the first time
    assert _oldest(ages, _look(18, 40, 3)) == 0
    assert _oldest(ages, _look(19, 43, 0)) is None
    assert _oldest(ages, _look(30, 43, 1)) == 0


def test_what_one_look_knows_counts_too_and_another_life_begins_anew() -> None:
    ages = Ages()
    assert _oldest(ages, _look(100, 0, 1, oldest=70.0)) == 70
    assert _oldest(ages, _look(110, 0, 1, oldest=2.0)) == 10
    assert _oldest(ages, _look(120, 0, 1, generation=2)) == 0
    assert _oldest(ages, _look(90, 0, 1, generation=2)) == 0  # somebody has set the clock


def test_a_backlog_of_many_looks_keeps_its_age_and_bounded_memory() -> None:
    ages = Ages()
    for second in range(5000):
        assert _oldest(ages, _look(second, 0, second + 1)) == second
        assert len(ages._seen["pool"]) <= _KEPT
    assert _oldest(ages, _look(5000, 4990, 11)) is not None


def test_rates_of_queues_and_directories() -> None:
    place = Directory("/d", "", False, 5, 1, 1, 0, 0, None, (), begun=3, ended=2)
    names = Queue("spool.1", 3, 10, 4096, 0)
    before = _look(10, 100, 4)
    before = replace(before, tasks=Tasks((place,)), queues=(*before.queues, names))
    after = _look(12, 120, 24)
    later = replace(place, waiting=2, ended=12)
    after = replace(after, tasks=Tasks((later,)), queues=(*after.queues, names))
    rates = between(before, after)
    assert rates.queues == {"pool": Flow(come=20.0, gone=10.0)}
    assert rates.directories == {"/d": Flow(come=3.5, gone=5.0)}
    # What somebody took out by hand is no arrival that is less than none.
    dropped = replace(after, tasks=Tasks((replace(later, waiting=0, scheduled=0, running=0, ended=2),)))
    assert between(before, dropped).directories["/d"] == Flow()
    assert between(None, after).queues == {}
