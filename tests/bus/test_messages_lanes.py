"""Lanes:

what a queue has no room for outlives its sender, comes once and in order, and gives its memory back.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ipcmules.bus import table
from ipcmules.errors import BusStopped
from ipcmules.kernel import atomics
from ipcmules.master.leftovers import saved_messages
from ipcmules.master.objects.objects import Objects
from ipcmules.messages import frames, in_hand, kept, slots
from ipcmules.messages.lanes import cells, chain, saving
from ipcmules.messages.lanes.directory import Directory, number_of
from messagebus import MessageBus, message_bus, no_signal
from support import wait_until

TARGETS = pytest.mark.parametrize("target", ["mule1", "pool"])


def _segments(bus: MessageBus) -> list[str]:
    """The segments of lanes that there are."""
    start = f"{bus.where.lanes.lstrip('/')}."
    return [name for name in os.listdir("/dev/shm") if name.startswith(start)]


def _all(bus: MessageBus, count: int) -> list[bytes | None]:
    inbox = bus.inbox(1)
    found = [inbox.get(5, True, True, no_signal) for _ in range(count)]
    assert inbox.get(0, True, True, no_signal) is None
    return found


@TARGETS
def test_a_killed_sender_loses_nothing_of_a_burst(bus_env: object, bus_name: str, target: str) -> None:
    """10,000 of any size to a target that takes none of them; the next sender goes on behind that."""
    sent = [b"%d " % number + b"x" * (number % 300) for number in range(10_000)]
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)

        def burst() -> None:
            send = bus.post().outbox(target).send
            assert all(send(data, 0) for data in sent)
            os.kill(os.getpid(), signal.SIGKILL)

        assert bus.wait(bus.fork(burst)) == -signal.SIGKILL
        assert bus.post().outbox(target).send(b"behind", 0)
        assert _all(bus, len(sent) + 1) == [*sent, b"behind"]


@pytest.mark.parametrize("both", [False, True])
def test_a_lane_is_taken_over_while_its_receiver_goes_on(
    bus_env: object, bus_name: str, both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right when the new sender has seen which segment is the first, or the second, that one is removed."""
    sent = [b"%d " % number + b"x" * 100 for number in range(12_000)]
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)

        def burst() -> None:
            send = bus.post().outbox("mule1").send
            assert all(send(data, 0) for data in sent)
            os.kill(os.getpid(), signal.SIGKILL)

        assert bus.wait(bus.fork(burst)) == -signal.SIGKILL
        assert len(_segments(bus)) > 2
        found: list[bytes | None] = []
        calls, original = [0], chain.open_segment

        def open_late(prefix: str, number: int, shape: chain.Shape) -> chain.Segment:
            if sys._getframe(1).f_code.co_name == "_last":
                calls[0] += 1
                if calls[0] == (2 if both else 1):
                    first = f"{prefix}{number}"
                    while os.path.exists(first):
                        found.append(inbox.get(0, True, True, no_signal))
            return original(prefix, number, shape)

        monkeypatch.setattr(chain, "open_segment", open_late)
        post = bus.post()
        for number in range(20):
            assert post.outbox("mule1").send(b"behind %d" % number, 0)
        assert calls[0] > 1 and found
        while (data := inbox.get(0, True, True, no_signal)) is not None:
            found.append(data)
        assert found == [*sent, *(b"behind %d" % number for number in range(20))]


@TARGETS
def test_the_limit_is_what_the_option_says(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=(), messages=700) as bus:
        inbox, send = bus.inbox(1), bus.post().outbox(target).send
        accepted = 0
        while send(b"x", 0):
            accepted += 1
        assert accepted == 700 + bus.queued(target)
        for _ in range(accepted):
            assert inbox.get(5, True, True, no_signal) == b"x"
        assert send(b"y", 0)


@TARGETS
def test_no_lanes_where_none_may_wait(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=(), messages=0) as bus:
        bus.inbox(1)
        send = bus.post().outbox(target).send
        accepted = 0
        while send(b"x", 0):
            accepted += 1
        assert accepted == bus.queued(target)
        assert _segments(bus) == []


