"""Shared queues: what is accepted is out of its sender's hands, so no end of it, however abrupt, loses it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from ipcmules.bus import table
from ipcmules.errors import BusStopped
from ipcmules.messages import large
from ipcmules.messages.send.outbox import Outbox
from messagebus import Lines, MessageBus, message_bus, no_signal
from support import wait_until

_send = None


def _begin(bus: MessageBus, endpoint: str) -> None:
    global _send
    _send = bus.post().outbox(endpoint).send


def _work(number: int) -> bool:
    assert _send is not None
    return bool(_send(b"%d" % number))


def _receive_slowly(bus: MessageBus, number: int, count: int, lines: Lines) -> None:
    inbox = bus.inbox(number)
    lines.say("ready")
    for _ in range(count):
        lines.say(int(inbox.get(10, True, True, no_signal) or -1))
        time.sleep(0.001)


@pytest.mark.parametrize("endpoint", ["farm.mail", "pool"])
def test_children_of_a_pool_that_end_by_sigterm_lose_nothing(
    bus_env: object, bus_name: str, endpoint: str
) -> None:
    count = 200
    with message_bus(bus_name) as bus:
        lines = Lines()
        mule = bus.fork(_receive_slowly, bus, 1, count, lines)
        assert lines.next() == "ready"
        with multiprocessing.get_context("fork").Pool(2, _begin, (bus, endpoint)) as pool:
            assert all(pool.map(_work, range(count)))
        # Leaving the block has sent SIGTERM to the children.
        assert sorted(int(lines.next(10)) for _ in range(count)) == list(range(count))
        assert bus.wait(mule) == 0
        lines.close()


def test_true_means_out_of_the_senders_hands(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=3000) as bus:
        lines = Lines()

        def child() -> None:
            send = bus.post().outbox("pool").send
            accepted = 0
            while send(b"%d" % accepted, 0):
                accepted += 1
            lines.say(accepted)
            os.kill(os.getpid(), signal.SIGKILL)

        assert bus.wait(bus.fork(child)) == -signal.SIGKILL
        accepted = int(lines.next())
        assert accepted >= 3000
        inbox = bus.inbox(1)
        assert [inbox.get(5, True, True, no_signal) for _ in range(accepted)] == [
            b"%d" % number for number in range(accepted)
        ]
        lines.close()


def _fill(bus: MessageBus, outbox: Outbox, data: bytes = b"x") -> int:
    count = 0
    while outbox.send(data, 0):
        count += 1
    return count


def test_a_full_shared_queue_waits_as_long_as_it_was_told(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=20) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        outbox = post.outbox("pool")
        count = _fill(bus, outbox)
        began = time.monotonic()
        assert not outbox.send(b"late", 0.1)
        assert time.monotonic() - began >= 0.1
        # What waits behind the queue comes after what is in it.
        found: list[bytes | None] = []

        def receive(some: int) -> None:
            found.extend(inbox.get(5, True, True, no_signal) for _ in range(some))

        later = threading.Timer(0.1, receive, (bus.specs[0].depth + 1,))
        later.start()
        assert outbox.send(b"last", 10)
        later.join()
        receive(count + 1 - len(found))
        assert found == [b"x"] * count + [b"last"]


def test_a_large_message_that_was_not_accepted_is_removed(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=20) as bus:
        outbox = bus.post().outbox("pool")
        _fill(bus, outbox)
        assert not outbox.send(b"z" * 100_000, 0.02)
        assert large.sweep(bus.where) == 0


def test_priorities_in_a_shared_queue(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=20) as bus:
        send, inbox = bus.post().outbox("pool").send, bus.inbox(1)
        for priority in (0, 3, 1, 3):
            assert send(b"%d" % priority, 0, priority)
        assert [inbox.get(5, True, True, no_signal) for _ in range(4)] == [b"3", b"3", b"1", b"0"]
        with pytest.raises(ValueError, match="0 to 32767"):
            send(b"x", 0, -1)


def test_who_waits_at_a_shared_queue_of_a_dead_bus_is_told(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=20) as bus:
        outbox = bus.post().outbox("pool")
        _fill(bus, outbox)
        stopping = threading.Timer(0.1, lambda: bus.table.cells.__setitem__(table.H_STATE, table.STOPPED))
        stopping.start()
        with pytest.raises(BusStopped):
            outbox.send(b"late")
        stopping.join()


def test_a_descriptor_closed_behind_our_back(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=20) as bus:
        outbox, inbox = bus.post().outbox("pool"), bus.inbox(1)
        assert outbox.send(b"before")
        os.close(outbox.descriptor())
        assert outbox.send(b"after")
        wait_until(lambda: bus.queued("pool") == 2)
        assert [inbox.get(5, True, True, no_signal) for _ in range(2)] == [b"before", b"after"]
