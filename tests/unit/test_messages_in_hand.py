"""What the receiving side has in hand: recorded on every path, found after a SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
import time

import posix_ipc
import pytest

from ipcmules.messages import frames, in_hand, large, queues
from ipcmules.messages import slots as inflight
from ipcmules.messages.lanes import cells
from messagebus import Lines, message_bus, no_signal


@pytest.mark.slow
def test_a_mule_that_is_killed_in_the_middle_of_a_frame(bus_env: object, bus_name: str) -> None:
    """What it had in hand is found; its successor goes on with the next one; nothing is lost or doubled."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        lines, count = Lines(), 601
        seen: list[str] = []
        hands: list[bytes] = []

        def mule() -> None:
            inbox = bus.inbox(1)
            while True:
                data = inbox.get(None, True, True, no_signal)
                assert data is not None
                lines.say(data.decode())
                if data.endswith(b"0"):
                    signal.pause()

        post = bus.post()
        for number in range(count):
            assert post.outbox("mule1").send(b"%d" % number, 0)
        while len(seen) < count:
            pid = bus.fork(mule)
            while not seen or not seen[-1].endswith("0") or (hands and hands[-1] == seen[-1].encode()):
                seen.append(lines.next())
                if len(seen) == count:
                    break
            bus.kill(pid)
            left = in_hand.recover(bus.where, 1)
            assert [each.endpoint for each in left] == ["mule1"]
            assert left[0].data == seen[-1].encode()
            hands.append(left[0].data)
            assert in_hand.recover(bus.where, 1) == []
        assert seen == [str(number) for number in range(count)]
        post.close()
        lines.close()


@pytest.mark.parametrize(
    ("target", "size"), [("mule1", 10), ("pool", 10), ("farm.mail", 500), ("pool", 200_000)]
)
def test_in_hand_of_a_killed_mule(bus_env: object, bus_name: str, target: str, size: int) -> None:
    with message_bus(bus_name) as bus:
        post, lines = bus.post(), Lines()

        def mule() -> None:
            data = bus.inbox(1).get(None, True, True, no_signal)
            lines.say(len(data or b""))
            signal.pause()

        pid = bus.fork(mule)
        post.outbox(target).send(b"y" * size)
        assert lines.next() == str(size)
        bus.kill(pid)
        assert in_hand.recover(bus.where, 1) == [in_hand.Left(b"y" * size, target)]
        assert in_hand.recover(bus.where, 1) == []
        assert large.sweep(bus.where) == 0
        post.close()
        lines.close()