@TARGETS
def test_without_memory_the_queue_alone_decides(bus_env: object, bus_name: str, target: str) -> None:
    """No file may be as large as a segment: as where /dev/shm is full."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)

        def body() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            outbox = bus.post().outbox(target)
            accepted = 0
            while outbox.send(b"x", 0):
                accepted += 1
            assert accepted == bus.queued(target)
            assert not outbox.send(b"x", 0.01)
            assert outbox._complained

        assert bus.wait(bus.fork(body)) == 0
        assert _segments(bus) == []


@TARGETS
def test_lanes_are_freed_and_used_again(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)

        def burst() -> None:
            send = bus.post().outbox(target).send
            assert all(send(b"x" * 500, 0) for _ in range(2000))
            os.kill(os.getpid(), signal.SIGKILL)

        for _ in range(3):
            assert bus.wait(bus.fork(burst)) == -signal.SIGKILL
            assert len(_segments(bus)) > 1
            for _ in range(2000):
                assert inbox.get(5, True, True, no_signal) == b"x" * 500
            # One is left, with what memory it has not given back.
            assert inbox.get(0, True, True, no_signal) is None
            assert len(_segments(bus)) <= 2
        # A mule that has nothing to do frees what the dead left, a sender that ends what it has.
        wait_until(lambda: inbox.get(0.05, True, True, no_signal) is None and not _segments(bus))
        post = bus.post()
        assert all(post.outbox(target).send(b"y", 0) for _ in range(50))
        assert [inbox.get(5, True, True, no_signal) for _ in range(50)] == [b"y"] * 50
        assert inbox.get(0, True, True, no_signal) is None
        assert len(_segments(bus)) == 1
        post.close()
        assert _segments(bus) == []


@TARGETS
def test_priorities_wait_behind_a_queue_in_their_order(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)
        send, depth = bus.post().outbox(target).send, 0
        while bus.queued(target) == depth:
            assert send(b"first", 0, 9)
            depth += 1
        for number in range(20):
            assert send(b"%d %d" % (number % 3, number), 0, number % 3)
        found = [each for each in _all(bus, depth + 20) if each != b"first"]
        assert [each[:1] for each in found if each] == [b"2"] * 6 + [b"1"] * 7 + [b"0"] * 7
        assert [each for each in found if each and each[:1] == b"1"] == [b"1 %d" % n for n in range(1, 20, 3)]


@pytest.mark.parametrize("named", [True, False])
def test_a_stop_saves_what_lies_in_lanes_in_order(bus_env: object, bus_name: str, named: bool) -> None:
    with message_bus(bus_name, named=named) as bus:
        bus.inbox(1)
        post = bus.post()
        sent = {}
        for target in ("mule1", "mule2", "pool", "farm.mail"):
            sent[target] = [
                b"%d" % number + b"z" * (20_000 if number % 40 == 7 else 3) for number in range(90)
            ]
            assert all(post.outbox(target).send(data, 0) for data in sent[target])
        bus.table.cells[table.H_STATE] = table.STOPPED
        assert saved_messages.save(bus.where, bus.description) == 4 * 90
        found: dict[str, list[bytes]] = {target: [] for target in sent}
        for path in kept.listing(bus.where):
            found[kept.load(path).endpoint].append(kept.load(path).data)
        assert found == (sent if named else {target: [] for target in sent})
        assert saved_messages.save(bus.where, bus.description) == 0


@TARGETS
def test_a_message_that_comes_into_a_lane_after_that_was_saved(
    bus_env: object, bus_name: str, target: str
) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)
        send = bus.post().outbox(target).send
        assert all(send(b"%d" % number, 0) for number in range(30))
        # As a master ends the bus, but that the sender sees it late.
        assert saved_messages.save(bus.where, bus.description) == 30
        bus.table.cells[table.H_STATE] = table.STOPPED
        with open(bus.where.lock, "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert send(b"late", 0)
        os.unlink(bus.where.lock)
        assert bus.kept() == [b"%d" % number for number in range(30)] + [b"late"]
        with pytest.raises(BusStopped):
            send(b"later", 0)


@TARGETS
def test_a_sender_that_goes_on_while_its_bus_ends(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)
        directory, queue = Directory(bus.where), number_of(bus.config, target)

        def goes_on(accepted: int) -> None:
            send = bus.post().outbox(target).send
            with contextlib.suppress(BusStopped):
                for number in itertools.count():
                    send(b"%d" % number)
                    os.pwrite(accepted, b"%d" % (number + 1), 0)

        with open(bus.where.lock, "w", encoding="ascii") as lock, tempfile.TemporaryFile() as accepted:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sender = bus.fork(goes_on, accepted.fileno())
            wait_until(lambda: saving.count(directory, queue) > 300)
            bus.table.cells[table.H_STATE] = table.STOPPED
            saved_messages.save(bus.where, bus.description)
            bus.wait(sender)
            count = int(os.pread(accepted.fileno(), 20, 0))
        os.unlink(bus.where.lock)
        assert bus.kept()[:count] == [b"%d" % number for number in range(count)]


@TARGETS
def test_a_sender_whose_bus_belongs_to_another_master(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        bus.inbox(1)
        send = bus.post().outbox(target).send
        assert all(send(b"%d" % number, 0) for number in range(30))
        made = Objects(bus.where, bus.description, bus.table, Directory(bus.where), lost=True)
        made.set_state(table.STOPPED)
        assert send(b"nobody saves it, and it lies with the others", 0)
        with pytest.raises(BusStopped):
            send(b"later", 0)


# At every instruction


def _kill_at(step: int, body: Callable[[], object]) -> None:
    """Run body; at its so many-th instruction below ipcmules' messages this process is killed."""
    left = step

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal left
        if "/ipcmules/messages/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    body()
    sys.settrace(None)


