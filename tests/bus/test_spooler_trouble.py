"""Spoolers where things go wrong around them: full disks, files without sense, directories that go."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.spooler import names
from spoolers import Spooling
from support import Launcher, wait_until


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


@pytest.fixture
def small_disk(spooling: Spooling) -> Iterator[Path]:
    """The spool directory on a file system of 256 KiB of its own."""
    spooling.directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0750", "tmpfs", str(spooling.directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this needs to mount a file system")
    yield spooling.directory
    wait_until(
        lambda: (
            not subprocess.run(
                ["umount", str(spooling.directory)], capture_output=True, check=False
            ).returncode
        ),
        what="the file system to be free",
    )


def test_on_a_full_disk_spoolers_stay_up_and_nothing_is_lost(spooling: Spooling, small_disk: Path) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-processes", "2", "--spooler-frequency", "0.5") as launcher:
        pids = [each["pid"] for each in spooling.status()["spoolers"]]
        spooling.spool(key="hold", do="wait", file=str(go))
        spooling.spool(key="hold", do="wait", file=str(go))
        spooling.wait_runs(2)
        bad = spooling.spool(key="bad", do="raise")
        accepted = 0
        with ipcmules.attach(spooling.bus) as bus, pytest.raises(ipcmules.SpoolWriteError, match="room"):
            while True:
                bus.spool(key=f"n{accepted}", body=b"x" * 4000)
                accepted += 1
        before = sorted(os.listdir(small_disk))
        with pytest.raises(ipcmules.SpoolWriteError):
            spooling.spool(key="too much", body=b"x" * 300_000)
        assert sorted(os.listdir(small_disk)) == before
        go.touch()
        wait_until(lambda: spooling.tasks() == [bad], what="all that was accepted to be done")
        assert pids == [each["pid"] for each in spooling.status()["spoolers"]]
        spooling.spool(key="room again")
        wait_until(lambda: "room again" in spooling.ran(), what="the work to go on")
    counts = Counter(spooling.ran())
    assert all(counts[f"n{number}"] == 1 for number in range(accepted))
    assert launcher.code == 0


@pytest.mark.parametrize("count", [300])
def test_malformed_files_stop_nobody_and_end_in_dead(spooling: Spooling, count: int) -> None:
    chance = random.Random(count)
    good = spooling.task(key="good", do="ok", more="x" * 50)
    spooling.directory.mkdir()
    bad = [spooling.raw(f"bad{number}", _mutated(good, chance)) for number in range(count)]
    empty = {path.name for path in bad if not path.stat().st_size}
    for number in range(20):
        spooling.put(key=f"good{number}")
    options = ("--spooler-processes", "2", "--spooler-frequency", "0.5", "--spooler-quiet")
    with spooling.start(*options, env={"YOUTH": "0.5"}) as launcher:
        pids = [each["pid"] for each in spooling.status()["spoolers"]]
        spooling.wait_empty(60)
        assert pids == [each["pid"] for each in spooling.status()["spoolers"]]
    assert sorted(spooling.dead()) == sorted({path.name for path in bad} - empty)
    assert all(launcher.stderr.count(f"{name}: its writer was killed before it wrote") == 1 for name in empty)
    assert all("this is no task" in each.reason for each in spooling.dead().values())
    assert sorted(each for each in spooling.ran() if each.startswith("good")) == sorted(
        f"good{number}" for number in range(20)
    )
    assert "Traceback" not in launcher.stderr


def _mutated(good: bytes, chance: random.Random) -> bytes:
    """Bytes that are certainly no task."""
    size = int.from_bytes(good[1:3], "little")
    kind = chance.randrange(5)
    if kind == 0:
        return good[: chance.randrange(len(good))]
    if kind == 1:
        return good[:1] + (size + chance.randrange(1, 40000)).to_bytes(2, "little") + good[3:]
    if kind == 2:  # a length within it points beyond the end
        return good[:4] + b"\xff\xff" + good[6:]
    if kind == 3:
        return good[:1] + (size - 1).to_bytes(2, "little") + good[3:]
    return bytes(chance.randrange(4))


def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(spooling: Spooling) -> None:
    content = spooling.task(key="slowly")
    with spooling.start("--spooler-frequency", "0.1"):
        path = spooling.directory / f"{names.TASK}slowly"
        with path.open("wb", buffering=0) as file:  # without a lock, as cp does
            file.write(content[:10])
            spooling.spool(key="meanwhile")
            spooling.wait_runs(1)
            file.write(content[10:])
        spooling.wait_runs(2)
        spooling.wait_empty()
    assert spooling.ran() == ["meanwhile", "slowly"]
    assert not spooling.dead()


def test_a_directory_that_is_removed_and_made_again(spooling: Spooling) -> None:
    with spooling.start("--spooler-frequency", "3600") as launcher:
        spooling.spool(key="before")
        spooling.wait_runs(1)
        spooling.wait_empty()
        shutil.rmtree(spooling.directory)
        spooling.spool(key="made by the bus")
        spooling.wait_runs(2)
        spooling.wait_empty()
        shutil.rmtree(spooling.directory)
        spooling.put(key="made off the bus")
        spooling.wait_runs(3)
        spooling.wait_empty()
        spooling.directory.rename(spooling.home / "away")
        spooling.directory.mkdir(mode=0o750)
        spooling.raw("moved in", spooling.task(key="moved in"))
        spooling.wait_runs(4)
    assert spooling.ran() == ["before", "made by the bus", "made off the bus", "moved in"]
    assert launcher.code == 0


def test_a_directory_that_others_can_write_to_is_refused(spooling: Spooling) -> None:
    spooling.directory.mkdir()
    spooling.directory.chmod(0o777)
    with spooling.start(ready=False) as launcher:
        assert launcher.wait() != 0
    assert "chmod o-w" in launcher.stderr
    assert str(spooling.directory) in launcher.stderr


def test_a_file_in_the_place_of_a_directory_is_an_error(spooling: Spooling) -> None:
    spooling.directory.touch()
    with spooling.start(ready=False) as launcher:
        assert launcher.wait() != 0
    assert "is not a directory" in launcher.stderr


def test_two_buses_and_an_external_one_share_a_directory(spooling: Spooling) -> None:
    second, third = f"{spooling.bus}-b", f"{spooling.bus}-c"
    external = Launcher("--bus", third, "--spooler-external", str(spooling.directory), "--mules", "1")
    options = ("--spooler-frequency", "1", "--spooler-quiet")
    with spooling.start(*options), spooling.start(*options, bus=second), external:
        for number in range(60):
            for bus in (spooling.bus, second, third):
                with ipcmules.attach(bus) as attached:
                    attached.spool(key=f"{bus}/{number}", spooler=str(spooling.directory))
        spooling.wait_runs(180, 60)
        spooling.wait_empty()
    counts = Counter(spooling.ran())
    assert len(counts) == 180
    assert set(counts.values()) == {1}


def test_an_external_directory_has_no_spooler_and_takes_tasks(spooling: Spooling) -> None:
    spooling.directory.mkdir()
    with Launcher("--bus", spooling.bus, "--spooler-external", str(spooling.directory)) as launcher:
        assert spooling.status()["spoolers"] == []
        name = spooling.spool(key="for somebody else")
        assert spooling.tasks() == [name]
    assert launcher.code == 0


def test_a_clock_that_was_set_back_does_not_stop_tasks(spooling: Spooling) -> None:
    """What was written while the clock was ahead has a modification time in the future, and no `at`."""
    name = spooling.put(key="from the future")
    ahead = time.time() + 7200
    parts = name.rsplit("_", 2)
    early = f"{parts[0]}_{int(ahead)}_{parts[2]}"
    (spooling.directory / name).rename(spooling.directory / early)
    os.utime(spooling.directory / early, (ahead, ahead))
    kept = spooling.put(key="planned", at=time.time() + 7200)
    with spooling.start("--spooler-frequency", "0.2"):
        spooling.spool(key="now")
        spooling.wait_runs(2)
        wait_until(lambda: spooling.tasks() == [kept], what="all but the planned one")
    assert sorted(spooling.ran()) == ["from the future", "now"]


@pytest.mark.slow
def test_tasks_for_tomorrow_cost_nothing_while_they_wait(spooling: Spooling) -> None:
    tomorrow = time.time() + 86400
    for number in range(3000):
        spooling.put(key=f"n{number}", at=tomorrow)
    with spooling.start("--spooler-frequency", "0.05", "--spooler-processes", "2"):
        spooling.spool(key="now")
        spooling.wait_runs(1)
        wait_until(
            lambda: all(each["state"] == "waiting" for each in spooling.status()["spoolers"]), what="quiet"
        )
        pids = [each["pid"] for each in spooling.status()["spoolers"]]
        before = sum(_cpu(pid) for pid in pids)
        until = time.monotonic() + 2.0
        wait_until(lambda: time.monotonic() > until or None, 10, "two seconds")
        used = sum(_cpu(pid) for pid in pids) - before
        # 40 looks at 3,000 files by each would be a second; the directory has not changed.
        assert used < 0.2, used
    assert len(spooling.tasks()) == 3000


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
