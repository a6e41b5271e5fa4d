"""Feeding many kept messages: in order, in time that grows with their number, and not all in one turn."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus import control
from ipcmules.bus.places import places
from ipcmules.master.leftovers.feeder import Feeder
from ipcmules.master.loop.selector import Loop
from ipcmules.messages import kept
from messagebus import message_bus, no_signal
from support import Launcher, wait_until

PROGRAM = """
    from ipcmules import mule_get_msg

    def main():
        file = open("seen", "ab", buffering=0)
        while True:
            file.write(mule_get_msg() + b"\\n")
"""


def test_the_master_answers_while_it_feeds(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    where = places(bus_name)
    count = 3000
    for number in range(count):
        kept.store(where, b"%d" % number, "mule1", "a test", again=True)
    scripts.write(tmp_path, "program.py", PROGRAM)
    with Launcher("--bus", bus_name, "--mule=program:main", "--pythonpath", str(tmp_path), cwd=tmp_path):
        seen = tmp_path / "seen"
        answers = 0
        deadline = time.monotonic() + 30
        while not seen.exists() or seen.read_bytes().count(b"\n") < count:
            assert time.monotonic() < deadline
            control.ask(where, {"do": "events.list"}, timeout=10)
            answers += 1
        assert answers
        assert seen.read_bytes() == b"".join(b"%d\n" % number for number in range(count))
        wait_until(lambda: not kept.listing(where), what="the end of the files")


def test_what_the_system_refuses_to_open_is_queued_later(
    bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once or not at all, and in order, wherever a descriptor is missing."""
    refusals = iter([True, False, True] * 3)

    def refusing(read: Callable[[str], kept.Kept]) -> Callable[[str], kept.Kept]:
        def made(path: str) -> kept.Kept:
            if next(refusals, False):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
            return read(path)

        return made

    monkeypatch.setattr(kept, "header", refusing(kept.header))
    monkeypatch.setattr(kept, "load", refusing(kept.load))
    with message_bus(bus_name) as bus:
        for number in range(5):
            kept.store(bus.where, b"%d" % number, "mule1", "a test", again=True)
        loop = Loop()
        feeder = Feeder(loop, bus.where, bus.description, bus.table)
        feeder.begin()
        deadline = time.monotonic() + 15
        while kept.listing(bus.where):
            assert time.monotonic() < deadline
            loop.later(0.1, bool)
            loop.run_once()
        feeder.close()
        loop.close()
        inbox, found = bus.inbox(1), []
        while (data := inbox.get(0, True, True, no_signal)) is not None:
            found.append(data)
        assert found == [b"%d" % number for number in range(5)]
        assert next(refusals, False) is False
