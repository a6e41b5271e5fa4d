"""A bus is alive while its lock is held, and not a moment longer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.bus import liveness
from ipcmules.bus.places import places
from ipcmules.errors import AccessError, BusRunning
from support import wait_until

HOLDER = """
import sys, time
from ipcmules.bus import liveness
from ipcmules.bus.places import places
liveness.hold(places(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_hold_and_release(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    assert not liveness.is_alive(where)
    assert not bus_env.runtime.exists()  # looking creates nothing
    descriptor = liveness.hold(where)
    assert liveness.is_alive(where)
    assert not os.get_inheritable(descriptor)
    with pytest.raises(BusRunning, match=f"pid {os.getpid()}"):
        liveness.hold(where)
    liveness.release(where, descriptor)
    assert not liveness.is_alive(where)
    assert list(bus_env.runtime.iterdir()) == []


def test_a_killed_holder_holds_nothing(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    with subprocess.Popen([sys.executable, "-c", HOLDER, bus_name], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert liveness.is_alive(where)
        with pytest.raises(BusRunning, match=f"pid {holder.pid}.*ipcmules stop --bus {bus_name}"):
            liveness.hold(where)
        holder.kill()
        holder.wait()
    assert not liveness.is_alive(where)
    assert Path(where.lock).exists()
    liveness.release(where, liveness.hold(where))
    assert not Path(where.lock).exists()


def test_looking_does_not_disturb_taking(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            liveness.is_alive(where)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for each in lookers:
        each.start()
    try:
        for _ in range(200):
            descriptor = liveness.hold(where)
            assert liveness.is_alive(where)
            liveness.release(where, descriptor)
    finally:
        over.set()
        for each in lookers:
            each.join()


def test_only_one_of_many_takes_it(bus_env: BusEnvironment, bus_name: str) -> None:
    command = [sys.executable, "-c", HOLDER, bus_name]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(5)]
    try:
        wait_until(lambda: sum(each.poll() is not None for each in started) == 4, what="four that give up")
        winner = next(each for each in started if each.poll() is None)
        assert liveness.holder(places(bus_name)) == winner.pid
    finally:
        for each in started:
            each.kill()
            each.communicate()
    liveness.release(places(bus_name), liveness.hold(places(bus_name)))


def test_a_link_in_the_way_is_refused(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    bus_env.runtime.mkdir(mode=0o700)
    other = bus_env.directory / "other"
    other.write_text("untouched")
    Path(where.lock).symlink_to(other)
    for call in (liveness.hold, liveness.is_alive):
        with pytest.raises(AccessError, match="remove it"):
            call(where)
    assert other.read_text() == "untouched"
    Path(where.lock).unlink()
