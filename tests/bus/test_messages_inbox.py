"""The receiving side: waiting, signals, several threads."""

from __future__ import annotations

import itertools
import os
import select
import signal
import threading
import time

import pytest

from ipcmules.bus import table
from ipcmules.errors import NotAMule
from ipcmules.messages import frames, in_hand, queues
from ipcmules.messages.receive import waiting
from ipcmules.messages.receive.inbox import Inbox
from messagebus import Lines, message_bus, no_signal
from support import wait_until


def test_timeouts(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        inbox = bus.inbox(1)
        began = time.monotonic()
        assert inbox.get(0, True, True, no_signal) is None
        assert inbox.get(0.1, True, True, no_signal) is None
        assert inbox.get_farm(0.1, True, no_signal) is None
        assert inbox.wait_signal(0.1) is None
        assert time.monotonic() - began >= 0.3


def test_farms_flag_and_farm_receive(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=2, farms=("mail:1,2", "web:1")) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        post.outbox("farm.mail").send(b"letter")
        post.outbox("farm.web").send(b"page")
        assert inbox.get(0.05, True, False, no_signal) is None
        assert inbox.get_farm(1, True, no_signal, "web") == b"page"
        assert inbox.get(1, True, True, no_signal) == b"letter"
        with pytest.raises(NotAMule, match="not in farm 'web'"):
            bus.inbox(2).get_farm(0, True, no_signal, "web")
        post.close()


def test_no_queue_starves_another(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=("mail:1",)) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        for _ in range(300):
            post.outbox("mule1").send(b"own" + b"x" * 60)
        for target in ("pool", "farm.mail"):
            for _ in range(5):
                post.outbox(target).send(target.encode())
        found = []
        while len(found) < 40:
            found.append(inbox.get(1, True, True, no_signal))
            time.sleep(0.0015)
        assert found.count(b"pool") == found.count(b"farm.mail") == 5
        post.close()


def test_a_signal_between_buffered_messages(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        for number in range(115):
            post.outbox("mule1").send(b"%d" % number)
        received: list[bytes | None] = []
        handled: list[tuple[int, int]] = []
        for number in range(115):
            received.append(inbox.get(1, True, True, lambda signal: handled.append((signal, len(received)))))
            if number == 60:
                bus.raise_signal(7, 1)
            if 60 <= number <= 64:
                time.sleep(0.01)  # longer than it hands out messages without a look at signals
        assert received == [b"%d" % number for number in range(115)]
        # At the next look, or one later, where message 61 was the first of a frame.
        assert handled in ([(7, 61)], [(7, 62)])
        post.close()


def test_signals_are_left_alone_without_the_flag(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        bus.raise_signal(3, 1)
        assert inbox.get(0.05, False, True, no_signal) is None
        found: list[int] = []
        assert inbox.get(0.05, True, True, found.append) is None
        assert found == [3]


def test_wait_signal(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        threading.Timer(0.05, lambda: bus.raise_signal(200, 1)).start()
        assert inbox.wait_signal(5) == 200


def test_a_handler_that_receives(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        found: list[bytes | None] = []
        bus.raise_signal(3, 1)
        post.outbox("mule1").send(b"one")
        post.outbox("mule1").send(b"two")
        found.append(inbox.get(1, True, True, lambda _: found.append(inbox.get(1, False, True, no_signal))))
        found.append(inbox.get(0.1, False, True, no_signal))
        assert sorted(each for each in found if each) == [b"one", b"two"]
        post.close()


def test_threads_wait_at_once_and_share_a_frame(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        busy = threading.Barrier(4)
        found: list[bytes] = []

        def body() -> None:
            data = inbox.get(10, True, True, no_signal)
            assert data is not None
            busy.wait(10)  # only comes up if four threads have a message at once
            found.append(data)
            ending.wait(10)

        ending = threading.Event()
        threads = [threading.Thread(target=body) for _ in range(4)]
        for each in threads:
            each.start()
        wait_until(lambda: inbox.asleep == 4)
        queue = queues.open_queue(bus.specs[1])
        queue.send(frames.pack([b"1", b"2", b"3", b"4"]))
        queue.close()
        wait_until(lambda: len(found) == 4)
        assert sorted(found) == [b"1", b"2", b"3", b"4"]
        assert len(in_hand.recover(bus.where, 1)) == 4
        ending.set()
        for each in threads:
            each.join(15)
        post.close()


def test_a_python_signal_handler_does_not_end_the_wait(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        calls: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda number, _: calls.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        threading.Timer(0.2, lambda: post.outbox("mule1").send(b"x")).start()
        try:
            assert inbox.get(5, True, True, no_signal) == b"x"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert calls
        post.close()


def test_a_nudge_repairs_a_lost_wake_up(bus_env: object, bus_name: str) -> None:
    """A mule is stopped right when it is woken for a pool message: a nudge makes another one take it."""
    with message_bus(bus_name) as bus:
        post, lines = bus.post(), Lines()

        def mule(number: int) -> None:
            inbox = bus.inbox(number)
            lines.say(f"ready {number}")
            while (data := inbox.get(None, True, True, no_signal)) is not None:
                lines.say(f"{number} {data.decode()}")

        pids = {}
        for number in (1, 2):
            pids[number] = bus.fork(mule, number)
            lines.next()
            state = bus.table.mule(number) + table.R_STATE
            wait_until(lambda state=state: bus.table.cells[state] == table.WAITING)
        time.sleep(0.01)
        # Whichever is woken first: both in turn are stopped, so that the wake-up goes to a stopped one.
        os.kill(pids[1], signal.SIGSTOP)
        for number in range(4):
            post.outbox("pool").send(b"m%d" % number)
        bus.kill(pids[1])
        bus.nudge("mule0")
        got = sorted(lines.next() for _ in range(4))
        assert got == ["2 m0", "2 m1", "2 m2", "2 m3"]
        post.close()
        lines.close()


def test_idle_mules_make_no_wake_ups_and_few_wake_for_one_message(bus_env: object, bus_name: str) -> None:
    mules = 8
    with message_bus(bus_name, mules=mules, farms=(), share=0.2) as bus:
        post, lines = bus.post(), Lines()

        def mule(number: int) -> None:
            inbox = bus.inbox(number)
            lines.say("ready")
            while inbox.get(None, True, True, no_signal) is not None:
                lines.say("got")

        pids = [bus.fork(mule, number) for number in range(1, mules + 1)]
        for _ in pids:
            lines.next()
        states = [bus.table.mule(number) + table.R_STATE for number in range(1, mules + 1)]
        wait_until(lambda: all(bus.table.cells[each] == table.WAITING for each in states))

        def sleep_on() -> bool:
            """None wakes up for half a second. The first time, one may be on its way to sleep."""
            before = sum(map(_switches, pids))
            time.sleep(0.5)
            return sum(map(_switches, pids)) == before

        wait_until(sleep_on, what="half a second without a wake-up")
        before = sum(map(_switches, pids))
        for _ in range(50):
            post.outbox("pool").send(b"x")
            lines.next()
            time.sleep(0.003)
        assert sum(map(_switches, pids)) - before < 50 * mules / 2  # if each woke all: 50 * mules
        post.close()
        lines.close()


def _switches(pid: int) -> int:
    """How often a process went to sleep: voluntary context switches."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary"))


def _readable(inbox: Inbox, milliseconds: int) -> bool:
    poller = select.poll()  # select(2) takes no descriptor above 1023
    poller.register(inbox.fileno(), select.POLLIN)
    return bool(poller.poll(milliseconds))


def test_the_descriptor_for_event_loops(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        assert not _readable(inbox, 0)
        for target in ("mule1", "pool", "farm.mail"):
            post.outbox(target).send(b"x")
            assert _readable(inbox, 2000)
            assert inbox.get(0, True, True, no_signal) == b"x"
            assert inbox.get(0, True, True, no_signal) is None
        assert not _readable(inbox, 0)
        bus.raise_signal(5, 1)
        assert _readable(inbox, 2000)
        post.close()


def test_something_that_is_no_frame_is_kept(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        inbox = bus.inbox(1)
        for spec in bus.specs[:2]:
            queue = queues.open_queue(spec)
            for rubbish in (b"\x07\x00rubbish", b""):
                queue.send(rubbish)
                assert inbox.get(0.2, True, True, no_signal) is None
            queue.close()
        assert sorted(bus.kept()) == [b"", b"", b"\x07\x00rubbish", b"\x07\x00rubbish"]


def test_a_set_shared_wakes_a_waiting_thread(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1, shared=False)
        post.outbox("pool").send(b"x")
        found: list[bytes | None] = []
        thread = threading.Thread(target=lambda: found.append(inbox.get(5, True, True, no_signal)))
        thread.start()
        wait_until(lambda: inbox.asleep == 1)
        inbox.set_shared(True)
        thread.join(6)
        assert found == [b"x"]
        post.close()


def test_a_farm_receive_handles_signals(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        found: list[object] = []
        bus.raise_signal(8, 1)
        assert inbox.get_farm(0.05, False, no_signal) is None
        threading.Timer(0.05, lambda: post.outbox("farm.mail").send(b"letter")).start()
        found.append(inbox.get_farm(5, True, found.append))
        assert found == [8, b"letter"]
        found.clear()
        queue = queues.open_queue(bus.specs[1])
        queue.send(frames.pack([b"1", b"2"]))
        queue.close()
        assert inbox.get(1, True, True, no_signal) == b"1"
        bus.raise_signal(10, 1)
        assert inbox.get_farm(0.05, True, found.append) is None  # the mule's own messages wait meanwhile
        assert found == [10]
        assert inbox.get(1, True, True, no_signal) == b"2"
        found.clear()
        bus.raise_signal(9, 1)
        inbox.stop()
        with pytest.raises(SystemExit):
            inbox.get_farm(None, True, found.append)
        assert found == [9]
        post.close()


def test_a_stream_of_messages_does_not_hold_a_signal_back(bus_env: object, bus_name: str) -> None:
    """Messages that come one by one, always there: the queue is read directly, but signals come through."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        queue = queues.open_queue(bus.specs[1])
        handled: list[int] = []
        queue.send(frames.pack([b"x"]))
        for number in range(5000):
            queue.send(frames.pack([b"x"]))
            if number == 1000:
                bus.raise_signal(7, 1)
            assert inbox.get(1, True, True, handled.append) == b"x"
            if handled:
                break
        assert handled == [7]  # long before the stream ended
        queue.close()


def test_an_idle_receiver_sleeps_at_once(bus_env: object, bus_name: str) -> None:
    """Only a receiver that waited less than a spin the last time spins."""
    with message_bus(bus_name) as bus:
        post, lines = bus.post(), Lines()

        def mule() -> None:
            yields = itertools.count()
            waiting._yield = lambda: next(yields)
            inbox = bus.inbox(1)
            while inbox.get(None, True, True, no_signal) is not None:
                lines.say(next(yields))

        bus.fork(mule)
        state = bus.table.mule(1) + table.R_STATE
        wait_until(lambda: bus.table.cells[state] == table.WAITING)
        counts = []
        for _ in range(20):
            wait_until(lambda: bus.table.cells[state] == table.WAITING)
            time.sleep(0.005)  # from here on it has waited for longer than a spin
            post.outbox("mule1").send(b"x")
            counts.append(int(lines.next()))
        assert counts == list(range(20))
        post.close()
        lines.close()