def test_done_and_the_next_receive_empty_the_hand(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        post.outbox("mule1").send(b"a" * 100_000)
        assert inbox.get(1, True, True, no_signal) == b"a" * 100_000
        inbox.done()
        assert in_hand.recover(bus.where, 1) == []
        post.outbox("mule1").send(b"b")
        assert inbox.get(1, True, True, no_signal) == b"b"
        assert inbox.get(0, True, True, no_signal) is None
        assert in_hand.recover(bus.where, 1) == []
        post.close()


def test_a_large_message_that_was_taken_of_a_frame_counts_once(bus_env: object, bus_name: str) -> None:
    """Killed when it had the message in hand, and before the frame said that it is not in there any more."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        reference = large.store(bus.where, b"l" * 50_000, created=lambda: None)
        slots = inflight.Slots(bus.where, 1)
        slots.reserve_for_saving(1000)
        slots.put(frames.large(reference), 0)
        slots.memory[inflight.thread_area(0) : inflight.thread_area(0) + len(reference)] = reference
        slots.cells[inflight.REFS] = cells.OWN | cells.REFERENCE | len(reference)
        assert [each.data for each in in_hand.recover(bus.where, 1)] == [b"l" * 50_000]
        assert list(in_hand.rest(bus.where, 1)) == []
        assert bus.inbox(1).get(0, True, True, no_signal) is None
        slots.close()
    assert large.sweep(bus.where) == 0


def test_the_rest_of_a_frame_without_a_successor(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        queue = queues.open_queue(bus.specs[1])
        queue.send(frames.pack([b"1", b"2", b"3"]))
        queue.close()
        assert inbox.get(1, True, True, no_signal) == b"1"
        assert [each.data for each in in_hand.recover(bus.where, 1)] == [b"1"]
        first = in_hand.rest(bus.where, 1)
        assert next(first) == (b"2", 0, 0)
        # Not asked for the next one yet, so the first is not forgotten.
        assert list(in_hand.rest(bus.where, 1)) == [(b"2", 0, 0), (b"3", 0, 0)]
        assert list(in_hand.rest(bus.where, 1)) == []
        first.close()


def test_slots_of_a_bus_of_version_0_1_0(bus_env: object, bus_name: str) -> None:
    """Their headers have four cells. The mule went through a frame, and was killed in its second one."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        segment = posix_ipc.SharedMemory(bus.where.inflight)
        slots = inflight.Slots(bus.where, 1)
        slots.reserve(inflight.frame_area(0), 2 * inflight.WIDEST)
        frame = frames.pack([b"one", b"two", b"three"])
        os.pwrite(segment.fd, b"IPCMIF01", 0)
        for area, (sequence, left) in enumerate([(16, 0), (32, 3)]):
            start, first = inflight.frame_area(area), inflight.HEADERS + 4 * area
            slots.memory[start : start + len(frame)] = frame
            for cell, value in enumerate((sequence, len(frame), left, 0)):
                slots.cells[first + cell] = value
        slots.cells[inflight.REFS] = 32 << inflight.SEQUENCE_SHIFT | 2
        slots.close()
        segment.close_fd()
        assert [each.data for each in in_hand.recover(bus.where, 1)] == [b"one"]
        assert list(in_hand.rest(bus.where, 1)) == [(b"two", 0, 0), (b"three", 0, 0)]
        assert list(in_hand.rest(bus.where, 1)) == []


def test_the_fast_receive_keeps_what_the_slow_one_promises(bus_env: object, bus_name: str) -> None:
    """next() gives what is loaded: recorded in hand, to threads that have received, with looks between."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        queue = queues.open_queue(bus.specs[1])
        queue.send(frames.pack([b"%d" % number for number in range(6)]))
        assert inbox.next() is None
        assert inbox.get(1, True, True, no_signal) == b"0"
        assert inbox.next() == b"1"
        slots = inflight.Slots(bus.where, 1)
        assert slots.in_hand() == [(b"1", False, 0)]
        slots.close()
        strangers: list[bytes | None] = []
        thread = threading.Thread(target=lambda: strangers.append(inbox.next()))
        thread.start()
        thread.join()
        assert strangers == [None]
        time.sleep(0.002)
        bus.raise_signal(4, 1)
        assert inbox.next() is None  # it is time to look at signals
        handled: list[int] = []
        assert inbox.get(1, True, True, handled.append) == b"2"
        assert handled == [4]
        assert inbox.next() == b"3"
        inbox.stop()
        assert inbox.next() is None
        assert [inbox.get(1, True, True, no_signal) for _ in range(2)] == [b"4", b"5"]
        with pytest.raises(SystemExit):
            inbox.get(1, True, True, no_signal)
        queue.close()


def test_a_mule_that_ended_by_itself_leaves_the_rest_of_its_frame(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        queue = queues.open_queue(bus.specs[1])
        queue.send(frames.pack([b"1", b"2", b"3"]))
        queue.close()
        assert inbox.get(1, True, True, no_signal) == b"1"
        in_hand.clear(bus.where, 1)
        assert in_hand.recover(bus.where, 1) == []
        successor = bus.inbox(1)
        assert [successor.get(1, True, True, no_signal) for _ in range(2)] == [b"2", b"3"]
        post.outbox("mule1").send(b"x" * 100_000)
        assert successor.get(1, True, True, no_signal) == b"x" * 100_000
        in_hand.clear(bus.where, 1)
        assert in_hand.recover(bus.where, 1) == []
        post.close()
