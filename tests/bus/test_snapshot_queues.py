"""What a snapshot tells of each queue: how many messages were taken of it, whoever was killed meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.snapshot import take
from ipcmules.snapshot.values import Queue
from support import Launcher, wait_until

HOOK = """
import os, time
import ipcmules

def hook(message):
    if message == b"hold":
        with open(f"held{ipcmules.mule_id()}", "w"):
            pass
        while not os.path.exists("go"):
            time.sleep(0.005)

ipcmules.install_mule_msg_hook(hook)
"""

#: A mule that never rests: it has always something to receive.
LOOP = """
import os, time
import ipcmules

while True:
    message = ipcmules.mule_get_msg()
    if os.path.exists("slow"):
        time.sleep(0.003)
"""


def _queues(bus_name: str) -> dict[str, Queue]:
    return {each.endpoint: each for each in take(places(bus_name)).queues}


def _taken(bus_name: str) -> dict[str, int]:
    return {endpoint: each.taken for endpoint, each in _queues(bus_name).items() if each.taken}


@pytest.mark.parametrize("size", [10, 100_000])
def test_by_queue_and_over_respawns(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, size: int
) -> None:
    (tmp_path / "app.py").write_text(HOOK)
    options = ("--bus", bus_name, "--import", "app.py", "--mules", "2", "--farm", "mail:1,2", "--farm", "f:2")
    with Launcher(*options, cwd=tmp_path), ipcmules.attach(bus_name):
        message = b"x" * size
        for _ in range(5):
            assert ipcmules.mule_msg(message, 1)
        for _ in range(7):
            assert ipcmules.mule_msg(message)
        for _ in range(30):
            assert ipcmules.farm_msg("mail", message)
        assert ipcmules.farm_msg("f", message)
        expected = {"mule1": 5, "pool": 7, "farm.mail": 30, "farm.f": 1}
        wait_until(lambda: _taken(bus_name) == expected, what="what was sent")
        assert all(each.oldest is None for each in _queues(bus_name).values())
        pid = take(places(bus_name)).mules[0].pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: take(places(bus_name)).mules[0].pid not in (0, pid), what="its successor")
        assert ipcmules.mule_msg(message, 1) and ipcmules.mule_msg(b"hold", 1)
        wait_until((tmp_path / "held1").exists, what="the hook")
        for _ in range(3):
            assert ipcmules.mule_msg(b"later", 1)
        waits = _queues(bus_name)["mule1"]
        # What it took in the 20 ms before the hook began it may not have told yet.
        assert waits.left == 3 and 5 <= waits.taken <= 7 and waits.oldest is not None
        (tmp_path / "go").touch()
        wait_until(lambda: _taken(bus_name) == {**expected, "mule1": 10}, what="the rest")


@pytest.mark.parametrize("target", ["pool", "farm.mail", "mule1"])
def test_a_mule_that_never_rests_tells_too(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, target: str
) -> None:
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "slow").touch()
    options = ("--bus", bus_name, "--mule=loop.py", "--farm", "mail:1")
    with Launcher(*options, cwd=tmp_path), ipcmules.attach(bus_name):
        to = {"pool": 0, "farm.mail": "mail", "mule1": 1}[target]
        for _ in range(3000):
            assert ipcmules.mule_msg(b"x", to)
        first = wait_until(lambda: _taken(bus_name).get(target), what="the first ones")
        wait_until(lambda: _taken(bus_name)[target] > first, what="more of them")
        seen = take(places(bus_name))
        [queue] = [each for each in seen.queues if each.endpoint == target]
        assert queue.left, "all was taken: this tried nothing"
        assert 0 < seen.mules[0].all_messages <= 3000
        (tmp_path / "slow").unlink()
        wait_until(lambda: _taken(bus_name) == {target: 3000}, what="all of them")
        assert take(places(bus_name)).mules[0].all_messages == 3000
