"""Signals between real processes: every raise is one take, whatever is busy, full or killed."""

from __future__ import annotations

import mmap
import os
import random
import resource
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

import minibus
from ipcmules.bus import table
from ipcmules.errors import BusStopped, LimitError
from ipcmules.signals.taker import NUDGE, discard
from minibus import MiniBus, child, drain, ended, mini_bus, serve, until


@pytest.fixture
def bus(bus_name: str, bus_env: object) -> Iterator[MiniBus]:
    with mini_bus(bus_name, mules=3, farms={"a": (1,), "b": (2, 3)}) as made:
        yield made


class Tally:
    """Counts in memory that children share; each writer has a cell of its own."""

    def __init__(self, cells: int) -> None:
        self.memory = mmap.mmap(-1, 8 * cells)
        self.size = cells

    def add(self, cell: int) -> None:
        self.memory[8 * cell : 8 * cell + 8] = struct.pack("Q", self.get(cell) + 1)

    def get(self, cell: int) -> int:
        return int(struct.unpack_from("Q", self.memory, 8 * cell)[0])

    def total(self) -> int:
        return sum(self.get(cell) for cell in range(self.size))


def take_for_ever(bus: MiniBus, tally: Tally, cell: int, *endpoints: str) -> None:
    serve(bus.taker(*endpoints), lambda _number: tally.add(cell))


def test_raises_arrive_in_order(bus: MiniBus) -> None:
    registry, raiser, taker = bus.registry(), bus.raiser(), bus.taker("mule1")
    numbers = [9, 3, 200, 3, 0, 255]
    for number in sorted(set(numbers)):
        registry.register(number, "mule1", lambda _number: None)
    for number in numbers:
        raiser.raise_signal(number)
    assert drain(taker) == numbers


def test_ten_thousand_raises_at_a_busy_process_are_ten_thousand_takes(bus: MiniBus) -> None:
    bus.registry().register(5, "mule1", print)
    tally = Tally(2)
    busy, go_on = os.pipe(), os.pipe()

    def handle(_number: int) -> None:
        tally.add(0)
        if tally.get(0) == 1:
            os.write(busy[1], b"x")
            os.read(go_on[0], 1)

    pid = child(lambda: serve(bus.taker("mule1"), handle))
    try:
        raiser = bus.raiser()
        raiser.raise_signal(5)
        os.read(busy[0], 1)
        for _ in range(9_999):
            raiser.raise_signal(5)
        assert tally.get(0) == 1  # a busy target holds nobody up
        os.write(go_on[1], b"x")
        until(lambda: tally.get(0) == 10_000, "10,000 takes")
        assert bus.counted() == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


@pytest.mark.slow
def test_many_raisers_many_takers_on_a_shared_endpoint(bus: MiniBus) -> None:
    registry = bus.registry()
    for number in range(4):
        registry.register(number, "mule", print)
    tally = Tally(3)
    takers = [child(lambda cell=cell: take_for_ever(bus, tally, cell, "mule0")) for cell in range(3)]  # type: ignore[misc]

    def raise_many(number: int) -> None:
        raiser = bus.raiser()
        for _ in range(25_000):
            raiser.raise_signal(number)

    try:
        raisers = [child(lambda number=number: raise_many(number)) for number in range(4)]  # type: ignore[misc]
        assert [ended(pid) for pid in raisers] == [0] * 4
        until(lambda: tally.total() >= 100_000, "100,000 takes")
        assert (tally.total(), bus.counted()) == (100_000, 0)
    finally:
        for pid in takers:
            os.kill(pid, signal.SIGKILL)
            ended(pid)


