"""A program's signal handlers raise, or send, in the middle of a send: nothing twice or lost, no hang."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from messagebus import MessageBus, message_bus, no_signal

pytestmark = pytest.mark.slow


class Interruption(Exception):
    """What the handlers here raise."""


def numbers_until(least: int, seen: Callable[[], object]) -> Iterator[int]:
    """0, 1, 2 ... at least so many, and on until seen(): when signals come is up to the scheduler."""
    deadline = time.monotonic() + 60
    for number in itertools.count():
        if number >= least:
            if seen():
                return
            assert time.monotonic() < deadline, "the interruptions did not come within 60 s"
        yield number


@contextlib.contextmanager
def interrupted(bus: MessageBus, handler: Callable[[int, object], None]) -> Iterator[None]:
    """Another process sends this one SIGUSR1, every 100 microseconds or so."""
    parent = os.getpid()

    def annoy() -> None:
        while os.getppid() == parent:
            os.kill(parent, signal.SIGUSR1)
            time.sleep(0.0001)

    before = signal.signal(signal.SIGUSR1, handler)
    pid = bus.fork(annoy)
    try:
        yield
    finally:
        bus.kill(pid)
        signal.signal(signal.SIGUSR1, before)


def _receive(bus: MessageBus, endpoint: str) -> tuple[list[bytes], threading.Thread]:
    inbox = bus.inbox(1)
    found: list[bytes] = []

    def body() -> None:
        while (data := inbox.get(20, True, True, no_signal)) not in (b"stop", None):
            found.append(data)

    thread = threading.Thread(target=body)
    thread.start()
    return found, thread


@pytest.mark.parametrize("target", ["mule1", "pool"])
@pytest.mark.parametrize("size", [0, 20_000])
def test_a_handler_that_raises_doubles_and_loses_nothing(
    bus_env: object, bus_name: str, target: str, size: int
) -> None:
    count = 1500 if size else 20_000
    with message_bus(bus_name, mules=1, farms=()) as bus:
        found, receiver = _receive(bus, target)
        post = bus.post()
        send = post.outbox(target).send
        accepted, unknown = set(), set()
        raising = False

        def handler(_signum: int, _frame: object) -> None:
            nonlocal raising
            if raising:
                raising = False
                raise Interruption

        with interrupted(bus, handler):
            for number in numbers_until(count, lambda: unknown):
                data = b"%d " % number + b"x" * size
                try:
                    raising = True
                    if send(data, 20):
                        accepted.add(number)
                    raising = False
                except Interruption:
                    if number not in accepted:
                        unknown.add(number)
        post.outbox(target).send(b"stop")
        receiver.join(20)
        assert not receiver.is_alive()
        numbers = [int(each.split(b" ")[0]) for each in found]
        assert numbers == sorted(set(numbers))  # none twice, and in order
        assert accepted <= set(numbers) <= accepted | unknown
        assert all(len(each.split(b" ")[1]) == size for each in found)


@pytest.mark.parametrize("target", ["mule1", "pool"])
def test_a_handler_that_sends_itself(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        found, receiver = _receive(bus, target)
        post = bus.post()
        send = post.outbox(target).send
        handled: list[int] = []
        numbers = itertools.count()
        depth = 0

        def handler(_signum: int, _frame: object) -> None:
            nonlocal depth
            if depth == 20:  # while the receiver gets no processor each blocked send is interrupted again
                return
            depth += 1
            number = next(numbers)  # in one step: a handler may interrupt another
            handled.append(number)
            assert send(b"h %d" % number, 20, 3 if number % 50 == 49 else 0)
            depth -= 1

        sent = 0
        with interrupted(bus, handler):
            for sent in numbers_until(15_000, lambda: len(handled) > 5):
                assert send(b"m %d" % sent, 20)
        post.outbox(target).send(b"stop")
        receiver.join(20)
        assert not receiver.is_alive()
        for kind, count in ((b"m", sent + 1), (b"h", len(handled))):
            assert sorted(int(each[2:]) for each in found if each[:1] == kind) == list(range(count))
