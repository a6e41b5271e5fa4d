"""No descriptors: nobody is taken for dead, nothing spins, and what there is too little of is said."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ipcmules
import narrow
import scripts
from conftest import BusEnvironment
from ipcmules.kernel import exhaustion, processes
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects import objects
from support import Launcher, run_cli, wait_until

WORKER = """
    import sys, time
    import ipcmules

    bus = ipcmules.attach(sys.argv[1])
    ipcmules.register_signal(7, "workers", lambda number: print("handled", flush=True))
    print("worker", ipcmules.worker_id(), flush=True)
    time.sleep(600)
"""


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_what_cannot_be_looked_at_is_not_dead() -> None:
    me, nobody = processes.current(), processes.ProcessId(2**22 - 1, 1)
    with no_descriptors():
        alive, dead = me.alive(), nobody.alive()
        with pytest.raises(exhaustion.LimitError, match="ulimit -n"):
            processes.current()
    assert alive and not dead


def test_without_proc_one_sentence_says_so(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "1", "--", "true")
    done = narrow.run(narrow.mounted("/proc", "size=4k", *command), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("ipcmules: error: /proc is not there") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("limit", "code"), [(100, 2), (150, 0)])
def test_too_few_for_a_bus(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, limit: int, code: int
) -> None:
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "1", "--", "true")
    done = narrow.run(["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh", *command], cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert f"(RLIMIT_NOFILE) is {limit}" in done.stderr and "ulimit -n 6" in done.stderr
    assert ("attached workers of 256" in done.stderr) == (code == 0)


def test_a_callback_that_is_refused_something_is_called_again_and_does_not_spin() -> None:
    loop = Loop()
    reader, writer = os.pipe()
    calls: list[float] = []
    refused = [True]

    def ready() -> None:
        calls.append(time.monotonic())
        if refused[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        os.read(reader, 1)

    timers: list[int] = []

    def due() -> None:
        timers.append(1)
        if len(timers) < 3:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    try:
        loop.watch(reader, ready)
        os.write(writer, b"xy")
        loop.later(0, due)
        while len(timers) < 3 or len(calls) < 3:
            loop.run_once()
        assert min(later - sooner for sooner, later in itertools.pairwise(calls)) >= 0.1
        refused[0] = False
        before = len(calls)
        while len(calls) < before + 2:
            loop.run_once()
        loop.forget(reader)
        os.write(writer, b"z")
        refused[0] = True
        loop.watch(reader, ready)
        while len(calls) < before + 3:
            loop.run_once()
        loop.forget(reader)  # one that is paused
        stop: list[int] = []
        loop.later(0.3, lambda: stop.append(1))
        while not stop:
            loop.run_once()
        assert len(calls) == before + 3
    finally:
        loop.close()
        os.close(reader)
        os.close(writer)


def test_living_workers_keep_their_numbers_while_the_master_has_no_descriptors(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    script = scripts.write(tmp_path, "worker.py", WORKER)
    with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path) as launcher:
        limit = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (0, limit[1]))
        workers = []
        try:
            command = [sys.executable, str(script), bus_name]
            for number in (1, 2, 3):
                worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                workers.append(worker)
                if number == 1:  # it asks the control socket, which has no descriptor to answer with
                    wait_until(lambda: "the master was refused something" in launcher.stderr)
                    wait_until(lambda: "cannot be watched" in launcher.stderr)
                    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, limit)
                assert worker.stdout and worker.stdout.readline() == f"worker {number}\n"
            resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (0, limit[1]))
            with workers[1] as dead:
                dead.kill()
            resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, limit)
            workers[1] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert workers[1].stdout and workers[1].stdout.readline() == "worker 2\n"
            wait_until(lambda: run_cli("signal", "--bus", bus_name, "7").returncode == 0)
            for each in workers:
                assert each.stdout and each.stdout.readline() == "handled\n"
        finally:
            for each in workers:
                each.kill()
                each.wait()
                assert each.stdout
                each.stdout.close()
    assert launcher.code == 0
    assert "Traceback" not in launcher.stderr


def test_an_attached_process_without_descriptors_is_told_so(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path), ipcmules.attach(bus_name) as bus:
        assert bus.mule_msg(b"x") and bus.list_events() == []  # all that is needed is imported
        with no_descriptors():
            with pytest.raises(ipcmules.LimitError, match=r"the queue of mule1 cannot be opened.*ulimit -n"):
                bus.mule_msg(b"x", 1)
            with pytest.raises(ipcmules.LimitError, match=r"the master cannot be asked.*ulimit -n"):
                bus.list_events()
        assert bus.mule_msg(b"x", 1) and bus.list_events() == []


def test_a_removal_that_is_refused_is_made_again_and_said_in_words(caplog: pytest.LogCaptureFixture) -> None:
    """At the very end of a bus there is no loop any more that would come back to it."""
    refused = [OSError(errno.EMFILE, "Too many open files")] * 2
    made = []

    def step() -> None:
        if refused:
            raise refused.pop()
        made.append("removed")

    objects._make_sure(step, time.monotonic() + 60)
    assert made == ["removed"] and caplog.text == ""
    refused += [OSError(errno.ENFILE, "Too many open files in system")]
    objects._make_sure(step, time.monotonic() - 1)
    assert "cannot be removed" in caplog.text and "then `ipcmules clean`" in caplog.text
    assert "Traceback" not in caplog.text
