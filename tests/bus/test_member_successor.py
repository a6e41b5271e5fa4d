"""Calls while the successor's table is missing, half made, or another version's: words, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import posix_ipc
import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules import BusStopped
from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, table
from ipcmules.bus.layout import Layout
from ipcmules.bus.places import Places, places
from ipcmules.errors import AccessError
from ipcmules.member import membership
from ipcmules.messages import kept
from support import Launcher, wait_until

PROGRAM = """
    from ipcmules import mule_get_msg

    def main():
        while True:
            message = mule_get_msg()
            with open("seen", "ab") as file:
                file.write(message + b"\\n")
"""
#: How the successor's table looks.
MISSING, EMPTY, FOREIGN, ANOTHER = "missing", "empty", "foreign", "another"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return scripts.write(tmp_path, "program.py", PROGRAM)


@contextlib.contextmanager
def successor(where: Places, found: descriptions.Description, kind: str) -> Iterator[None]:
    """A master that lives, wrote its description, and whose table is as kind says."""
    program = (
        "import sys, time\n"
        "from ipcmules.bus import liveness\nfrom ipcmules.bus.places import places\n"
        "liveness.hold(places(sys.argv[1])); print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, where.bus], stdout=subprocess.PIPE) as master:
        assert master.stdout and master.stdout.readline() == b"held\n"
        os.makedirs(where.runtime, mode=0o700)
        from dataclasses import replace

        from ipcmules.kernel.processes import ProcessId, start_time

        me = ProcessId(master.pid, start_time(master.pid))
        descriptions.write(where, replace(found, generation=found.generation + 1, master=me))
        try:
            if kind == ANOTHER:
                table.create(where.table, Layout.of(found.config), found.generation + 2)
            elif kind != MISSING:
                segment = posix_ipc.SharedMemory(where.table, posix_ipc.O_CREX, mode=0o600)
                os.ftruncate(segment.fd, 0 if kind == EMPTY else 8192)
                segment.close_fd()
            yield
        finally:
            master.kill()
            with contextlib.suppress(posix_ipc.ExistentialError):
                posix_ipc.unlink_shared_memory(where.table)
            for path in Path(where.runtime).iterdir():
                path.unlink()
            os.rmdir(where.runtime)
    liveness.release(where, liveness.hold(where))


CALLS: dict[str, Callable[[], object]] = {
    "mule_msg": lambda: ipcmules.mule_msg(b"one", 1, timeout=0.3),
    "pool": lambda: ipcmules.mule_msg(b"one", timeout=0.3),
    "signal": lambda: ipcmules.signal(7),
    "lock": lambda: ipcmules.lock(0, timeout=0.3),
    "is_locked": lambda: ipcmules.is_locked(0),
}


@pytest.mark.parametrize("kind", [MISSING, EMPTY, FOREIGN, ANOTHER])
def test_calls_to_a_half_made_successor(
    bus_env: BusEnvironment, bus_name: str, app: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipcmules.api.signals._PATIENCE", 0.2)
    monkeypatch.setattr("ipcmules.api.locks._PATIENCE", 0.2)
    where = places(bus_name)
    arguments = ["--bus", bus_name, "--mule=program:main", "--pythonpath", str(app.parent)]
    with Launcher(*arguments, cwd=app.parent):
        ipcmules.attach(bus_name)
        for each in (0, 1):
            ipcmules.mule_msg(b"before", each)
        assert ipcmules.lock(0)
        ipcmules.unlock(0)
        found = descriptions.load(where)
        assert found is not None
        ipcmules.flush()
    try:
        refused = []
        member = membership.peek()
        assert member is not None
        with successor(where, found, kind):
            for name, call in CALLS.items():
                membership._current = member  # as a process that has not noticed yet
                try:
                    call()
                except BusStopped as error:
                    refused.append(name)
                    assert "has stopped" in str(error)
            with contextlib.suppress(AccessError):  # for good of another version
                assert ipcmules.masterpid() == 0
        # What was not refused was accepted, and is kept for the next bus.
        saved = [kept.load(each).data for each in kept.listing(where)]
        assert len(saved) == len({"mule_msg", "pool"} - set(refused))
        assert {"signal", "lock", "is_locked"} <= set(refused)
        with Launcher(*arguments, cwd=app.parent):
            ipcmules.mule_msg(b"after", 1)
            ipcmules.flush()
            lines = (b"before\n") * 2 + b"one\n" * len(saved) + b"after\n"
            seen = app.parent / "seen"
            wait_until(
                lambda: sorted(seen.read_bytes().split()) == sorted(lines.split()), what="all messages"
            )
    finally:
        ipcmules.member.membership.leave(for_good=True)


def test_a_send_waits_for_the_successor(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """Within its timeout it joins what is just being made."""
    where = places(bus_name)
    arguments = ["--bus", bus_name, "--mule=program:main", "--pythonpath", str(app.parent)]
    with Launcher(*arguments, cwd=app.parent):
        ipcmules.attach(bus_name)
        ipcmules.mule_msg(b"before", 1)
        ipcmules.flush()
    lock = liveness.hold(where)
    made: list[Launcher] = []

    def start() -> None:
        time.sleep(0.3)
        made.append(Launcher(*arguments, cwd=app.parent, ready=False))
        liveness.release(where, lock)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        # The lock changes hands for a moment, and a start takes longer: a refusal in between is in words.
        deadline = time.monotonic() + 20
        while True:
            try:
                assert ipcmules.mule_msg(b"after", 1, timeout=10)
                break
            except (BusStopped, ipcmules.NotAttached):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        seen = app.parent / "seen"
        wait_until(lambda: seen.read_bytes() == b"before\nafter\n", what="the message")
    finally:
        thread.join()
        membership.leave(for_good=True)
        made[0].stop()
        made[0]._close(kill=False)
