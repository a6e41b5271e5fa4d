"""The state directory takes nothing when something must be kept: it is kept elsewhere, and moved later."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules import attach
from ipcmules.bus import table
from ipcmules.bus.places import Places, places
from ipcmules.messages import kept, spill
from support import Launcher, wait_until

PROGRAM = """
    import os, time
    from ipcmules import mule_get_msg

    def main():
        while True:
            message = mule_get_msg()
            if message == b"die":
                os.kill(os.getpid(), 9)
            if message == b"sleep":
                open("sleeping", "w").close()
                time.sleep(60)
            with open("seen", "ab") as file:
                file.write(message + b"\\n")
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return scripts.write(tmp_path, "program.py", PROGRAM)


def start(name: str, app: Path, *more: str) -> Launcher:
    arguments = ["--bus", name, "--mule=program:main", "--pythonpath", str(app.parent), *more]
    return Launcher(*arguments, cwd=app.parent)


def block(where: Places) -> None:
    """The directory of kept messages cannot be made: a file is in its place."""
    os.makedirs(where.state, mode=0o700, exist_ok=True)
    Path(where.kept).write_text("in the way")


def letters(where: Places) -> list[bytes]:
    return [kept.load(path).data for path in kept.listing(where)] if os.path.isdir(where.kept) else []


def test_a_message_in_hand_waits_in_shared_memory(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    where = places(bus_name)
    block(where)
    with start(bus_name, app) as launcher:
        with attach(bus_name) as bus:
            for each in (b"die", b"next", b"die"):
                bus.mule_msg(each, 1)
        wait_until(lambda: len(spill.listing(where)) == 2, what="the messages in shared memory")
        wait_until((app.parent / "seen").exists, what="the next message")
        launcher.wait_log("nothing can be kept in")
        assert launcher.stderr.count("nothing can be kept in") == 1
        os.unlink(where.kept)
        wait_until(lambda: letters(where) == [b"die", b"die"], what="the dead letters")
        wait_until(lambda: not spill.listing(where), what="the end of those in shared memory")
    assert letters(where) == [b"die", b"die"]


def test_nothing_takes_it(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """Neither the directory nor shared memory: the message stays in hand, the mule waits, nothing is lost."""
    where = places(bus_name)
    with start(bus_name, app) as launcher:
        with attach(bus_name) as bus:
            bus.mule_msg(b"sleep", 1)
            wait_until((app.parent / "sleeping").exists, what="the mule")
            bus.mule_msg(b"later", 1)
            bus.flush()
        pid = mule_pid(where)
        usual = resource.prlimit(launcher.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the mule's end")
        wait_until(lambda: not mule_pid(where), what="the master's knowledge of it")
        assert not letters(where)
        resource.prlimit(launcher.pid, resource.RLIMIT_FSIZE, usual)
        wait_until(lambda: letters(where) == [b"sleep"], what="the dead letter")
        seen = app.parent / "seen"
        wait_until(lambda: seen.exists() and seen.read_bytes() == b"later\n", what="the successor's message")


@pytest.mark.parametrize("target", [0, 1])
def test_a_stop_that_can_save_nothing(bus_env: BusEnvironment, bus_name: str, app: Path, target: int) -> None:
    """What is queued stays in queues and slots until the next start."""
    where = places(bus_name)
    with start(bus_name, app, "--mule-reload-mercy", "0.3") as launcher:
        with attach(bus_name) as bus:
            bus.mule_msg(b"sleep", 1)
            wait_until((app.parent / "sleeping").exists, what="the mule")
            for number in range(2):
                bus.mule_msg(b"%d" % number, target)
            bus.flush()
        resource.prlimit(launcher.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert launcher.stop() == 0
    assert os.path.isdir(where.runtime), launcher.output()
    assert not letters(where)
    with start(bus_name, app):
        wait_until((app.parent / "seen").exists, what="the messages")
        wait_until(lambda: (app.parent / "seen").read_bytes() == b"0\n1\n", what="all messages, in order")
    assert letters(where) == [b"sleep"]


def mule_pid(where: Places) -> int:
    shared = table.open(where.table)
    return int(shared.cells[shared.mule(1) + table.R_PID])
