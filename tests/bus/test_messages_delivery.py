"""Every message arrives once, in its sender's order, whatever the sizes and whoever sends and receives."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict

import pytest

from ipcmules.bus import table
from ipcmules.errors import BusStopped, UnknownTarget
from ipcmules.messages import large
from messagebus import Lines, MessageBus, message_bus, no_signal
from support import wait_until


def _receive_all(bus: MessageBus, number: int, lines: Lines, threads: int = 1) -> None:
    """A mule that writes down what it gets until a 'stop'; several threads share its inbox."""
    inbox = bus.inbox(number)
    got: list[list[bytes]] = [[] for _ in range(threads)]
    over = threading.Event()

    def body(found: list[bytes]) -> None:
        while not over.is_set():
            data = inbox.get(0.2, True, True, no_signal)
            if data == b"stop":
                over.set()
                return
            if data is not None:
                found.append(data)

    workers = [threading.Thread(target=body, args=(found,)) for found in got[1:]]
    lines.say("ready")
    for each in workers:
        each.start()
    body(got[0])
    for each in workers:
        each.join()
    path = os.path.join(bus.where.runtime, f"got{number}")
    with open(path, "wb") as file:
        for found in got:
            file.writelines(each.split(b" ")[0] + b"\n" for each in found)
            file.write(b"thread\n")
    lines.say("done")


def _send_many(bus: MessageBus, sender: int, count: int, targets: tuple[str, ...]) -> None:
    post = bus.post()
    choice = random.Random(sender)
    for number in range(count):
        size = choice.choice((0, 20, 20, 20, 600))
        post.outbox(targets[number % len(targets)]).send(b"%d:%d " % (sender, number) + b"x" * size)


def _gather(bus: MessageBus, mules: int) -> tuple[list[tuple[int, int]], bool]:
    """All (sender, number) that arrived, and whether each thread got each sender's in order."""
    everything: list[tuple[int, int]] = []
    ordered = True
    for mule in range(1, mules + 1):
        last: dict[int, int] = defaultdict(lambda: -1)
        path = os.path.join(bus.where.runtime, f"got{mule}")
        with open(path, "rb") as file:
            lines = file.read().split()
        for line in lines:
            if line == b"thread":
                last.clear()
                continue
            sender, number = map(int, line.split(b":"))
            ordered = ordered and number > last[sender]
            last[sender] = number
            everything.append((sender, number))
        os.unlink(path)
    return everything, ordered


@pytest.mark.parametrize(
    ("targets", "threads"),
    [(("mule1",), 1), (("mule1",), 3), (("pool",), 1), (("pool",), 2), (("farm.mail",), 1)],
)
def test_several_senders_and_receivers(
    bus_env: object, bus_name: str, targets: tuple[str, ...], threads: int
) -> None:
    count, senders = 8000, 3
    with message_bus(bus_name) as bus:
        lines = Lines()
        mules = [bus.fork(_receive_all, bus, number, lines, threads) for number in (1, 2)]
        for _ in mules:
            lines.next()
        sending = [bus.fork(_send_many, bus, number, count, targets) for number in range(senders)]
        for pid in sending:
            assert bus.wait(pid) == 0
        post = bus.post()
        for number in (1, 2):
            wait_until(lambda: not any(bus.waiting(each.endpoint) for each in bus.specs))
            post.outbox(f"mule{number}").send(b"stop")
        for pid in mules:
            assert bus.wait(pid) == 0
        everything, ordered = _gather(bus, 2)
        post.close()
        lines.close()
    assert sorted(everything) == [(sender, number) for sender in range(senders) for number in range(count)]
    assert ordered