@TARGETS
def test_what_no_queue_takes_is_named_in_a_lane_too(bus_env: object, bus_name: str, target: str) -> None:
    """An area of the in-flight slots has room for what the queue takes, and for no more."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox, outbox = bus.inbox(1), bus.post().outbox(target)
        longest = bus.description.queue(target).size - frames.OVERHEAD  # type: ignore[union-attr]
        sent = [b"x" * 10] * 20 + [b"y" * size for size in (longest, longest + 1, 20_000, 10)]
        assert all(outbox.send(data, 0) for data in sent)
        lane = outbox._lanes[0]
        named = [lane.segment.record(slot)[1] for slot in range(lane.segment.count())]
        assert named[-4:] == [False, True, True, False]
        assert [inbox.get(0, True, True, no_signal) for _ in sent] == sent


@TARGETS
def test_a_sender_that_is_killed_at_any_instruction(bus_env: object, bus_name: str, target: str) -> None:
    """What it accepted is there, what it was sending may be, once and in order."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        accepted = memoryview(mmap.mmap(-1, 8)).cast("Q")
        step, ended, turn = 1, False, 0
        while not ended:
            accepted[0] = 0
            turn += 1

            def body(step: int = step, turn: int = turn) -> None:
                send = bus.post().outbox(target).send

                def four() -> None:
                    for number in range(4):
                        assert send(b"%d %d" % (turn, number), 0)
                        accepted[0] += 1

                for number in range(bus.description.queue(target).depth):  # type: ignore[union-attr]
                    assert send(b"%d fill %d" % (turn, number), 0)
                _kill_at(step, four)

            ended = bus.wait(bus.fork(body)) == 0
            found = []
            while (data := inbox.get(0, True, True, no_signal)) is not None:
                if b"fill" not in data:
                    found.append(data)
            # The look at an empty queue says so to senders, who use the queue again then.
            sure = accepted[0]
            assert found in [[b"%d %d" % (turn, n) for n in range(sure + more)] for more in (0, 1)]
            step += 41
        assert turn > 5


