"""A spool directory, or a task, that cannot be opened now is tried again soon; large directories go in
slices.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus.config import BusConfig, SpoolDir
from ipcmules.bus.description import Description
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects import spooldirs
from ipcmules.master.objects.objects import Objects
from ipcmules.spooler import codec, names, request, scan
from minibus import child, ended, mini_bus
from spoolers import Spooling
from support import wait_until


@contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """A process can open nothing more."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_directory_that_could_not_be_read_is_not_empty_for_a_frequency(
    bus_env: BusEnvironment, bus_name: str
) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    with spooling.start("--spooler-frequency", "600") as launcher, ipcmules.attach(bus_name) as bus:
        spooling.put(key="first")
        spooling.wait_runs(1)
        wait_until(lambda: spooling.status()["spoolers"][0]["state"] == "waiting")
        with no_descriptors(bus.spooler_pid()):
            name = spooling.put(key="second")  # its name comes, and the file cannot be opened
            wait_until(lambda: f"task {name}" not in launcher.stderr and spooling.tasks())
            ipcmules.member.membership.current().spools.look(1)
            wait_until(lambda: launcher.stderr.count("it cannot be read, tasks in it wait") == 1)
            spooling.put(key="third")
            ipcmules.member.membership.current().spools.look(1)
        spooling.wait_runs(3)
        wait_until(lambda: "can be read again" in launcher.stderr)
        assert launcher.stderr.count("it cannot be read") == 1
    assert sorted(spooling.ran()) == ["first", "second", "third"]
    assert "left alone" not in launcher.stderr


def test_a_numbered_directory_that_cannot_be_read_is_said() -> None:
    if os.geteuid():
        pytest.skip("needs root, to be somebody else")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        Path(directory, "5").mkdir(mode=0o700)
        Path(directory, "5", f"{names.TASK}x").touch()
        Path(directory, f"{names.TASK}y").touch()
        assert sorted(scan.scan(directory, False).due) == [f"5/{names.TASK}x", f"{names.TASK}y"]

        def other() -> None:
            os.setuid(65534)
            found = scan.scan(directory, False)
            assert found.due == [f"{names.TASK}y"] and found.unread == f"{directory}/5: Permission denied"

        assert ended(child(other)) == 0


def test_the_master_looks_at_a_part_of_a_directory_a_turn(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (tmp_path / f"{names.TASK}{number}").touch()
    for number in (1, 7):
        (tmp_path / str(number)).mkdir()
    looked = [0]
    is_priority = spooldirs.is_priority

    def counted(name: str) -> bool:
        looked[0] += 1
        return is_priority(name)

    monkeypatch.setattr(spooldirs, "is_priority", counted)
    monkeypatch.setattr(spooldirs, "ENTRIES", 20)
    loop = Loop()
    try:
        with mini_bus(bus_name) as bus:
            config = BusConfig(name=bus_name, spoolers=(SpoolDir(str(tmp_path)),), spooler_frequency=600)
            description = Description(config, 1, bus.description.master, complete=True)
            watched = spooldirs.SpoolDirs(loop, Objects(bus.where, description, bus.table))
            watched.begin()
            most, turns = 0, 0
            while len(watched._watches) < 3:
                before = looked[0]
                loop.run_once()
                most, turns = max(most, looked[0] - before), turns + 1
            assert most <= 20 and looked[0] >= 302 and turns >= 15
            assert sorted(before for _number, before in watched._watches.values()) == ["", "1/", "7/"]
            watched.close()
    finally:
        loop.close()


def test_a_file_of_an_enormous_size_is_refused_before_it_is_read(
    bus_env: BusEnvironment, bus_name: str
) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    content = spooling.task(key="huge")
    with spooling.start(env={"YOUTH": "0"}) as launcher, ipcmules.attach(bus_name) as bus:
        aside = spooling.home / "aside"
        aside.write_bytes(content)
        os.truncate(aside, 10 << 30)
        path = spooling.directory / f"{names.TASK}huge"
        assert ipcmules.spooler_get_task(str(aside)) is None
        soft, hard = resource.prlimit(bus.spooler_pid(), resource.RLIMIT_AS)
        resource.prlimit(bus.spooler_pid(), resource.RLIMIT_AS, (1 << 30, hard))
        aside.rename(path)
        wait_until(spooling.dead)
        resource.prlimit(bus.spooler_pid(), resource.RLIMIT_AS, (soft, hard))
        [record] = spooling.dead().values()
        assert "it has 10737418240 bytes, more than any task" in record.reason
        spooling.put(key="after")
        spooling.wait_runs(1)
    assert spooling.ran() == ["after"] and "Traceback" not in launcher.stderr


def test_a_body_that_is_larger_than_any_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "LARGEST", 1000)
    assert request.read({"body": bytes(1000)}).body == bytes(1000)
    with pytest.raises(ipcmules.SpoolError, match="put it into a file"):
        request.read({"body": bytes(1001)})
