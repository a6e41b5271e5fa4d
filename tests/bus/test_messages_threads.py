"""Many threads of several mules at the same lanes: each message once, and in order for each thread."""

from __future__ import annotations

import mmap
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from messagebus import MessageBus, message_bus, no_signal
from support import wait_until

TARGETS = ("pool", "mule1", "farm.mail")
MULES, THREADS, SENDERS, EACH = 2, 6, 3, 12_000
#: So often do threads change, seconds: in the middle of everything.
OFTEN = 1e-5


class Numbers:
    """Numbers that one thread writes down and others read."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (1 + SENDERS * EACH))).cast("Q")

    def add(self, number: int) -> None:
        count = self._cells[0]
        self._cells[1 + count] = number
        self._cells[0] = count + 1

    def __len__(self) -> int:
        return self._cells[0]

    def __iter__(self) -> Iterator[int]:
        return iter(self._cells[1 : 1 + len(self)])


def _mule(bus: MessageBus, number: int, got: list[Numbers]) -> None:
    sys.setswitchinterval(OFTEN)
    inbox = bus.inbox(number)

    def body(numbers: Numbers) -> None:
        while True:
            data = inbox.get(None, True, True, no_signal)
            assert data is not None
            numbers.add(int(data.split()[0]))

    threads = [threading.Thread(target=body, args=(each,), daemon=True) for each in got]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _sender(bus: MessageBus, sender: int) -> None:
    post, choice = bus.post(), random.Random(sender)
    sent = 0
    while sent < EACH:
        target = choice.randrange(len(TARGETS))
        send = post.outbox(TARGETS[target]).send
        for _ in range(min(choice.randrange(1, 400), EACH - sent)):
            key = (sender * len(TARGETS) + target) << 32 | sent
            assert send(b"%d " % key + b"x" * choice.choice((0, 0, 20, 300, 300, 9000)), 30)
            sent += 1


@pytest.mark.parametrize("mules", [1, MULES])
def test_many_threads_at_one_lane(bus_env: object, bus_name: str, mules: int) -> None:
    with message_bus(bus_name, mules=mules, farms=(f"mail:{mules}",)) as bus:
        got = [[Numbers() for _ in range(THREADS)] for _ in range(mules)]
        for number in range(1, mules + 1):
            bus.fork(_mule, bus, number, got[number - 1])
        senders = [bus.fork(_sender, bus, sender) for sender in range(SENDERS)]
        assert [bus.wait(each, 60) for each in senders] == [0] * SENDERS
        everything = [numbers for of_mule in got for numbers in of_mule]
        try:
            wait_until(lambda: sum(map(len, everything)) >= SENDERS * EACH, 60)
        except AssertionError as error:
            raise AssertionError(f"{sum(map(len, everything))} of {SENDERS * EACH} came") from error
        time.sleep(0.05)  # what would come twice
        counts = Counter(number for numbers in everything for number in numbers)
        assert len(counts) == SENDERS * EACH
        assert [number for number, count in counts.items() if count > 1] == []
        for numbers in everything:
            for lane in {number >> 32 for number in numbers}:
                own = [number for number in numbers if number >> 32 == lane]
                assert own == sorted(own)
