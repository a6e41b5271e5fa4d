"""The end of the receiving side: what is left is handed out, then each thread gets a SystemExit."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.messages import kept
from messagebus import Lines, message_bus, no_signal
from support import Launcher, run_cli, wait_until


def test_stop_drains_then_raises_then_ends_the_process(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        lines, post = Lines(), bus.post()

        def mule() -> None:
            inbox = bus.inbox(1)
            signal.signal(signal.SIGTERM, lambda *_: inbox.stop())
            lines.say("ready")
            while True:
                with contextlib.suppress(SystemExit):
                    while True:
                        lines.say(inbox.get(None, True, True, lines.say))
                lines.say("SystemExit")

        pid = bus.fork(mule)
        assert lines.next() == "ready"
        os.kill(pid, signal.SIGSTOP)
        for target in ("mule1", "pool", "farm.mail"):
            post.outbox(target).send(target.encode())
        bus.raise_signal(9, 1)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        found = [lines.next() for _ in range(5)]
        assert sorted(found[:4]) == ["9", "b'farm.mail'", "b'mule1'", "b'pool'"]
        assert found[4] == "SystemExit"
        assert bus.wait(pid) == 0
        post.close()
        lines.close()


def test_stop_wakes_every_thread(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        inbox = bus.inbox(1)
        ended: list[int] = []

        def body(number: int) -> None:
            try:
                inbox.wait_signal(None) if number == 0 else inbox.get(None, True, True, no_signal)
            except SystemExit:
                ended.append(number)

        threads = [threading.Thread(target=body, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        wait_until(lambda: inbox.asleep == 4)
        inbox.stop()
        for each in threads:
            each.join(5)
        assert sorted(ended) == [0, 1, 2, 3]


def test_stop_without_draining_leaves_what_is_queued(bus_env: object, bus_name: str) -> None:
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        post.outbox("mule1").send(b"for the next master")
        inbox.stop(drain=False)
        with pytest.raises(SystemExit):
            inbox.get(None, True, True, no_signal)
        assert bus.queued("mule1") == 1
        post.close()


def test_stop_hands_out_what_is_queued_to_several_threads(bus_env: object, bus_name: str) -> None:
    """Each waiting thread gets what is left, then a SystemExit of its own, and nothing is lost or doubled."""
    with message_bus(bus_name) as bus:
        post, inbox = bus.post(), bus.inbox(1)
        found: list[bytes | None] = []
        ended: list[int] = []

        def body(number: int) -> None:
            try:
                while True:
                    found.append(inbox.get(None, True, True, no_signal))
            except SystemExit:
                ended.append(number)

        threads = [threading.Thread(target=body, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        wait_until(lambda: inbox.asleep == 4)
        sent = [b"%d" % number for number in range(300)]
        for data in sent:
            post.outbox("mule1").send(data)
        inbox.stop()
        for each in threads:
            each.join(10)
        assert sorted(ended) == [0, 1, 2, 3]
        assert sorted(found) == sorted(sent)
        post.close()


#: A program that ends while another thread goes on receiving.
THREADS = """
import sys, threading, time
import ipcmules

def other(first):
    try:
        print("got", ipcmules.mule_get_msg().decode(), flush=True)
    finally:
        first.set()
    time.sleep(0.3)
    print("got", ipcmules.mule_get_msg().decode(), flush=True)

def main():
    print("entered", flush=True)
    first = threading.Event()
    threading.Thread(target=other, args=(first,)).start()
    first.wait()
    sys.exit(3)
"""


def test_what_the_threads_of_a_program_that_ends_hold_is_done(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "threads.py", THREADS)
    with Launcher("--bus", bus_name, "--mule=threads:main", cwd=tmp_path) as launcher:
        launcher.wait_output("entered")
        for text in ("one", "two"):
            assert run_cli("msg", "--bus", bus_name, "--mule", "1", text).returncode == 0
        launcher.wait_output("got two")
        wait_until(lambda: launcher.stdout.count("entered") == 2)
    assert kept.listing(places(bus_name)) == []