@pytest.mark.slow
@pytest.mark.parametrize("pending", [65_536, 65_537, 70_000, 140_000])
def test_more_pending_than_the_fifo_holds(bus: MiniBus, pending: int) -> None:
    registry, raiser = bus.registry(), bus.raiser()
    registry.register(1, "mule2", print)
    registry.register(2, "mule2", print)
    for index in range(pending):
        raiser.raise_signal(1 + index % 2)
    assert Counter(drain(bus.taker("mule2"))) == {1: -(-pending // 2), 2: pending // 2}
    assert bus.counted() == 0
    assert bus.table.cells[bus.table.overflow_cell(bus.layout.mule_endpoint(2))] == 0


def test_overflow_wakes_sleeping_takers_until_all_is_taken(bus: MiniBus) -> None:
    """The takers only take when epoll says so: wake-ups that the FIFO refused must not be missed."""
    registry, raiser = bus.registry(), bus.raiser()
    registry.register(7, "mule", print)
    for _ in range(70_000):
        raiser.raise_signal(7)
    tally = Tally(2)
    pids = [child(lambda cell=cell: take_for_ever(bus, tally, cell, "mule0")) for cell in range(2)]  # type: ignore[misc]
    try:
        until(lambda: tally.total() >= 70_000, "70,000 takes")
        for _ in range(100):  # and the next ones, after the overflow, wake as well
            raiser.raise_signal(7)
        until(lambda: tally.total() >= 70_100, "the raises after it")
        assert (tally.total(), bus.counted()) == (70_100, 0)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            ended(pid)


def test_killed_raisers_lose_nothing_that_returned(bus: MiniBus) -> None:
    """Each raiser notes a raise after it returned: the takes are those, and at most one more a raiser."""
    bus.registry().register(3, "mule", print)
    raised, taken = Tally(40), Tally(2)

    def raise_for_ever(cell: int) -> None:
        raiser = bus.raiser()
        while True:
            raiser.raise_signal(3)
            raised.add(cell)

    takers = [child(lambda cell=cell: take_for_ever(bus, taken, cell, "mule0")) for cell in range(2)]  # type: ignore[misc]
    try:
        for cell in range(40):
            pid = child(lambda cell=cell: raise_for_ever(cell))  # type: ignore[misc]
            until(lambda cell=cell: raised.get(cell) > 50, "raises")  # type: ignore[misc]
            time.sleep(random.random() / 1000)
            os.kill(pid, signal.SIGKILL)
            ended(pid)
            bus.raiser().nudge("mule0")  # what the master does when it sees a process die
        until(lambda: bus.counted() == 0, "all taken")
        until(lambda: taken.total() >= raised.total(), "takes")
        assert raised.total() <= taken.total() <= raised.total() + 40
    finally:
        for pid in takers:
            os.kill(pid, signal.SIGKILL)
            ended(pid)


def test_killed_takers_lose_at_most_what_they_held(bus: MiniBus) -> None:
    bus.registry().register(3, "farm_b", print)
    rounds, taken, raised = 15, Tally(16), Tally(1)

    def raise_for_ever() -> None:
        raiser = bus.raiser()
        while True:
            raiser.raise_signal(3)
            raised.add(0)
            time.sleep(0.00002)

    # One taker stays; it must get everything that the others leave.
    stays = child(lambda: take_for_ever(bus, taken, rounds, "farm.b"))
    raising = child(raise_for_ever)
    try:
        for cell in range(rounds):
            pid = child(lambda cell=cell: take_for_ever(bus, taken, cell, "farm.b"))  # type: ignore[misc]
            until(lambda cell=cell: taken.get(cell) > 2, "takes")  # type: ignore[misc]
            time.sleep(random.random() / 1000)
            os.kill(pid, signal.SIGKILL)
            ended(pid)
            bus.raiser().nudge("farm.b")
        os.kill(raising, signal.SIGKILL)
        ended(raising)
        bus.raiser().nudge("farm.b")
        until(lambda: bus.counted() == 0, "all taken")
        until(lambda: taken.total() >= raised.total() - rounds, "the last handler")
        # A killed taker may have taken one that it had not noted; the raiser may have raised one unnoted.
        assert raised.total() - rounds <= taken.total() <= raised.total() + 1
    finally:
        for pid in (stays, raising):
            try:
                os.kill(pid, signal.SIGKILL)
                ended(pid)
            except (ProcessLookupError, ChildProcessError):
                pass


def test_a_wake_up_lost_with_a_killed_taker_comes_back_with_a_nudge(bus: MiniBus) -> None:
    """The worst moment, made on purpose: the byte was read, the count was not taken."""
    bus.registry().register(3, "mule", print)
    raiser, tally = bus.raiser(), Tally(1)
    stolen = bus.taker("mule0")  # before the raise: a new one would look
    raiser.raise_signal(3)
    os.read(stolen.sources[0][0], 1)
    assert stolen.pending()
    pid = child(lambda: serve(stolen, lambda _number: tally.add(0)))
    try:
        time.sleep(0.05)
        assert tally.get(0) == 0  # that is what the nudge is for
        raiser.nudge("mule0")
        until(lambda: tally.get(0) == 1, "the take")
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


def test_a_new_taker_finds_what_its_predecessor_left(bus: MiniBus) -> None:
    bus.registry().register(3, "mule1", print)
    raiser, tally = bus.raiser(), Tally(1)
    old = bus.taker("mule1")
    for _ in range(5):
        raiser.raise_signal(3)
    os.read(old.sources[0][0], 5)  # read and killed
    old.close()
    pid = child(lambda: take_for_ever(bus, tally, 0, "mule1"))
    try:
        until(lambda: tally.get(0) == 5, "all five")
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


def test_raises_outlive_every_process_that_had_the_fifo_open(bus: MiniBus) -> None:
    """The kernel forgets what is in a FIFO that nobody has open (fifo(7)); the counts stay."""
    bus.registry().register(3, "mule1", print)
    assert ended(child(lambda: [bus.raiser().raise_signal(3) for _ in range(10)])) == 0
    assert drain(bus.taker("mule1")) == [3] * 10


def test_a_nudge_is_no_signal(bus: MiniBus) -> None:
    taker = bus.taker("mule1", "farm.a")
    bus.raiser().nudge("farm.a")
    own, farm = (descriptor for descriptor, _shared in taker.sources)
    assert taker.take(own) is None
    assert taker.take(farm) is NUDGE
    assert taker.take(farm) is None
    assert [shared for _descriptor, shared in taker.sources] == [False, True]


def test_threads_of_one_process_take_each_signal_once(bus: MiniBus) -> None:
    bus.registry().register(3, "mule1", print)
    raiser, taker, counts = bus.raiser(), bus.taker("mule1"), [0] * 4

    def take(cell: int) -> None:
        while sum(counts) < 20_000:
            if taker.take(taker.sources[0][0]) == 3:
                minibus.begun(3)
                counts[cell] += 1

    threads = [threading.Thread(target=take, args=(cell,)) for cell in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        raiser.raise_signal(3)
    for thread in threads:
        thread.join(minibus.PATIENCE)
    assert (sum(counts), bus.counted()) == (20_000, 0)


@pytest.mark.parametrize(
    ("target", "endpoints"),
    [
        ("mule", ["mule0"]),
        ("mule0", ["mule0"]),
        ("mule2", ["mule2"]),
        ("mules", ["mule1", "mule2", "mule3"]),
        ("farm_b", ["farm.b"]),
        ("farm2", ["farm.b"]),
        ("", ["mule0"]),
        ("worker", ["mule0"]),
        ("workers", []),
        ("worker1", []),
        ("mule4", []),
        ("farm_c", []),
        ("farm3", []),
        ("farm0", []),
        ("spooler", []),
        ("/var/spool/x", []),
        ("nonsense", []),
    ],
)
def test_targets_without_workers(bus: MiniBus, target: str, endpoints: list[str]) -> None:
    everywhere = ["mule0", "worker0", "farm.a", "farm.b", "mule1", "mule2", "mule3"]
    bus.registry().register(9, target, print)
    bus.raiser().raise_signal(9)
    assert [name for name in everywhere if drain(bus.taker(name))] == endpoints
    assert bus.table.cells[table.H_DROPPED] == (0 if endpoints else 1)


def test_targets_follow_the_workers_as_they_come_and_go(bus: MiniBus) -> None:
    registry, raiser = bus.registry(), bus.raiser()
    for number, target in enumerate(["", "workers", "worker2"]):
        registry.register(number, target, print)

    def raised() -> dict[str, list[int]]:
        for number in range(3):
            raiser.raise_signal(number)
        names = ["mule0", "worker0", *(each for each in ("worker1", "worker2") if here(each))]
        return {name: found for name in names if (found := drain(bus.taker(name)))}

    def here(name: str) -> bool:
        return os.path.exists(bus.where.fifo(name))

    assert raised() == {"mule0": [0]}
    bus.worker(1)
    assert raised() == {"worker0": [0], "worker1": [1]}
    bus.worker(2)
    assert raised() == {"worker0": [0], "worker1": [1], "worker2": [1, 2]}
    for number in (1, 2):
        bus.table.cells[bus.table.worker(number) + table.R_PID] = 0
    bus.table.cells[table.H_WORKERS_VERSION] += 1
    assert raised() == {"mule0": [0]}


def test_a_number_nobody_registered_goes_to_one_that_waits(bus: MiniBus) -> None:
    raiser = bus.raiser()
    raiser.raise_signal(77)
    assert bus.table.cells[table.H_DROPPED] == 1
    bus.worker(3)
    bus.table.cells[bus.table.worker(3) + table.R_LISTENING] = 1
    raiser.raise_signal(77)
    raiser.raise_signal(77)
    assert drain(bus.taker("worker3")) == [77, 77]
    assert bus.table.cells[table.H_DROPPED] == 1


def test_discard_forgets_what_was_meant_for_a_predecessor(bus: MiniBus) -> None:
    bus.registry().register(9, "workers", print)
    bus.worker(1)
    raiser = bus.raiser()
    for _ in range(3):
        raiser.raise_signal(9)
    assert discard(bus.table, bus.layout.worker_endpoint(1)) == 3
    assert drain(bus.taker("worker1")) == []


def test_a_raise_at_a_stopped_bus_says_so(bus: MiniBus) -> None:
    bus.registry().register(9, "mule1", print)
    raiser = bus.raiser()
    raiser.raise_signal(9)
    bus.table.cells[table.H_STATE] = table.STOPPED
    with pytest.raises(BusStopped, match="has stopped: signal 9 was not raised"):
        raiser.raise_signal(9)
    bus.table.cells[table.H_STATE] = table.READY


def test_a_raiser_whose_descriptors_were_closed_opens_new_ones(bus: MiniBus) -> None:
    """As a program that becomes a daemon does."""
    bus.registry().register(9, "mule1", print)

    def become_daemon() -> None:
        raiser = bus.raiser()
        raiser.raise_signal(9)
        os.closerange(3, 256)
        raiser.raise_signal(9)

    assert ended(child(become_daemon)) == 0
    assert drain(bus.taker("mule1")) == [9, 9]


def test_a_raise_that_is_refused_was_not_made(bus: MiniBus) -> None:
    """The descriptor was closed, and there is none to open another one by: who tries again raises one."""
    bus.registry().register(9, "mule1", lambda _number: None)
    raiser, taker = bus.raiser(), bus.taker("mule1")
    raiser.raise_signal(9)
    for descriptor in raiser._descriptors._open.values():
        os.close(descriptor)
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        with pytest.raises(LimitError, match="ulimit -n"):
            raiser.raise_signal(9)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    raiser.raise_signal(9)
    assert drain(taker) == [9, 9]


def test_a_forked_child_raises_with_descriptors_of_its_own(bus: MiniBus) -> None:
    bus.registry().register(9, "mule1", print)
    raiser = bus.raiser()
    raiser.raise_signal(9)

    def in_child() -> None:
        raiser.after_fork()
        raiser.raise_signal(9)

    assert ended(child(in_child)) == 0
    raiser.raise_signal(9)
    assert drain(bus.taker("mule1")) == [9, 9, 9]
