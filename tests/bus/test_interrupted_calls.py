"""A signal handler raises, or makes the same call, anywhere in a public function: nothing stays taken."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import interruptions
import ipcmules
import public_calls
from driving import drive
from interruptions import Interruption, every, interrupt
from ipcmules.api import locks as locking
from ipcmules.errors import LockError
from ipcmules.locks import locks
from ipcmules.locks.locks import Locks
from ipcmules.member import inlining, membership
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.process import dispatch
from ipcmules.signals import running
from ipcmules.signals.registry import Registry
from ipcmules.signals.taker import Taker
from messagebus import MessageBus, message_bus
from minibus import drain

pytestmark = pytest.mark.slow

exact = pytest.mark.skipif(not interruptions.EXACT, reason="the places are known for 3.11 and later")


class _Member:
    """Stands for a membership: locks alone."""

    def __init__(self, made: Locks) -> None:
        self.locks = made


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Locks]:
    keys = locks.create_new(1, lambda _keys: None)
    made = Locks(keys)
    monkeypatch.setattr(membership, "current", lambda: _Member(made))
    monkeypatch.setattr(membership, "peek", lambda: _Member(made))
    assert inlining.current is None
    yield made
    locks.remove(keys)


def _with() -> None:
    with locking.Lock(0):
        pass


def _with_one_object(lock: locking.Lock) -> Callable[[], None]:
    def call() -> None:
        with lock:
            pass

    return call


def _in_turn() -> None:
    if locking.lock(0):
        locking.unlock(0)


@exact
def test_a_with_statement_leaves_no_lock_taken(mine: Locks) -> None:
    lock = locking.Lock(0)
    for call in (_with, _with_one_object(lock)):
        places = 0
        for where, result in every(call, interrupt):
            places += 1
            assert isinstance(result, Interruption), where
            assert not mine.is_locked(0), where
            call()
            assert not mine.is_locked(0), where
        assert places > 8
    assert sum(map(len, lock._entering.values())) <= 2 * places


@exact
def test_what_is_held_around_it_stays_held(mine: Locks) -> None:
    def call() -> None:
        with contextlib.suppress(LockError):
            _with()

    locking.lock(0)
    for where, _result in every(call, interrupt):
        assert mine.is_locked(0), where
    locking.unlock(0)
    assert not mine.is_locked(0)


@exact
def test_unlock_frees_though_a_handler_raises(mine: Locks) -> None:
    held = 0
    for where, _result in every(lambda: locking.unlock(0), interrupt, lambda: locking.lock(0)):
        held += mine.is_locked(0)
        with contextlib.suppress(LockError):
            locking.unlock(0)
        assert not mine.is_locked(0), where
    assert held == 1  # at its very beginning: it was not called
    assert not mine.is_locked(0)


@exact
def test_a_handler_takes_the_lock_too(mine: Locks) -> None:
    """It gets it, or the error for a thread that has it already; never for ever."""

    def handler() -> None:
        with contextlib.suppress(LockError):
            _with()

    for call in (_with, _in_turn):
        for where, result in every(call, handler):
            assert result is None or isinstance(result, Interruption), where
            assert not mine.is_locked(0), where


def test_exit_stack_and_unlock_inside(mine: Locks) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(locking.Lock(0))
        assert mine.is_locked(0)
    assert not mine.is_locked(0)
    with locking.Lock(0):
        locking.unlock(0)
        assert not mine.is_locked(0)
    assert not mine.is_locked(0)
    with pytest.raises(LockError):
        locking.unlock(0)
    with locking.Lock(0), pytest.raises(LockError):
        locking.lock(0)
    assert mine.lock(0, 0)
    mine.unlock(0)


def test_one_lock_object_in_many_threads(mine: Locks) -> None:
    lock, count = locking.Lock(0), [0]

    def body() -> None:
        for _ in range(300):
            with lock:
                value = count[0]
                time.sleep(0)
                count[0] = value + 1

    threads = [threading.Thread(target=body) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert count == [1200]
    assert not mine.is_locked(0)
    assert lock._entering == {}


def test_a_timer_that_raises(mine: Locks) -> None:
    """On every version, with the luck of a timer."""

    def handler(_signum: int, _frame: object) -> None:
        raise Interruption

    before = signal.signal(signal.SIGALRM, handler)
    switch = sys.getswitchinterval()
    interrupted = 0
    try:
        for _ in range(300):
            with contextlib.suppress(Interruption):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 2e-4)
                    while True:
                        with locking.Lock(0):
                            pass
                except Interruption:
                    interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert not mine.is_locked(0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.setswitchinterval(switch)
    assert interrupted > 100


# Signals


class _Serving:
    """A mule's receive with a signal that is registered here, and what its handler has run."""

    def __init__(self, bus: MessageBus, monkeypatch: pytest.MonkeyPatch) -> None:
        layout = bus.layout
        endpoints = [("mule1", layout.mule_endpoint(1)), ("mule0", layout.mule_pool)]
        taker = Taker(bus.where, bus.table, endpoints)
        self.bus = bus
        self.inbox = Inbox(bus.where, bus.description, bus.table, 1, taker)
        self.ran: list[int] = []
        self.record = bus.table.mule(1)
        registry = Registry()
        registry.publish(bus.where, bus.table)
        registry.register(9, "mule1", self.ran.append)
        monkeypatch.setattr(membership, "registry", registry)
        monkeypatch.setattr(
            membership, "peek", lambda: SimpleNamespace(table=bus.table, last_signal=0, role="mule")
        )
        running.open_record(bus.table.cells, self.record)

    def serve(self) -> None:
        assert self.inbox.get(0, True, True, dispatch.run_signal) is None

    def wait(self) -> None:
        shared = self.inbox.wait_signal(0)
        if shared is not None:
            dispatch.run_signal(shared)

    def everything(self) -> None:
        for _ in range(3):
            self.serve()

    def in_hand(self) -> list[int]:
        return [number for number in range(256) if running.is_held(self.bus.table.cells, self.record, number)]

    def close(self) -> None:
        self.inbox.close()
        running.close_record()
        os.unlink(self.bus.where.registry_lock)


