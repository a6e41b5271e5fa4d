"""A signal handler raises, or does the same, at any place of a send into a lane, or of a receive from one."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import pytest

import interruptions
from interruptions import Interruption, every, interrupt
from ipcmules.messages import in_hand, large
from ipcmules.messages.lanes import saving
from ipcmules.messages.lanes.directory import Q_WAITING, Directory, number_of
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.messages.send.outbox import Outbox
from messagebus import MessageBus, message_bus, no_signal

pytestmark = pytest.mark.slow

exact = pytest.mark.skipif(not interruptions.EXACT, reason="the places are known for 3.11 and later")
#: Where to, and bytes of a message that lies in a lane, or of one that is named there.
KINDS = pytest.mark.parametrize(
    ("target", "size"), [("mule1", 10), ("mule1", 20_000), ("pool", 10), ("pool", 20_000)]
)
#: Every place, or one of so many.
EVERY = bool(os.environ.get("IPCMULES_TEST_EVERY"))


class Sender:
    """Sends numbered messages into a lane, whatever room its queue has."""

    def __init__(self, bus: MessageBus, target: str, size: int = 10) -> None:
        self._bus, self._target, self._size = bus, target, size
        self._numbers = itertools.count()
        self.directory = Directory(bus.where)
        self.queue = number_of(bus.config, target)
        self.outbox: Outbox = bus.post().outbox(target)
        self.sent: list[int] = []

    def __call__(self, size: int | None = None) -> None:
        self.hint()
        number = next(self._numbers)
        assert self.outbox.send(b"%d" % number + b" " * (self._size if size is None else size), 0)
        self.sent.append(number)

    def hint(self) -> None:
        """Something is in the lanes: the kernel's queue is not tried."""
        self.directory.cells[self.directory.record(self.queue) + Q_WAITING] = 1

    def to_the_end(self, inbox: Inbox) -> None:
        """Until its segment is full; what was sent is received."""
        while not self.outbox._lanes or self.outbox._lanes[0].at < self.outbox._lanes[0].shape.slots:
            self(0)
            inbox.get(0, True, True, no_signal)
        _everything(inbox, [])
        self.sent.clear()


def _everything(inbox: Inbox, found: list[int]) -> None:
    while (data := inbox.get(0, True, True, no_signal)) is not None:
        found.append(int(data))


def _nothing_is_left(bus: MessageBus, inbox: Inbox) -> None:
    _everything(inbox, [])
    assert inbox._handout.asleep == 0
    assert in_hand.recover(bus.where, 1) == []
    assert large.sweep(bus.where) == 0


@exact
@KINDS
@pytest.mark.parametrize("act", ["raises", "receives"])
def test_receives(bus_env: object, bus_name: str, target: str, size: int, act: str) -> None:
    with message_bus(bus_name) as bus:
        inbox, send = bus.inbox(1), Sender(bus, target, size)
        found: list[int] = []
        places = 0

        def get() -> None:
            data = inbox.get(0, True, True, no_signal)
            if data is not None:
                found.append(int(data))

        def prepare() -> None:
            for _ in range(3):
                send()

        for where, _result in every(get, interrupt if act == "raises" else get, prepare):
            places += 1
            _everything(inbox, found)
            assert sorted(found) == send.sent, where
            assert act == "receives" or found == send.sent, where
            found.clear()
            send.sent.clear()
        assert places > 20
        _nothing_is_left(bus, inbox)


@exact
@pytest.mark.parametrize("act", ["raises", "receives"])
def test_receives_the_short_way(bus_env: object, bus_name: str, act: str) -> None:
    """Records behind a shared queue, of which the one before was received just now."""
    with message_bus(bus_name, farms=()) as bus:
        inbox, send = bus.inbox(1), Sender(bus, "pool")
        found: list[int] = []
        places = 0

        def get() -> None:
            data = inbox.get(0, True, True, no_signal)
            if data is not None:
                found.append(int(data))

        def prepare() -> None:
            for _ in range(4):
                send()
            get()
            hand = inbox._handout.hand()
            assert hand.position is not None
            hand.look_at = hand.until = time.monotonic() + 60

        for where, _result in every(get, interrupt if act == "raises" else get, prepare):
            places += 1
            _everything(inbox, found)
            assert sorted(found) == send.sent, where
            assert act == "receives" or found == send.sent, where
            found.clear()
            send.sent.clear()
        assert 2 < places < 20
        _nothing_is_left(bus, inbox)


