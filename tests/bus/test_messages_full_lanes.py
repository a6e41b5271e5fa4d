"""What ends or changes a bus while its lanes are full: each message is there after it, once and in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import narrow
import scripts
from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

pytestmark = pytest.mark.slow

WORKER = """
import os, time
import ipcmules

def main():
    while not os.path.exists("go"):
        time.sleep(0.01)
    while True:
        message = ipcmules.mule_get_msg()
        with open(f"got{ipcmules.mule_id()}", "ab", 0) as file:
            file.write(message[:30].strip() + b"\\n")
"""

#: A process that joins, sends and is killed at once.
SENDER = """
import os, signal, sys
import ipcmules

name, count = sys.argv[2], int(sys.argv[3])
with ipcmules.attach(sys.argv[1]):
    for number in range(count):
        for target in (1, 0, "f"):
            size = 20_000 if number % 50 == 7 else 40
            assert ipcmules.mule_msg(f"{target} {name} {number} ".ljust(size).encode(), target, timeout=0)
    os.kill(os.getpid(), signal.SIGKILL)
"""

COUNT, SENDERS = 150, 3


def _send(bus_name: str, tmp_path: Path) -> list[str]:
    """Fill the lanes; what was accepted."""
    path = scripts.write(tmp_path, "sender.py", SENDER)
    for name in range(SENDERS):
        done = subprocess.run(
            [sys.executable, path, bus_name, str(name), str(COUNT)],
            cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
    return [
        f"{target} {name} {number}"
        for target in (1, 0, "f")
        for name in range(SENDERS)
        for number in range(COUNT)
    ]


def _got(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"got{number}" for number in (1, 2)]
    return [line for path in paths if path.exists() for line in path.read_text().splitlines()]


def _check(launcher: Launcher, tmp_path: Path, sent: list[str]) -> None:
    """Let the mules go on, and compare what they get."""
    (tmp_path / "go").touch()
    try:
        wait_until(lambda: len(_got(tmp_path)) >= len(sent), 30, "every message")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{len(_got(tmp_path))} of {len(sent)}\n{launcher.output()}") from None
    assert sorted(_got(tmp_path)) == sorted(sent)
    own = [line.split() for line in (tmp_path / "got1").read_text().splitlines()]
    for name in map(str, range(SENDERS)):
        numbers = [int(number) for target, sender, number in own if (target, sender) == ("1", name)]
        assert numbers == sorted(numbers)


def _killed(launcher: Launcher) -> None:
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()


def _stopped(launcher: Launcher) -> None:
    launcher.stop()


@pytest.mark.parametrize("end", [_killed, _stopped])
def test_the_next_start_has_what_lay_in_lanes(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, end: Callable[[Launcher], None]
) -> None:
    scripts.write(tmp_path, "worker.py", WORKER)
    options = ("--bus", bus_name, "--mule=worker:main", "--mule=worker:main", "--farm", "f:1,2")
    with Launcher(*options, "--mule-reload-mercy", "0", cwd=tmp_path) as launcher:
        sent = _send(bus_name, tmp_path)
        shown = run_cli("status", "--bus", bus_name).stdout
        assert "waiting behind queues" in shown and "farm.f" in shown.split("waiting behind queues")[1]
        end(launcher)
    with Launcher(*options, cwd=tmp_path) as launcher:
        _check(launcher, tmp_path, sent)


def test_a_reload_leaves_lanes_alone(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "worker.py", WORKER)
    options = ("--bus", bus_name, "--mule=worker:main", "--mule=worker:main", "--farm", "f:1,2")
    with Launcher(*options, "--mule-reload-mercy", "0.2", cwd=tmp_path) as launcher:
        sent = _send(bus_name, tmp_path)
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        _check(launcher, tmp_path, sent)


MANY = f"""
    import os, sys
    sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
    from ipcmules.messages.lanes import directory
    from messagebus import message_bus, no_signal
    senders, count = 200, 30
    with message_bus("many", mules=1, farms=()) as bus:
        inbox, where = bus.inbox(1), directory.Directory(bus.where)
        bus.kept()
        def send(number):
            post = bus.post()
            for each in range(count):
                for target in ("mule1", "pool"):
                    assert post.outbox(target).send(b"%s %d %d" % (target.encode(), number, each), 90)
            os.read(gate, 1)
        gate, opened = os.pipe()
        pids = [bus.fork(send, number) for number in range(senders)]
        got = [inbox.get(60, True, True, no_signal) for _ in range(2 * senders * count)]
        assert len(set(got)) == len(got) and None not in got
        assert where.used(0) and where.used(1)  # how many got one of those who met at the lock is chance
        os.write(opened, bytes(senders))
        assert [bus.wait(pid) for pid in pids] == [0] * senders
        for number in range(senders):
            for target in ("mule1", "pool"):
                own = [each for each in got if each.startswith(b"%s %d " % (target.encode(), number))]
                assert own == [b"%s %d %d" % (target.encode(), number, each) for each in range(count)]
"""


def test_200_senders_and_what_docker_gives(bus_env: BusEnvironment, tmp_path: Path) -> None:
    """64 MB of shared memory; every sender has lanes behind two queues."""
    source = textwrap.dedent(MANY)
    done = narrow.run(
        narrow.mounted("/dev/shm", "size=64m", sys.executable, "-c", source), cwd=tmp_path, seconds=250
    )
    assert done.returncode == 0, done.stderr
