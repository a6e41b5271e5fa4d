"""Bells: who sleeps is woken once, nobody sleeps while a lane has something. And refusals there."""

from __future__ import annotations

import mmap
import os
import random
import resource
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import narrow
from ipcmules.messages import frames
from ipcmules.messages.lanes.directory import Q_WAITING, Directory, is_asleep
from ipcmules.messages.receive.behind import Behind
from ipcmules.messages.send.outbox import Outbox
from messagebus import MessageBus, message_bus, no_signal
from support import wait_until


def _by_lane(bus: MessageBus, target: str, outbox: Outbox | None = None) -> Callable[[bytes], None]:
    """A send that goes into the lane, whatever room the queue has."""
    outbox = outbox or bus.post().outbox(target)
    hint = outbox._directory.record(outbox._number) + Q_WAITING

    def send(data: bytes) -> None:
        outbox._directory.cells[hint] = 1
        assert outbox.send(data, 0)

    return send


def _asleep(bus: MessageBus, number: int, mules: int) -> bool:
    """True while all these mules sleep at the pool's queue."""
    directory = Directory(bus.where)
    bells = [directory.cells[directory.bell(number, mule)] for mule in range(1, mules + 1)]
    return all(bell & 1 for bell in bells)


def test_what_a_bell_says() -> None:
    assert not is_asleep(bytes(24))
    assert is_asleep(bytes(8) + (255).to_bytes(8, "little") + bytes(8))
    assert not is_asleep((256).to_bytes(8, "little"))
    assert not is_asleep((1 << 8).to_bytes(8, "little") + (254).to_bytes(8, "little"))


def test_each_of_those_who_sleep_takes_one(bus_env: object, bus_name: str) -> None:
    """One is woken by the sender, and wakes the next: nobody goes on before all have one."""
    mules = 3
    with message_bus(bus_name, mules=mules, farms=()) as bus:
        taken = memoryview(mmap.mmap(-1, 8 * 8)).cast("Q")

        def mule(number: int) -> None:
            inbox, turn = bus.inbox(number), 0
            while inbox.get(None, True, True, no_signal) is not None:
                turn += 1
                taken[number] += 1
                wait_until(lambda: all(taken[each] >= turn for each in range(1, mules + 1)), every=0.0001)  # noqa: B023

        for number in range(1, mules + 1):
            bus.fork(mule, number)
        send = _by_lane(bus, "pool")
        for turn in range(1, 30):
            wait_until(lambda: _asleep(bus, 0, mules), every=0.0002)
            for _ in range(mules):
                send(b"x")
            wait_until(lambda turn=turn: sum(taken[1:]) == mules * turn, every=0.0002)  # type: ignore[misc]


def test_a_wake_up_that_another_took_is_given_again(bus_env: object, bus_name: str) -> None:
    """A mule that is awake takes that for which the sleeping one is woken; the next is for that one."""
    with message_bus(bus_name, mules=2, farms=()) as bus:
        taken = memoryview(mmap.mmap(-1, 8)).cast("Q")

        def mule() -> None:
            inbox = bus.inbox(2)
            while inbox.get(None, True, True, no_signal) is not None:
                taken[0] += 1

        pid, send, inbox, mine = bus.fork(mule), _by_lane(bus, "pool"), bus.inbox(1), 0
        choice = random.Random(1)
        for turn in range(1, 150):
            send(b"x")
            for _ in range(choice.randrange(3)):
                mine += inbox.get(0, True, True, no_signal) is not None
            send(b"x")
            # This process is in a handler, as far as senders know.
            left = 2 * turn - mine
            wait_until(lambda left=left: taken[0] == left, every=0.0001)  # type: ignore[misc]
        assert bus.children == [pid]


