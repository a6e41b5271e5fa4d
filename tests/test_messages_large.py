"""Segments of large messages are used again, and nothing is ever read from one that was another message's."""

from __future__ import annotations

import errno
import os
import random
import threading

import pytest

from ipcmules.messages import large, segments
from ipcmules.places import Places, places
from ipcmules.processes import ProcessId, current
from support import wait_until
from test_messages_support import Lines, MessageBus, message_bus, no_signal

SIZE = 100_000


def _names(where: Places) -> list[str]:
    prefix = where.large_prefix.lstrip("/")
    return sorted(name[len(prefix) :] for name in os.listdir(segments.DIRECTORY) if name.startswith(prefix))


def _file(reference: bytes) -> str:
    return segments.DIRECTORY + reference.split(b" ")[2].decode()


@pytest.fixture
def where(bus_env: object, bus_name: str) -> object:
    found = places(bus_name)
    yield found
    large.sweep(found)


def test_a_segment_is_used_again_under_a_new_name(where: Places) -> None:
    first = large.store(where, b"a" * SIZE)
    inode = os.stat(_file(first)).st_ino
    assert large.load(first) == b"a" * SIZE
    assert not os.path.exists(_file(first))
    second = large.store(where, b"b" * (SIZE // 2))
    assert second != first
    assert os.stat(_file(second)).st_ino == inode
    assert large.peek(second) == b"b" * (SIZE // 2)
    with pytest.raises(FileNotFoundError):
        large.peek(first)
    large.discard(first)  # once more: no error, and not the second's
    longer = large.store(where, b"c" * SIZE)
    assert large.load(second) == b"b" * (SIZE // 2)
    assert large.load(longer) == b"c" * SIZE


def test_no_more_than_four_and_none_above_four_mebibytes_are_free(where: Places) -> None:
    references = [large.store(where, b"x" * SIZE) for _ in range(7)]
    references.append(large.store(where, b"x" * (segments.REUSED + 1)))
    for each in references:
        large.discard(each)
    me = current()
    assert _names(where) == [f"free.{me.pid}.{me.start}.{slot}" for slot in range(segments.SLOTS)]
    assert large.sweep(where) == 0
    assert _names(where) == []


def test_threads_never_get_one_segment_twice(where: Places) -> None:
    wrong: list[bytes] = []

    def body(number: int) -> None:
        choice = random.Random(number)
        waiting: list[tuple[bytes, bytes]] = []
        for turn in range(150):
            data = b"%d:%d " % (number, turn) * choice.randrange(1, 20_000)
            waiting.append((large.store(where, data), data))
            if len(waiting) > 3:
                reference, expected = waiting.pop(choice.randrange(4))
                if large.load(reference) != expected:
                    wrong.append(reference)
        wrong.extend(reference for reference, expected in waiting if large.load(reference) != expected)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert len(_names(where)) <= segments.SLOTS


def test_a_process_that_ends_takes_its_free_segments_along(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:

        def child() -> None:
            bus.post()
            large.discard(large.store(bus.where, b"x" * SIZE))

        assert bus.wait(bus.fork(child)) == 0
        assert _names(bus.where) == []


def test_nothing_is_left_to_a_dead_sender(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        lines = Lines()

        def child() -> None:
            lines.say(large.store(bus.where, b"x" * SIZE).decode())

        assert bus.wait(bus.fork(child)) == 0
        reference = lines.next().encode()
        assert large.load(reference) == b"x" * SIZE
        assert _names(bus.where) == []
        lines.close()


def test_a_killed_senders_free_segments_are_removed_by_the_next_one(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:

        def child() -> None:
            large.discard(large.store(bus.where, b"x" * SIZE))
            os._exit(0)

        assert bus.wait(bus.fork(child)) == 0
        assert len(_names(bus.where)) == 1
        segments._used.discard(bus.where.large_prefix)
        large.store(bus.where, b"y" * SIZE)
        assert [name for name in _names(bus.where) if name.startswith("free")] == []


def test_a_receiver_removes_what_it_left_to_a_sender_that_died(
    bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with message_bus(bus_name) as bus:
        lines, go = Lines(), Lines()

        def child() -> None:
            lines.say(large.store(bus.where, b"x" * SIZE).decode())
            go.next()
            os._exit(0)

        pid = bus.fork(child)
        large.discard(lines.next().encode())
        assert [name for name in _names(bus.where) if f"free.{pid}." in name]
        go.say("end")
        assert bus.wait(pid) == 0
        monkeypatch.setattr(segments, "_looked", 0.0)
        large.discard(large.store(bus.where, b"y" * SIZE))
        assert [name for name in _names(bus.where) if f"free.{pid}." in name] == []
        lines.close()
        go.close()


def test_sweeping_one_bus_leaves_one_whose_name_begins_like_it(bus_env: object, bus_name: str) -> None:
    inner = bus_name + ".m"  # its table's name begins with the prefix of the other's large messages
    with message_bus(bus_name, mules=1, farms=()) as outer, message_bus(inner, mules=1, farms=()) as other:
        reference = large.store(other.where, b"x" * SIZE)
        large.sweep(outer.where)
        assert os.path.exists(segments.DIRECTORY + other.where.table)
        assert large.load(reference) == b"x" * SIZE


def test_what_was_planted_at_a_free_name_is_not_written_to(where: Places) -> None:
    large.discard(large.store(where, b"x" * SIZE))
    slot = segments._slot(where.large_prefix, current(), 0)
    os.unlink(slot)
    victim = os.path.join(os.environ["IPCMULES_STATE_DIR"] + "-victim")
    with open(victim, "wb") as file:
        file.write(b"precious")
    os.symlink(victim, slot)
    with pytest.raises(OSError) as raised:
        large.store(where, b"y" * SIZE)
    assert raised.value.errno == errno.ELOOP
    os.unlink(victim)


def test_a_killed_mule_has_its_large_message_kept(bus_env: object, bus_name: str) -> None:
    from ipcmules.messages import inflight

    with message_bus(bus_name, mules=1, farms=()) as bus:
        lines = Lines()
        send = bus.post().outbox("mule1").send

        def mule(bus: MessageBus) -> None:
            inbox = bus.inbox(1)
            for _ in range(3):
                inbox.get(10, True, True, no_signal)
            lines.say("third")
            threading.Event().wait(60)

        pid = bus.fork(mule, bus)
        for letter in b"abcd":
            assert send(bytes([letter]) * SIZE, 5)
        assert lines.next() == "third"
        bus.kill(pid)
        for letter in b"efgh":
            assert send(bytes([letter]) * SIZE, 0)
        assert [left.data for left in inflight.recover(bus.where, 1)] == [b"c" * SIZE]
        inbox = bus.inbox(1)
        assert [inbox.get(5, True, True, no_signal) for _ in range(5)] == [
            bytes([letter]) * SIZE for letter in b"defgh"
        ]
        lines.close()


def test_streams_of_large_messages_arrive_whole(bus_env: object, bus_name: str) -> None:
    count, senders = 120, 2
    with message_bus(bus_name) as bus:
        lines = Lines()

        def sender(number: int) -> None:
            post = bus.post()
            choice = random.Random(number)
            for turn in range(count):
                data = b"%d:%d " % (number, turn) * choice.randrange(2_000, 40_000)
                assert post.outbox(("mule1", "pool")[turn % 2]).send(data)

        def receiver(number: int) -> None:
            inbox = bus.inbox(number)
            lines.say("ready")
            while (data := inbox.get(10, True, True, no_signal)) != b"stop":
                assert data is not None
                word = data.split(b" ", 1)[0]
                assert data == (word + b" ") * (len(data) // (len(word) + 1))
                lines.say(word.decode())

        mules = [bus.fork(receiver, number) for number in (1, 2)]
        for _ in mules:
            assert lines.next() == "ready"
        sending = [bus.fork(sender, number) for number in range(senders)]
        found = sorted(lines.next() for _ in range(count * senders))
        assert found == sorted(f"{number}:{turn}" for number in range(senders) for turn in range(count))
        for pid in sending:
            assert bus.wait(pid) == 0
        post = bus.post()
        for number in (1, 2):
            assert post.outbox(f"mule{number}").send(b"stop")
        for pid in mules:
            assert bus.wait(pid) == 0
        wait_until(lambda: bus.queued("pool") == 0)
        lines.close()


def test_an_owner_in_a_name() -> None:
    assert segments._owner("/ipcmules.1000.abc.bus.m.12.34.5") == (
        "/ipcmules.1000.abc.bus.m.",
        ProcessId(12, 34),
    )
    assert segments._owner("/other")[1] is None