@pytest.fixture
def serving(bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Serving]:
    monkeypatch.setattr(running, "held", [0] * 256)  # what other tests have left in hand
    monkeypatch.setattr(running, "_taken", {})
    with message_bus(bus_name) as bus:
        made = _Serving(bus, monkeypatch)
        yield made
        made.close()


@exact
@pytest.mark.parametrize("raised", [1, 3])
@pytest.mark.parametrize("how", ["serve", "wait"])
@pytest.mark.parametrize("act", ["raises", "serves"])
def test_a_signal_is_handled_once_and_is_in_hand_no_longer(
    serving: _Serving, how: str, act: str, raised: int
) -> None:
    def prepare() -> None:
        for _ in range(raised):
            serving.bus.raise_signal(9, 1)

    call = serving.serve if how == "serve" else serving.wait
    places = 0

    def made() -> None:
        call()

    for where, _result in every(made, interrupt if act == "raises" else serving.serve, prepare):
        places += 1
        serving.everything()
        assert serving.ran == [9] * raised, where
        assert serving.in_hand() == [], where
        assert not any(running.held), where
        serving.ran.clear()
    assert places > 20


@exact
def test_what_was_taken_and_not_begun_is_given_back(serving: _Serving) -> None:
    """The process ends then: its successor, or another mule, handles it."""
    found = 0
    for where, _result in every(serving.wait, interrupt, lambda: serving.bus.raise_signal(9, 1)):
        ran = len(serving.ran)
        serving.inbox.leave()
        assert serving.in_hand() == [], where
        successor = Taker(
            serving.bus.where, serving.bus.table, [("mule1", serving.bus.layout.mule_endpoint(1))]
        )
        left = drain(successor)
        successor.close()
        assert ran + len(left) == 1, where
        found += len(left)
        serving.ran.clear()
    assert found > 10


# Every function of an attached process


def _is_error(name: str) -> bool:
    found = getattr(ipcmules, name)
    return isinstance(found, type) and issubclass(found, BaseException)


def test_each_public_function_is_driven() -> None:
    functions = {
        name for name in ipcmules.__all__ if callable(getattr(ipcmules, name)) and not _is_error(name)
    }
    assert (
        functions <= {each.partition(",")[0] for each in public_calls.CALLS} | public_calls.ELSEWHERE.keys()
    )


@exact
def test_every_function_of_an_attached_process(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """IPCMULES_TEST_EVERY=1: every place, not every 31st, or in first calls every 601st."""
    drive(bus_name, tmp_path, "interrupted_program", "601")
