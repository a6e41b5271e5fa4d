"""How tasks end with their process: what counts as an attempt, who waits, and what is left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import BusEnvironment
from ipcmules.spooler import in_hand, names
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.store import Store
from spoolers import Spooling
from support import Launcher, run_cli, wait_until

APP = """
import os, signal, subprocess, sys, threading, time
from ipcmules.decorators import harakiri, spool
from tasks_app import note

@spool(pass_arguments=True, retries=0)
def once(key, seconds):
    note(task={"key": key})
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists("go"):
        time.sleep(0.01)

@spool(pass_arguments=True, retries=0)
def child(key, command):
    note(task={"key": key})
    subprocess.run(command, check=True)

@spool(pass_arguments=True, retries=1, backoff=600)
def ends(key, how):
    note(task={"key": key})
    if how == "exit":
        sys.exit(1)
    if how == "_exit":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGSEGV)

@spool(pass_arguments=True, retries=0)
@harakiri(0.3)
def slow(key, command):
    note(task={"key": key})
    subprocess.run(command)

@spool(pass_arguments=True)
def leaves_thread(key):
    note(task={"key": key})
    threading.Thread(target=time.sleep, args=(600,), name="left-behind").start()

@spool(pass_arguments=True, retries=2, backoff=0.05)
def fails(key):
    note(task={"key": key})
    raise ValueError("no good")

@spool(pass_arguments=True, retries=0)
def forks(key):
    note(task={"key": key})
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"x")  # a signal before would be cleared by Python's fork
        time.sleep(600)
        os._exit(0)
    os.read(reader, 1)
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM
    os.kill(os.getpid(), signal.SIGKILL)

@spool(pass_arguments=True)
def fine(key):
    note(task={"key": key})