def test_who_is_stopped_right_when_he_was_woken_holds_nobody_up(
    bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others take what came with what he was woken for."""
    with message_bus(bus_name, mules=3, farms=()) as bus:
        stopped = memoryview(mmap.mmap(-1, 8)).cast("Q")
        taken = memoryview(mmap.mmap(-1, 8 * 8)).cast("Q")
        wake = Behind.wake

        def stop(self: Behind, said: list[int]) -> None:
            if not stopped[0]:
                stopped[0] = os.getpid()
                os.kill(os.getpid(), signal.SIGSTOP)
            wake(self, said)

        def mule(number: int) -> None:
            inbox = bus.inbox(number)
            while inbox.get(None, True, True, no_signal) is not None:
                taken[number] += 1

        monkeypatch.setattr(Behind, "wake", stop)
        for number in (1, 2, 3):
            bus.fork(mule, number)
        send = _by_lane(bus, "pool")
        wait_until(lambda: _asleep(bus, 0, 3))
        for _ in range(8):
            send(b"x")
        wait_until(lambda: sum(taken) == 8)
        assert stopped[0]


@pytest.mark.parametrize("target", ["mule1", "pool"])
def test_a_sender_whose_descriptors_were_closed_wakes_who_sleeps(
    bus_env: object, bus_name: str, target: str
) -> None:
    """As a daemon closes them: what it has published was in its lane, but the call that wakes has failed."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        taken = memoryview(mmap.mmap(-1, 8)).cast("Q")

        def mule() -> None:
            inbox = bus.inbox(1)
            while inbox.get(None, True, True, no_signal) is not None:
                taken[0] += 1

        bus.fork(mule)
        outbox = bus.post().outbox(target)
        send, number = _by_lane(bus, target, outbox), int(target == "mule1")
        for turn in range(1, 30):
            wait_until(lambda: _asleep(bus, number, 1), every=0.0002)
            if outbox.descriptor() >= 0:
                os.close(outbox.descriptor())
            if turn % 2:  # by the common path, or the long one
                outbox._lanes and outbox._lanes[0].rest()
            send(b"x")
            wait_until(lambda turn=turn: taken[0] == turn, every=0.0002)  # type: ignore[misc]


def test_who_takes_one_of_many_wakes_more_and_more(bus_env: object, bus_name: str) -> None:
    """While nobody stirs: whom he woke may be stopped."""
    with message_bus(bus_name, mules=2, farms=()) as bus:
        inbox, directory = bus.inbox(1), Directory(bus.where)
        directory.cells[directory.bell(0, 2)] |= 1  # the other sleeps
        pool = inbox._boxes.by_name["pool"]
        for _ in range(8):
            inbox._behind.pass_on(pool)
        assert bus.queued("pool") == 4
        directory.cells[directory.bell(0, 2)] += 1  # it has woken
        for _ in range(8):
            inbox._behind.pass_on(pool)
        assert bus.queued("pool") == 4


def test_one_call_wakes_for_many_messages(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        outbox = bus.post().outbox("mule1")
        send = _by_lane(bus, "mule1", outbox)
        send(b"x")
        assert inbox.get(0, True, True, no_signal) == b"x"
        calls: list[bytes] = []

        def kernel(frame: bytes, _timeout: None, _priority: int) -> None:
            calls.append(frame)

        directory = Directory(bus.where)
        directory.cells[directory.bell(1, 1)] |= 1  # it sleeps
        send(b"first")
        outbox._kernel = kernel
        for _ in range(20):
            assert outbox.send(b"y", 0)
        assert not calls
        assert bus.queued("mule1") <= 1  # what woke it
        directory.cells[directory.bell(1, 1)] += 2  # it sleeps again
        send(b"last")
        assert len(calls) + bus.queued("mule1") <= 2
        found = [inbox.get(0, True, True, no_signal) for _ in range(22)]
        assert found == [b"first", *[b"y"] * 20, b"last"]
        assert set(calls) <= {frames.WAKE}


def test_the_limit_is_the_queues_not_each_senders(bus_env: object, bus_name: str) -> None:
    """Others' lanes count, but for the segments that they are writing in."""
    with message_bus(bus_name, mules=1, farms=(), messages=3000) as bus:
        bus.inbox(1)
        for target, segment in (("pool", 1024), ("mule1", 4096)):
            accepted = 0
            for _ in range(5):
                send = bus.post().outbox(target).send
                while send(b"x" * 40, 0):
                    accepted += 1
            assert 3000 <= accepted <= 3000 + 5 * segment, target


def test_a_lane_waits_for_a_descriptor(bus_env: object, bus_name: str) -> None:
    """A receiver that has none to open the next segment with goes on when it has."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        for target in ("mule1", "pool"):
            sent = [b"%d " % number + b"x" * 1000 for number in range(1200)]
            send = bus.post().outbox(target).send
            assert all(send(data, 0) for data in sent)
            usual = resource.getrlimit(resource.RLIMIT_NOFILE)
            found: list[bytes | None] = [inbox.get(0, True, True, no_signal)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))

            def give_back(usual: tuple[int, int] = usual) -> None:
                time.sleep(0.2)
                resource.setrlimit(resource.RLIMIT_NOFILE, usual)

            thread = threading.Thread(target=give_back)
            thread.start()
            try:
                while len(found) < len(sent):
                    found.append(inbox.get(0, True, True, no_signal))
            finally:
                thread.join()
            assert found == sent


FULL = f"""
    import sys
    sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
    from messagebus import message_bus, no_signal
    with message_bus("full", mules=1, farms=()) as bus:
        inbox, send = bus.inbox(1), bus.post().outbox("mule1").send
        bus.kept()
        sent = [b"%d " % number + b"x" * 60 for number in range(2000)]
        assert send(b"first", 0) and inbox.get(5, True, True, no_signal) == b"first"
        assert all(send(data, 0) for data in sent)
        fill()
        assert [inbox.get(5, True, True, no_signal) for _ in sent] == sent
        free()
        assert bus.kept() == []
"""


def test_messages_of_a_lane_are_taken_where_shared_memory_is_full(bus_env: object, tmp_path: Path) -> None:
    source = narrow.fill() + "\n" + textwrap.dedent(FULL)
    done = narrow.run(narrow.mounted("/dev/shm", "size=8m", sys.executable, "-c", source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
