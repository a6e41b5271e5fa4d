"""Somebody removes files of a living bus: it goes on, makes them good, and nobody starts a second one."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules.bus import control, liveness
from ipcmules.bus.places import Places, places
from ipcmules.member import membership
from support import Launcher, run_cli, wait_until

PROGRAM = """
    import os
    import ipcmules
    from ipcmules.decorators import signal

    ipcmules.register_rpc("who", lambda: f"mule {ipcmules.mule_id()}")

    @signal(7, target="mule1")
    def seven(signum):
        print("signal to mule", flush=True)

    def main():
        print("entered", flush=True)
        while True:
            text = ipcmules.mule_get_msg().decode()
            if text == "die":
                os.kill(os.getpid(), 9)
            print("got", text, flush=True)
"""
#: An attached process with a handler and a function.
WORKER = """
    import sys, time
    import ipcmules
    from ipcmules.decorators import signal

    @signal(8, target="workers")
    def eight(signum):
        print("signal to worker", flush=True)

    ipcmules.attach(sys.argv[1])
    ipcmules.register_rpc("who", lambda: f"worker {ipcmules.worker_id()}")
    print("serving", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return scripts.write(tmp_path, "program.py", PROGRAM)


def start(name: str, app: Path, *more: str) -> Launcher:
    arguments = ["--bus", name, "--mule=program:main", "--pythonpath", str(app.parent), "--import", "program"]
    return Launcher(*arguments, *more, cwd=app.parent)


def lock(where: Places) -> None:
    os.unlink(where.lock)


def description(where: Places) -> None:
    os.unlink(where.description)


def fifo(where: Places) -> None:
    os.unlink(where.fifo("mule1"))


def socket(where: Places) -> None:
    os.unlink(where.control)


def rpc(where: Places) -> None:
    os.unlink(os.path.join(where.runtime, "rpc.mule1"))


def directory(where: Places) -> None:
    shutil.rmtree(where.runtime, ignore_errors=True)


def everything(where: Places) -> None:
    shutil.rmtree(os.path.dirname(where.runtime), ignore_errors=True)


def moved(where: Places) -> None:
    root = os.path.dirname(where.runtime)
    os.rename(root, f"{root}-old")


DEEDS = [lock, description, fifo, socket, rpc, directory, everything, moved]


@pytest.mark.parametrize("remove", DEEDS)
def test_a_bus_outlives_a_cleaner(
    bus_env: BusEnvironment, bus_name: str, app: Path, remove: Callable[[Places], None]
) -> None:
    where = places(bus_name)
    worker = scripts.write(app.parent, "worker.py", WORKER)
    with start(bus_name, app) as launcher:
        with subprocess.Popen(
            [sys.executable, str(worker), bus_name], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout and other.stdout.readline() == "serving\n"
            try:
                remove(where)
                second = run_cli("run", "--bus", bus_name, "--mules", "1")
                assert second.returncode == 1
                assert f"is running already (its master is pid {launcher.pid})" in second.stderr
                whole = [where.lock, where.description, where.control, where.fifo("mule1")]
                wait_until(lambda: all(map(os.path.exists, whole)), what="what was removed")
                assert liveness.is_alive(where)
                control.ask(where, {"do": "events.list"}, timeout=10)
                ipcmules.attach(bus_name)
                for round_ in (1, 2):
                    ipcmules.mule_msg(b"hello %d" % round_, 1)
                    ipcmules.flush()
                    launcher.wait_output(f"got hello {round_}")
                    ipcmules.signal(7)
                    wait_until(lambda n=round_: launcher.stdout.count("signal to mule") == n, what="signal 7")
                    ipcmules.signal(8)
                    assert other.stdout.readline() == "signal to worker\n"
                    assert ipcmules.rpc("mule1", "who") == b"mule 1"
                    assert ipcmules.rpc("worker1", "who") == b"worker 1"
                    if round_ == 1:  # and again with a successor of the mule
                        ipcmules.mule_msg(b"die", 1)
                        ipcmules.flush()
                        wait_until(lambda: launcher.stdout.count("entered") == 2, what="the successor")
                        wait_until(lambda: ipcmules.rpc("mule1", "who") == b"mule 1", what="its functions")
                assert run_cli("status", "--bus", bus_name).returncode == 0
                assert run_cli("reload", "--bus", bus_name).returncode == 0
            finally:
                membership.leave(for_good=True)
                other.kill()
        assert run_cli("stop", "--bus", bus_name).returncode == 0
    assert "Traceback" not in launcher.stderr
    assert "made again" in launcher.stderr
    assert not os.path.exists(where.runtime)
    assert not os.path.exists(where.lock)
    shutil.rmtree(f"{os.path.dirname(where.runtime)}-old", ignore_errors=True)


def test_the_master_can_open_nothing_for_a_moment(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """What is removed then is there as soon as it can, and what is removed later as ever."""
    where = places(bus_name)
    whole = [where.lock, where.description, where.control, where.fifo("mule1"), where.notify]
    with start(bus_name, app) as launcher:
        limit = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (0, limit[1]))
        everything(where)
        wait_until(lambda: f"{where.runtime} cannot be made again" in launcher.stderr, what="its words")
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, limit)
        wait_until(lambda: all(map(os.path.exists, whole)), what="what was removed")
        directory(where)
        wait_until(lambda: all(map(os.path.exists, whole)), what="what was removed afterwards")
    assert "Traceback" not in launcher.stderr


def test_a_mule_that_starts_while_the_directory_is_gone(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    """It waits until the master, which hears of its predecessor's death first, has made it again."""
    where = places(bus_name)
    with start(bus_name, app) as launcher:
        ipcmules.attach(bus_name)
        try:
            os.kill(launcher.pid, signal.SIGSTOP)
            directory(where)
            ipcmules.mule_msg(b"die", 1)
            ipcmules.mule_msg(b"hello", 1)
            ipcmules.flush()
            shared = membership.current().table
            wait_until(lambda: not shared.lives(shared.mule(1)), what="the mule's death")
            os.kill(launcher.pid, signal.SIGCONT)
            launcher.wait_output("got hello")
        finally:
            os.kill(launcher.pid, signal.SIGCONT)
            membership.leave(for_good=True)
    assert "Traceback" not in launcher.stderr
    assert launcher.stderr.count("starting it again") == 1


def test_a_raise_while_the_fifos_are_gone(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """The master is stopped, so nobody makes them good: the raise is counted, and handled afterwards."""
    where = places(bus_name)
    with start(bus_name, app) as launcher:
        ipcmules.attach(bus_name)
        try:
            os.kill(launcher.pid, signal.SIGSTOP)
            directory(where)
            for _ in range(3):
                ipcmules.signal(7)
            os.kill(launcher.pid, signal.SIGCONT)
            wait_until(lambda: launcher.stdout.count("signal to mule") == 3, what="the signals")
        finally:
            os.kill(launcher.pid, signal.SIGCONT)
            membership.leave(for_good=True)


def test_a_second_master_all_the_same(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """As an older version would: it holds a new lock file. The first ends, in words, and removes nothing."""
    where = places(bus_name)
    with start(bus_name, app, "--mule-reload-mercy", "1") as launcher:
        os.kill(launcher.pid, signal.SIGSTOP)
        os.unlink(where.lock)
        other = os.open(where.lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(other, fcntl.LOCK_EX)
        os.write(other, b"%d\n" % os.getpid())
        os.kill(launcher.pid, signal.SIGCONT)
        assert launcher.wait(30) == 1
        assert launcher.stderr.count("has another master by now") == 1
        launcher.wait_log(f"(pid {os.getpid()})")
        assert "Traceback" not in launcher.stderr
        assert os.path.exists(where.description)
        os.close(other)
    assert run_cli("clean").returncode == 0


def test_files_stay_young(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """A start touches what is there; the rest is a timer of an hour."""
    where = places(bus_name)
    with start(bus_name, app) as launcher:
        wait_until(lambda: "entered" in launcher.stdout, what="the mule")
        now = time.time()
        for path in (where.lock, where.runtime, where.description, where.fifo("mule1"), where.control):
            assert now - os.lstat(path).st_mtime < 60


def test_the_listener_is_still_known(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    where = places(bus_name)
    address = bus_env.directory / "socket"
    with start(bus_name, app, "--socket", str(address)):
        wait_until(lambda: os.path.exists(where.listener), what="the listener")
        wait_until(lambda: str(address) in run_cli("status", "--bus", bus_name).stdout, what="its line")
        everything(where)
        wait_until(lambda: os.path.exists(where.listener), what="its file again")
        assert str(address) in run_cli("status", "--bus", bus_name).stdout