"""


class Ends(Spooling):
    """With an app of tasks that end their processes."""

    def __init__(self, directory: Path, bus: str) -> None:
        super().__init__(directory, bus)
        (directory / "ends_app.py").write_text(APP)

    def start(self, *options: str, **more: Any) -> Launcher:
        return super().start("--import", "ends_app", "--spooler-frequency", "0.2", *options, **more)

    def call(self, function: str, *args: Any, **kwargs: Any) -> str:
        """Enqueue a call as a process on no bus does."""
        import pickle

        packed = {"args": pickle.dumps(args), "kwargs": pickle.dumps(kwargs)}
        return self.put(ud_spool_func=function, ud_spool_ret="-2", **packed)


@pytest.fixture
def ends(bus_env: BusEnvironment, bus_name: str) -> Ends:
    return Ends(bus_env.directory, bus_name)


def test_a_deploy_uses_up_no_attempt(ends: Ends) -> None:
    with ends.start("--mule-reload-mercy", "0.5") as first:
        name = ends.call("once", "long", 60)
        ends.wait_runs(1)
        assert run_cli("reload", "--bus", ends.bus).returncode == 0
        ends.wait_runs(2)
    assert "no attempt, it runs again" in first.stderr
    assert not ends.dead() and ends.tasks() == [name] and ends.record(name).attempts == 0
    with ends.start():
        ends.wait_runs(3)
        (ends.directory / "go").touch()
        ends.wait_empty()
    assert ends.ran() == ["long"] * 3 and not ends.dead()


def test_a_whole_group_that_is_stopped_and_killed_uses_up_no_attempt(
    ends: Ends, bus_env: BusEnvironment
) -> None:
    """As systemd does at its end: SIGTERM to every process, SIGKILL to every process."""
    bus_env.may_leave_objects("everything is killed")
    with ends.start() as launcher:
        name = ends.call("once", "long", 60)
        ends.wait_runs(1)
        everybody = [
            launcher.process.pid,
            *(each.pid for each in psutil.Process(launcher.process.pid).children(True)),
        ]
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for pid in everybody:
                try:
                    os.kill(pid, signum)
                except ProcessLookupError:
                    pass
            wait_until(lambda: _told(ends), what="the spooler to have noted it")
        launcher.wait()
    (ends.directory / "go").touch()
    with ends.start() as second:
        ends.wait_empty()
        wait_until(
            lambda: "was told to end and killed: it runs again" in second.stderr, what="a word about it"
        )
    assert ends.ran() == ["long"] * 2 and not ends.dead()
    assert name not in ends.dead()


def _told(ends: Ends) -> bool:
    return all(
        (ends.directory / each).read_bytes()[-1:] == b"\1"
        for each in ends.ours()
        if each.startswith(names.HAND)
    )


def test_a_child_of_a_task_that_a_stop_killed_is_no_attempt(ends: Ends) -> None:
    with ends.start() as launcher:
        name = ends.call("child", "child", ["sleep", "600"])
        ends.wait_runs(1)
        spooler = psutil.Process(ends.status()["spoolers"][0]["pid"])
        (child,) = wait_until(spooler.children, what="the task's child")
        spooler.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGTERM)
        wait_until(
            lambda: "no attempt, as this process was told to end" in launcher.stderr, what="the failure"
        )
    assert ends.record(name).attempts == 0 and not ends.dead()


def test_a_child_of_a_task_that_is_told_to_end_is_not_its_spooler(ends: Ends) -> None:
    with ends.start():
        name = ends.call("forks", "forks")
        wait_until(ends.dead, what="the task to be given up")
        assert ends.dead()[name].attempts == 1
        assert ends.ran() == ["forks"]


def test_a_death_without_a_word_counts_by_the_tasks_own_policy(tmp_path: Path) -> None:
    """The hand of a process that was killed, with the policy of its task and without the word to end."""
    store = Store(str(tmp_path))
    task = tmp_path / f"{names.TASK}x"
    task.write_bytes(b"\x11\0\0\0")
    for told in (True, False):
        pid = os.fork()
        if not pid:
            try:
                hand = Hand(str(tmp_path))
                hand.take(task.name, Policy(1, 0.5, 7.0))
                if told:
                    hand.tell()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        (death,) = store.deaths()
        assert death.policy == Policy(1, 0.5, 7.0)
        assert (death.verdict is None) == told
        assert task.exists() == told
    assert death.verdict is not None and death.verdict.dead and death.verdict.attempts == 1


def test_another_process_can_note_it_in_a_hand(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        try:
            hand = Hand(str(tmp_path))
            hand.take(f"{names.TASK}x", Policy())
            in_hand.tell(str(tmp_path), hand.prepare())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    (name,) = os.listdir(tmp_path)
    dropped = in_hand.collect(str(tmp_path), name)
    assert dropped is not None and dropped.told


def test_tasks_that_end_their_process_delay_no_other(ends: Ends) -> None:
    with ends.start() as launcher:
        for number in range(9):
            ends.call("ends", f"n{number}", ("exit", "_exit", "segv")[number % 3])
        ends.call("fine", "fine")
        wait_until(lambda: "fine" in ends.ran(), what="the healthy task")
        # As it would say of a process that dies young.
        assert "starting it again in" not in launcher.stderr
    assert sorted(ends.ran()) == ["fine", *(f"n{number}" for number in range(9))]
    assert all(ends.record(each).attempts == 1 for each in ends.tasks())


def test_a_spooler_that_cannot_start_is_not_started_without_a_pause(ends: Ends) -> None:
    broken = ends.home / "broken"
    (ends.home / "late.py").write_text(
        "import os, sys\nif os.path.exists('broken'):\n    sys.stderr.write('again\\n')\n    os._exit(3)\n"
    )
    with ends.start("--spooler-import", "late") as launcher:
        broken.touch()
        os.kill(ends.status()["spoolers"][0]["pid"], signal.SIGKILL)
        wait_until(lambda: "starting it again in 0.2 s" in launcher.stderr, what="a growing delay")
        broken.unlink()
        ends.call("fine", "fine")
        ends.wait_runs(1)


def test_harakiri_ends_the_children_of_a_task(ends: Ends) -> None:
    with ends.start():
        ends.call("slow", "slow", ["sleep", "7001"])
        ends.wait_runs(1)
        wait_until(ends.dead, what="the task to be given up")
        wait_until(lambda: not _sleepers("7001"), what="its child to be gone")


def test_the_end_of_the_bus_ends_the_children_of_a_task(ends: Ends) -> None:
    with ends.start("--mule-reload-mercy", "0.5"):
        ends.call("child", "child", ["sleep", "7002"])
        wait_until(lambda: _sleepers("7002"), what="its child")
    wait_until(lambda: not _sleepers("7002"), what="its child to be gone")


def test_harakiri_ends_the_children_of_a_mule(ends: Ends) -> None:
    (ends.home / "mule_app.py").write_text(
        "import subprocess\nfrom ipcmules.decorators import harakiri, mulefunc\n"
        "@mulefunc(1)\n@harakiri(0.3)\ndef slow(): subprocess.run(['sleep', '7003'])\n"
    )
    with ends.start(
        "--mules",
        "1",
        "--import",
        "mule_app",
        "--",
        sys.executable,
        "-c",
        "import mule_app, time; mule_app.slow(); time.sleep(60)",
    ) as launcher:
        wait_until(
            lambda: "harakiri" in launcher.stderr and "starting it again" in launcher.stderr, what="harakiri"
        )
        wait_until(lambda: not _sleepers("7003"), what="its child to be gone")


def _sleepers(seconds: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if _command(each) == ["sleep", seconds]]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_thread_that_is_left_behind_does_not_stop_the_queue(ends: Ends) -> None:
    with ends.start("--spooler-max-tasks", "1", "--mule-reload-mercy", "0.5") as launcher:
        ends.call("leaves_thread", "first")
        ends.wait_runs(1)
        ends.call("fine", "second")
        ends.wait_runs(2)
        ends.wait_empty()
    assert "it waited for threads that are no daemons: left-behind" in launcher.stderr
    assert "has had its number of messages or tasks" in launcher.stderr


@pytest.fixture
def small_disk(ends: Ends) -> Iterator[Path]:
    """The spool directory on a file system of 64 KiB of its own."""
    ends.directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0750", "tmpfs", str(ends.directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this needs to mount a file system")
    yield ends.directory
    umount = ["umount", str(ends.directory)]
    wait_until(
        lambda: not subprocess.run(umount, capture_output=True, check=False).returncode,
        what="the file system to be free",
    )


def test_on_a_full_disk_attempts_are_counted_all_the_same(ends: Ends, small_disk: Path) -> None:
    with ends.start() as launcher:
        (small_disk / "dead").mkdir(mode=0o700)
        ends.call("fails", "fails")  # its process makes its hand before there is no room
        filler = small_disk / "filler"
        _fill(filler)
        wait_until(ends.dead, what="the task to be given up")
        launcher.wait_log("attempt 3 of 3, given up")
        launcher.wait_log("cannot be written down")
        assert launcher.stderr.count("cannot be written down") == 1
    assert ends.ran() == ["fails"] * 3


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