@TARGETS
def test_a_receiver_that_is_killed_at_any_instruction(bus_env: object, bus_name: str, target: str) -> None:
    """What it was given, what it had in hand, and what is left are everything, each once."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        count = 40
        got = memoryview(mmap.mmap(-1, 8 * 64)).cast("Q")
        step, ended, turn = 1, False, 0
        send = bus.post().outbox(target).send
        while not ended:
            turn += 1
            got[0] = 0
            assert all(send(b"%d" % number, 0) for number in range(count))

            def body(step: int = step) -> None:
                inbox = bus.inbox(1)

                def receive(some: int) -> None:
                    for _ in range(some):
                        data = inbox.get(0, True, True, no_signal)
                        assert data is not None
                        got[1 + got[0]] = int(data)
                        got[0] += 1

                # Of the kernel's queue one is lost between mq_receive(3) and the slots.
                receive(bus.description.queue(target).depth)  # type: ignore[union-attr]

                def some() -> None:
                    receive(2)
                    hand = inbox._handout.hand()
                    hand.look_at = hand.until = time.monotonic() + 60  # the others come the short way
                    receive(4)

                _kill_at(step, some)
                os.kill(os.getpid(), signal.SIGKILL) if step == 1 else os._exit(0)

            ended = bus.wait(bus.fork(body)) == 0
            hands = [int(left.data) for left in in_hand.recover(bus.where, 1)]
            given = list(got[1 : 1 + got[0]])
            # In hand still is what it was given last, or what it was about to be given.
            found = given + [each for each in hands if each not in given[-1:]]
            got[0] = 0

            def rest() -> None:
                inbox = bus.inbox(1)
                while (data := inbox.get(0, True, True, no_signal)) is not None:
                    got[1 + got[0]] = int(data)
                    got[0] += 1

            bus.wait(bus.fork(rest))
            found += got[1 : 1 + got[0]]
            assert found == list(range(count)), (step, given, hands)
            step += 31
        assert turn > 5


def test_two_receivers_of_which_one_is_killed_with_a_claim(bus_env: object, bus_name: str) -> None:
    """It had said which record it takes, and taken it: that is in its hand, not lost and not another's."""
    with message_bus(bus_name, farms=()) as bus:
        send = bus.post().outbox("pool").send
        bus.inbox(2)
        assert all(send(b"%d" % number, 0) for number in range(20))

        def body() -> None:
            inbox = bus.inbox(1)
            for _ in range(10):
                inbox.get(0, True, True, no_signal)
            from ipcmules.messages.receive import intake

            def stop(*_: object) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            intake.take_claim = stop  # type: ignore[assignment]
            inbox.get(0, True, True, no_signal)

        assert bus.wait(bus.fork(body)) == -signal.SIGKILL
        assert [left.data for left in in_hand.recover(bus.where, 1)] == [b"10"]
        assert in_hand.recover(bus.where, 1) == []
        inbox = bus.inbox(2)
        assert [inbox.get(0, True, True, no_signal) for _ in range(9)] == [b"%d" % n for n in range(11, 20)]
        assert inbox.get(0, True, True, no_signal) is None


@TARGETS
def test_a_receiver_that_sleeps_is_woken_for_a_lane(bus_env: object, bus_name: str, target: str) -> None:
    """Each time it has fallen asleep: the sender's lane is open, its queue may or may not be used."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        lines = memoryview(mmap.mmap(-1, 8)).cast("Q")

        def mule() -> None:
            inbox = bus.inbox(1)
            while inbox.get(None, True, True, no_signal) != b"stop":
                lines[0] += 1

        send = bus.post().outbox(target).send
        assert all(send(b"x", 0) for _ in range(50))
        pid = bus.fork(mule)
        for number in range(50, 150):
            wait_until(lambda number=number: lines[0] == number, every=0.0005)  # type: ignore[misc]
            if number % 5 == 0:
                time.sleep(0.002)  # it sleeps
            assert send(b"x", 0)
        assert send(b"stop", 0)
        assert bus.wait(pid) == 0


def test_a_claimed_record_counts_once(bus_env: object, bus_name: str) -> None:
    """Two threads of a dead mule had claimed it; or another mule has got it in hand and not marked it yet."""
    with message_bus(bus_name, mules=2, farms=()) as bus:
        send = bus.post().outbox("pool").send
        while not saving.count(Directory(bus.where), 0):
            assert send(b"claimed", 0)
        directory = Directory(bus.where)
        segment = chain.open_segment(directory.prefix(0, 0), 1, chain.SHARED)
        assert atomics.take(segment.base) == 0  # the first slot's count
        named = 1 << 32 | cells.record(1, 0, 0)
        dead, living = slots.Slots(bus.where, 1), slots.Slots(bus.where, 2)
        dead.cells[slots.REFS] = dead.cells[slots.REFS + 1] = cells.CLAIM | named
        living.cells[slots.REFS] = cells.OWN | cells.FROM_LANE | named | 7
        assert in_hand.recover(bus.where, 1) == []
        living.cells[slots.REFS] = 0
        dead.cells[slots.REFS] = dead.cells[slots.REFS + 1] = cells.CLAIM | named
        assert in_hand.recover(bus.where, 1) == [in_hand.Left(b"claimed", "pool")]
        assert segment.bytes[chain.DONE] == 1
        dead.close()
        living.close()