def test_threads_of_one_sender_keep_their_orders(bus_env: object, bus_name: str) -> None:
    count = 5000
    with message_bus(bus_name, mules=1, farms=()) as bus:
        lines = Lines()
        mule = bus.fork(_receive_all, bus, 1, lines)
        lines.next()
        post = bus.post()

        def body(sender: int) -> None:
            send = post.outbox("mule1").send
            for number in range(count):
                assert send(b"%d:%d " % (sender, number))

        threads = [threading.Thread(target=body, args=(sender,)) for sender in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        post.outbox("mule1").send(b"stop")
        assert bus.wait(mule) == 0
        everything, ordered = _gather(bus, 1)
        post.close()
        lines.close()
    assert sorted(everything) == [(sender, number) for sender in range(4) for number in range(count)]
    assert ordered


def test_the_last_messages_of_a_burst_leave_without_another_send(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        send = post.outbox("mule1").send
        for number in range(1000):
            assert send(b"%d" % number, 0)
        found = [inbox.get(5, True, True, no_signal) for _ in range(1000)]
        assert found == [b"%d" % number for number in range(1000)]
        assert inbox.get(0, True, True, no_signal) is None
        post.close()


def test_a_full_target_stalls_no_other(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, messages=100) as bus:
        post, inbox = bus.post(), bus.inbox(2)
        accepted = 0
        while post.outbox("mule1").send(b"x" * 1000, 0):
            accepted += 1
        assert accepted >= 100
        began = time.monotonic()
        assert not post.outbox("mule1").send(b"late", 0.05)
        assert time.monotonic() - began >= 0.05
        assert post.outbox("mule2").send(b"y", 0)
        assert inbox.get(1, True, True, no_signal) == b"y"
        for _ in range(accepted):
            _drain(bus, post)
        post.close()


def _drain(bus: MessageBus, post: object) -> None:
    inbox = getattr(bus, "drainer", None) or bus.inbox(1)
    bus.drainer = inbox  # type: ignore[attr-defined]
    assert inbox.get(5, True, True, no_signal) == b"x" * 1000


def test_a_fork_in_the_middle_of_sending_doubles_nothing(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        send = post.outbox("mule1").send
        for number in range(2000):
            assert send(b"1:%d" % number, 0)

        def child() -> None:
            post.after_fork()
            for number in range(1000):
                assert post.outbox("mule1").send(b"2:%d" % number)

        pid = bus.fork(child)
        found = []
        while len(found) < 3000:
            data = inbox.get(10, True, True, no_signal)
            assert data is not None
            found.append(data)
        assert bus.wait(pid) == 0
        assert inbox.get(0.05, True, True, no_signal) is None
        post.close()
    for sender, count in ((b"1", 2000), (b"2", 1000)):
        assert [each for each in found if each[:1] == sender] == [
            b"%b:%d" % (sender, n) for n in range(count)
        ]


def test_a_sender_that_ends_with_a_full_queue_loses_nothing(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:

        def child() -> None:
            send = bus.post().outbox("mule1").send
            for number in range(3000):
                assert send(b"%d" % number, 0)

        pid = bus.fork(child)
        wait_until(lambda: bus.queued("mule1") == bus.specs[1].depth)
        inbox = bus.inbox(1)
        found = [inbox.get(10, True, True, no_signal) for _ in range(3000)]
        assert found == [b"%d" % number for number in range(3000)]
        assert bus.wait(pid) == 0
        assert bus.kept() == []


def test_what_a_sender_leaves_waits_for_a_mule_that_comes_later(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:

        def child() -> None:
            post = bus.post()
            for number in range(3000):
                assert post.outbox("mule1").send(b"%d" % number, 0)

        assert bus.wait(bus.fork(child)) == 0
        inbox = bus.inbox(1)
        found = [inbox.get(5, True, True, no_signal) for _ in range(3000)]
        assert found == [b"%d" % number for number in range(3000)]
        assert inbox.get(0, True, True, no_signal) is None
        assert bus.kept() == []


@pytest.mark.parametrize("size", [0, 1, 255, 2000, 8190, 8191, 65536, 5_000_000, 100_000_000])
@pytest.mark.parametrize("target", ["mule1", "pool"])
def test_any_size(bus_env: object, bus_name: str, size: int, target: str) -> None:
    data = os.urandom(min(size, 1 << 20)) * (size // (1 << 20) + 1)
    data = data[:size]
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        post.outbox(target).send(data)
        assert inbox.get(5, True, True, no_signal) == data
        assert inbox.get(0, True, True, no_signal) is None
        assert large.sweep(bus.where) == 0
        post.close()


def test_large_and_small_messages_keep_their_order(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        send = post.outbox("mule1").send
        sent = [b"%d" % number + b"z" * (20000 if number % 7 == 0 else 30) for number in range(200)]
        for data in sent[:20]:
            assert send(data, 1)
        found = [inbox.get(5, True, True, no_signal) for _ in range(10)]
        for data in sent[20:]:
            while not send(data, 0):
                found.append(inbox.get(5, True, True, no_signal))
        while len(found) < len(sent):
            found.append(inbox.get(5, True, True, no_signal))
        assert found == sent
        post.close()


def test_priority_overtakes_what_is_queued_and_what_is_buffered(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        send = post.outbox("mule1").send
        for number in range(400):
            assert send(b"low %d" % number + b"x" * 100, 0)
        assert send(b"high", 0, 9)
        assert send(b"higher", 0, 10)
        found = []
        while len(found) < 402:
            data = inbox.get(5, True, True, no_signal)
            assert data is not None
            found.append(data.split(b"x")[0])
            time.sleep(0.0012 if len(found) < 5 else 0)
        lows = [each for each in found if each.startswith(b"low")]
        assert lows == [b"low %d" % number for number in range(400)]
        assert found.index(b"higher") < found.index(b"high") < 200
        post.close()


@pytest.mark.parametrize("priority", [-1, 32768, True, "9"])
def test_a_priority_that_cannot_be(bus_env: object, bus_name: str, priority: int) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post = bus.post()
        with pytest.raises(ValueError, match="0 to 32767"):
            post.outbox("mule1").send(b"x", None, priority)
        post.close()


def test_between_messages_of_a_frame_a_more_urgent_one_comes_first(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        for number in range(200):
            post.outbox("mule1").send(b"%d" % number)
        found = []
        while not found or found[-1] != b"5":
            found.append(inbox.get(1, True, True, no_signal))
        # From here on it is in the middle of a frame, if one message did not come alone.
        while not inbox.loaded:
            found.append(inbox.get(1, True, True, no_signal))
        post.outbox("mule1").send(b"urgent", None, 5)
        time.sleep(0.002)
        assert inbox.get(1, True, True, no_signal) == b"urgent"
        while len(found) < 200:
            found.append(inbox.get(1, True, True, no_signal))
        assert found == [b"%d" % number for number in range(200)]
        post.close()


def test_nobody_reads_the_pool(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post = bus.post()
        for number in (1, 2):
            bus.inbox(number, shared=False)
            bus.table.cells[bus.table.mule(number) + table.R_STATE] = table.WAITING
        assert post.outbox("pool").send(b"hello") is True
        assert post.outbox("farm.mail").send(b"you") is True
        assert bus.kept() == [b"hello", b"you"]
        bus.inbox(2).set_shared(True)
        post.outbox("pool").send(b"now")
        assert bus.queued("pool") == 1
        post.close()


def test_unknown_endpoint(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus, pytest.raises(UnknownTarget, match=r"mule3.*mule1, mule2"):
        bus.post().outbox("mule3")


def test_a_send_into_a_stopped_named_bus_is_kept_and_the_next_refused(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post = bus.post()
        post.outbox("mule1").send(b"before")
        bus.table.cells[table.H_STATE] = table.STOPPED
        assert post.outbox("mule1").send(b"after") is True
        assert bus.kept() == [b"before", b"after"]
        with pytest.raises(BusStopped):
            post.outbox("mule1").send(b"late")
        post.close()


def test_a_send_into_a_stopped_bus_without_a_name_is_refused(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, named=False) as bus:
        post = bus.post()
        post.outbox("mule1").send(b"before")
        bus.table.cells[table.H_STATE] = table.STOPPED
        with pytest.raises(BusStopped):
            post.outbox("mule1").send(b"after")
        assert bus.kept() == []
        post.close()


def test_a_sender_that_waits_for_a_dead_bus_is_told(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=(), messages=100) as bus:
        post = bus.post()
        while post.outbox("mule1").send(b"x" * 1000, 0):
            pass
        threading.Timer(0.1, lambda: bus.table.cells.__setitem__(table.H_STATE, table.STOPPED)).start()
        with pytest.raises(BusStopped):
            post.outbox("mule1").send(b"late")
        post.close()
