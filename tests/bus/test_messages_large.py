"""Large messages lie in segments of their own, which are gone when the message, or its sender, is."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

import narrow
from ipcmules.bus.places import Places, places
from ipcmules.messages import in_hand, large, segments
from messagebus import Lines, MessageBus, message_bus, no_signal
from support import Launcher, wait_until

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


def test_a_message_that_is_done_leaves_nothing(where: Places) -> None:
    reference = large.store(where, b"a" * SIZE)
    [name] = _names(where)
    assert name.startswith("new.") and _file(reference).endswith(name.removeprefix("new."))
    assert large.peek(reference) == b"a" * SIZE  # as from a sender's buffer
    large.publish(reference)
    large.publish(reference)
    assert _names(where) == [name.removeprefix("new.")]
    large.withdraw(reference)
    assert _names(where) == [name]
    large.publish(reference)
    assert large.load(reference) == b"a" * SIZE
    assert _names(where) == []
    with pytest.raises(FileNotFoundError):
        large.peek(reference)
    large.discard(reference)  # once more: no error
    large.discard(large.store(where, b"b"))
    assert _names(where) == []


def _unsent(where: Places, pid: int) -> list[str]:
    return [name for name in _names(where) if name.startswith(f"new.{pid}.")]


@pytest.mark.parametrize("target", ["mule1", "pool"])
def test_what_a_killed_sender_had_not_sent_is_collected(bus_env: object, bus_name: str, target: str) -> None:
    with message_bus(bus_name, mules=1, farms=()) as bus:
        lines = Lines()
        outbox = bus.post().outbox(target)
        while outbox.send(b"x" * SIZE, 0):  # until as much waits behind the queue as may
            pass

        def child() -> None:
            mine = bus.post().outbox(target)
            while mine.send(b"y" * SIZE, 0):  # its own lane has room too
                pass
            lines.say("sends")
            mine.send(b"y" * SIZE, 60)

        pid = bus.fork(child)
        assert lines.next() == "sends"
        wait_until(lambda: _unsent(bus.where, pid))
        sent = [name for name in _names(bus.where) if not name.startswith("new.")]
        large.collect(bus.where)
        assert _unsent(bus.where, pid)
        bus.kill(pid)
        wait_until(lambda: large.collect(bus.where) == 0 and not _unsent(bus.where, pid))
        assert _names(bus.where) == sent
        lines.close()


def test_the_master_removes_what_a_killed_sender_was_writing(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path):
        where = places(bus_name)
        writing = f"""
            import os, ipcmules
            from ipcmules.messages import segments
            segments._write_all = lambda descriptor, data: (
                os.write(descriptor, data[:1000]), print("wrote", flush=True), os.kill(os.getpid(), 9)
            )
            ipcmules.attach({bus_name!r}).mule_msg(b"x" * {SIZE}, 1)
        """
        done = narrow.run(narrow.python(writing), cwd=tmp_path)
        assert done.returncode == -9 and done.stdout == "wrote\n", done.stderr
        wait_until(lambda: not _names(where))


def test_sweeping_one_bus_leaves_one_whose_name_begins_like_it(bus_env: object, bus_name: str) -> None:
    inner = bus_name + ".m"  # its table's name begins with the prefix of the other's large messages
    with message_bus(bus_name, mules=1, farms=()) as outer, message_bus(inner, mules=1, farms=()) as other:
        reference = large.store(other.where, b"x" * SIZE)
        large.sweep(outer.where)
        assert os.path.exists(segments.DIRECTORY + other.where.table)
        assert large.load(reference) == b"x" * SIZE


def test_what_was_planted_at_a_name_is_not_written_to(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "new_name", lambda: "1.2.3")
    victim = os.path.join(os.environ["IPCMULES_STATE_DIR"] + "-victim")
    with open(victim, "wb") as file:
        file.write(b"precious")
    planted = segments.path_of(where.large_prefix + "new.1.2.3")
    os.symlink(victim, planted)
    with pytest.raises(FileExistsError):
        large.store(where, b"y" * SIZE)
    with open(victim, "rb") as file:
        assert file.read() == b"precious"
    os.unlink(planted)
    os.unlink(victim)


def test_a_killed_mule_has_its_large_message_kept(bus_env: object, bus_name: str) -> None:

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
        assert [left.data for left in in_hand.recover(bus.where, 1)] == [b"c" * SIZE]
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
