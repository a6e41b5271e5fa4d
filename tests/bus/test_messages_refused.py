"""The system refuses a receive memory or a descriptor: each message is still there, and is one message."""

from __future__ import annotations

import os
import resource
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from test_interrupted_receive import Sender

import narrow
from ipcmules.errors import LimitError
from ipcmules.messages import large
from messagebus import message_bus, no_signal

#: Frames that overtake each other need more areas at once than a mule reserved when it began.
OVERTAKEN = f"""
    import sys
    sys.path[:0] = [{str(Path(__file__).parents[1])!r}, {str(Path(__file__).parent)!r}]
    from ipcmules.bus import table
    from messagebus import message_bus, no_signal
    from test_interrupted_receive import Sender
    with message_bus("narrow") as bus:
        inbox, send = bus.inbox(1), Sender(bus)
        bus.kept()
        found = []
        def receive():
            data = inbox.get(0, True, True, no_signal)
            found.extend([] if data is None else [int(data)])
            return data
        send("mule1", 3)
        receive()
        fill()
        for priority in (1, 2, 3):
            send("mule1", 3, priority)
            bus.table.cells[bus.table.mule(1) + table.R_URGENT] = 1
            inbox._handout.hand().next_look = inbox._handout.hand().look_at = 0.0
            receive()
        while receive() is not None:
            pass
        free()
        kept = sorted(int(each) for each in bus.kept())
        assert kept, "nothing was refused"
        assert sorted(found + kept) == send.sent, (found, kept, send.sent)
"""


def test_a_frame_that_nothing_can_be_reserved_for(bus_env: object, tmp_path: Path) -> None:
    source = narrow.fill() + "\n" + textwrap.dedent(OVERTAKEN)
    done = narrow.run(narrow.mounted("/dev/shm", "size=4m", sys.executable, "-c", source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_large_message_waits_for_a_descriptor(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        inbox, send = bus.inbox(1), Sender(bus)
        send("mule1", 1)
        assert inbox.get(0, True, True, no_signal) == b"0"
        for target in ("mule1", "pool"):
            send(target, 0)
            found: list[bytes | None] = []
            usual = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))

            def give_back(usual: tuple[int, int] = usual) -> None:
                time.sleep(0.3)
                resource.setrlimit(resource.RLIMIT_NOFILE, usual)

            thread = threading.Thread(target=give_back)
            thread.start()
            try:
                while time.monotonic() and thread.is_alive() and not found:
                    found += [data for data in [inbox.get(0, True, True, no_signal)] if data]
            finally:
                thread.join()
            found = found or [inbox.get(0, True, True, no_signal)]
            assert [int(each or -1) for each in found] == [send.sent[-1]]
            assert bus.kept() == []
        inbox.done()
        assert large.sweep(bus.where) == 0


def test_a_large_message_that_no_descriptor_is_left_for(bus_env: object, bus_name: str) -> None:
    """To send it is refused in words, and can be done as soon as there is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with message_bus(bus_name) as bus:
        inbox, send = bus.inbox(1), bus.post().outbox("mule1").send
        assert send(b"w" * 100_000, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(LimitError, match=r"message of 100000 bytes .*files; raise the limit"):
                send(b"x" * 100_000, 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert send(b"y" * 100_000, 0)
        assert [inbox.get(5, True, True, no_signal) for _ in range(2)] == [b"w" * 100_000, b"y" * 100_000]


def test_a_mule_that_waits_needs_no_descriptor(bus_env: object, bus_name: str) -> None:
    """It gives back what dead senders had when there is one again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with message_bus(bus_name) as bus:
        inbox = bus.inbox(1)

        def burst() -> None:
            post = bus.post()
            for target in ("mule1", "pool"):
                for _ in range(100):
                    assert post.outbox(target).send(b"x", 5)

        pid = bus.fork(burst)
        assert bus.wait(pid) == 0
        for _ in range(200):
            assert inbox.get(5, True, True, no_signal) == b"x"
        inbox.done()
        behind = inbox._intake._behind
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            for _ in range(3):
                behind._tidied = 0.0
                assert inbox.get(0, True, True, no_signal) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        behind._tidied = 0.0
        assert inbox.get(0, True, True, no_signal) is None
        name = bus.where.lanes.lstrip("/")
        assert not [each for each in os.listdir("/dev/shm") if each.startswith(f"{name}.")]
