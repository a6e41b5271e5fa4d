"""A program's signal handlers raise, or send, in the middle of a send: nothing twice or lost, no hang."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from test_messages_support import MessageBus, message_bus, no_signal


class Interruption(Exception):
    """What the handlers here raise."""


@pytest.fixture
def often() -> Iterator[None]:
    """SIGALRM every 50 microseconds or so, while the test wants it."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


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
    bus_env: object, bus_name: str, often: None, target: str, size: int
) -> None:
    count = 1500 if size else 20_000
    with message_bus(bus_name, mules=1, farms=()) as bus:
        found, receiver = _receive(bus, target)
        post = bus.post()
        send = post.outbox(target).send
        accepted, unknown = set(), set()
        raising = False

        def handler(_signum: int, _frame: object) -> None:
            if raising:
                raise Interruption

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        for number in range(count):
            data = b"%d " % number + b"x" * size
            try:
                raising = True
                if send(data, 20):
                    accepted.add(number)
                raising = False
            except Interruption:
                raising = False
                if number not in accepted:
                    unknown.add(number)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert post.flush(20)
        post.outbox(target).send(b"stop")
        receiver.join(20)
        assert not receiver.is_alive()
        numbers = [int(each.split(b" ")[0]) for each in found]
        assert numbers == sorted(set(numbers))  # none twice, and in order
        assert accepted <= set(numbers) <= accepted | unknown
        assert all(len(each.split(b" ")[1]) == size for each in found)


@pytest.mark.parametrize("target", ["mule1", "pool"])
def test_a_handler_that_sends_itself(bus_env: object, bus_name: str, often: None, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        found, receiver = _receive(bus, target)
        post = bus.post()
        send = post.outbox(target).send
        handled = []

        def handler(_signum: int, _frame: object) -> None:
            number = len(handled)
            handled.append(number)
            assert send(b"h %d" % number, 20, 3 if number % 50 == 49 else 0)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for number in range(15_000):
            assert send(b"m %d" % number, 20)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert post.flush(20)
        post.outbox(target).send(b"stop")
        receiver.join(20)
        assert not receiver.is_alive()
        for kind, count in ((b"m", 15_000), (b"h", len(handled))):
            numbers = [int(each[2:]) for each in found if each[:1] == kind]
            assert sorted(numbers) == list(range(count))
        assert len(handled) > 5