@exact
@pytest.mark.parametrize("target", ["mule1", "pool"])
@pytest.mark.parametrize("act", ["raises", "receives"])
def test_receives_that_go_on_to_the_next_segment(
    bus_env: object, bus_name: str, target: str, act: str
) -> None:
    with message_bus(bus_name, farms=()) as bus:
        inbox, send = bus.inbox(1), Sender(bus, target)
        found: list[int] = []

        def get() -> None:
            data = inbox.get(0, True, True, no_signal)
            if data is not None:
                found.append(int(data))

        def prepare() -> None:
            send.to_the_end(inbox)
            send()
            send()

        # Of a mule's own queue 4,095 records fit into a segment.
        step = 1 if EVERY else 61 if target == "mule1" else 11
        for where, _result in every(get, interrupt if act == "raises" else get, prepare, step):
            _everything(inbox, found)
            assert sorted(found) == send.sent, where
            found.clear()
            send.sent.clear()
        _nothing_is_left(bus, inbox)
        assert len({each.number for each in send.outbox._lanes[0]._past}) <= 2


def _first(bus: MessageBus, send: Sender, inbox: Inbox) -> None:
    """The lane is to be opened."""
    send.outbox.leave()
    send.hint()


def _common(bus: MessageBus, send: Sender, inbox: Inbox) -> None:
    """It has something, and nobody sleeps."""
    send()
    send()


def _asleep(bus: MessageBus, send: Sender, inbox: Inbox) -> None:
    """It has something, and somebody sleeps who was not woken."""
    send()
    send.directory.cells[send.directory.bell(send.queue, 1)] |= 1


def _again(bus: MessageBus, send: Sender, inbox: Inbox) -> None:
    """The long way, as the common one is not taken while the lane is empty; somebody sleeps."""
    send.hint()
    if send.outbox._lanes:
        send.outbox._lanes[0].rest()
    send.directory.cells[send.directory.bell(send.queue, 1)] |= 1


def _full(bus: MessageBus, send: Sender, inbox: Inbox) -> None:
    """Its segment has an end."""
    send.to_the_end(inbox)
    send.hint()


@exact
@KINDS
@pytest.mark.parametrize("act", ["raises", "sends"])
@pytest.mark.parametrize("begin", [_first, _common, _asleep, _again, _full])
@pytest.mark.parametrize("context", [b"", b"context"])
def test_sends(
    bus_env: object,
    bus_name: str,
    target: str,
    size: int,
    act: str,
    begin: Callable[[MessageBus, Sender, Inbox], None],
    context: bytes,
) -> None:
    """What was accepted is there, what was interrupted may be; and who sleeps is woken for what is there."""
    with message_bus(bus_name, farms=()) as bus:
        inbox, send = bus.inbox(1), Sender(bus, target, size)
        numbers = itertools.count(1_000_000)
        bell = send.directory.bell(send.queue, 1)

        def call() -> int:
            number = next(numbers)
            data = b"%d" % number + b" " * size
            assert send.outbox.send_with(data, context, 0, 0) if context else send.outbox.send(data, 0)
            return number

        inside: list[int] = []

        def handler() -> None:
            inside.append(call())

        def prepare() -> None:
            begin(bus, send, inbox)

        step = 1 if EVERY else {_first: 17, _full: 101 if target == "mule1" else 17}.get(begin, 3)
        for where, result in every(call, interrupt if act == "raises" else handler, prepare, step):
            asleep = bool(send.directory.cells[bell] & 1)
            waits = saving.count(send.directory, send.queue)
            assert not asleep or waits <= len(send.sent) or bus.queued(target), f"nobody is woken: {where}"
            found: list[int] = []
            _everything(inbox, found)
            accepted = [*send.sent, *inside, *([] if isinstance(result, Interruption) else [result])]
            assert sorted(set(found)) == sorted(found), where
            assert set(accepted) <= set(found), where
            assert len(found) <= len(accepted) + (act == "raises"), where
            assert found[: len(send.sent)] == send.sent, where
            send.sent.clear()
            inside.clear()
        call()  # nothing is locked
        _nothing_is_left(bus, inbox)
