"""`ipcmules clean` and the sweep at a start: what dead buses left goes, what lives or is needed stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import posix_ipc
import pytest
import sysv_ipc

import scripts
from conftest import BusEnvironment
from ipcmules.bus import description, liveness
from ipcmules.bus.places import Places, places
from ipcmules.messages import kept, large
from leftovers import kernel_prefix
from support import Launcher, run_cli, wait_until

STUCK = """
import time
def main():
    print("entered", flush=True)
    while True:
        time.sleep(1)
"""


def killed_bus(name: str, directory: Path, *more: str) -> tuple[Places, description.Description]:
    """A bus with a message in each of its queues, whose master was killed and whose processes are gone."""
    scripts.write(directory, "stuck.py", STUCK)
    where = places(name)
    with Launcher(
        "--bus", name, "--mule=stuck:main", "--farm", "mail:1", "--locks", "2", *more, cwd=directory
    ) as launcher:
        launcher.wait_output("entered")
        found = description.read(where)
        assert found is not None
        for target in ("--mule=1", "--mule=0", "--farm=mail"):
            assert run_cli("msg", "--bus", name, target, f"to {target}").returncode == 0
        assert run_cli("msg", "--bus", name, "-", text_input="y" * 100_000).returncode == 0
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
    wait_until(lambda: not mapped(where), what="the end of the mules")
    return where, found


def mapped(where: Places) -> list[str]:
    """Processes that have the bus's table."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if where.table in Path(f"/proc/{pid}/maps").read_text():
                found.append(pid)
        except OSError:
            continue
    return found


def objects(where: Places, found: description.Description) -> list[str]:
    """What there is of the bus."""
    there = [str(path) for path in Path("/dev/shm").glob(f"{where.kernel[1:]}*")]
    for each in found.queues:
        try:
            posix_ipc.MessageQueue(each.name).close()
            there.append(each.name)
        except posix_ipc.ExistentialError:
            pass
    for key in found.semaphores:
        try:
            sysv_ipc.Semaphore(key)
            there.append(hex(key))
        except sysv_ipc.ExistentialError:
            pass
    return there + [path for path in (where.runtime, where.lock) if os.path.lexists(path)]


def test_a_dead_bus_goes_and_its_messages_stay(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    where, found = killed_bus(bus_name, tmp_path)
    before = objects(where, found)
    assert len(before) == 4 + 3 + 3 + 2, before  # segments, queues, semaphores, directory and lock file
    dry = run_cli("clean", "--dry-run")
    assert dry.returncode == 0 and objects(where, found) == before
    done = run_cli("clean")
    assert done.returncode == 0, done.stderr
    assert objects(where, found) == []
    for text in (dry.stdout, done.stdout):
        for each in (*(queue.name for queue in found.queues), where.table, where.runtime, "3 semaphores"):
            assert each in text
    saved = [kept.header(path) for path in kept.listing(where)]
    assert sorted((each.endpoint, each.length) for each in saved if each.again) == [
        ("farm.mail", 14),
        ("mule1", 11),
        ("pool", 11),
        ("pool", 100_000),
    ]
    assert run_cli("clean").stdout == "nothing to clean\n"


def test_queues_without_a_description_are_found_by_their_names(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    where, found = killed_bus(bus_name, tmp_path)
    shutil.rmtree(where.runtime)
    os.unlink(where.lock)
    assert run_cli("clean").returncode == 0
    left = [each for each in objects(where, found) if not each.startswith("0x")]
    # Farms' names cannot be guessed, where /dev/mqueue is not mounted; keys stand in the description alone.
    assert left in ([], [where.queue("farm.mail")])
    posix_ipc.unlink_message_queue(where.queue("farm.mail")) if left else None
    for key in found.semaphores:
        sysv_ipc.Semaphore(key).remove()
    assert {kept.header(path).endpoint for path in kept.listing(where)} >= {"mule1", "pool"}


def test_living_buses_and_their_files_stay(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    # A name that begins with another one's large messages' prefix, and one in another runtime directory.
    other = f"{bus_name}.m.1"
    killed_bus(bus_name, tmp_path)
    strange = bus_env.runtime / "not a bus"
    strange.mkdir(mode=0o700)
    environment = {**os.environ, "IPCMULES_RUNTIME_DIR": str(bus_env.directory / "elsewhere")}
    with (
        Launcher("--bus", other, "--mules", "1", cwd=tmp_path),
        Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path, env=environment),
    ):
        large.store(places(bus_name), b"of the dead bus")
        alive = large.store(places(other), b"of the living bus")
        done = run_cli("clean")
        assert done.returncode == 0 and f"(bus {other})" not in done.stdout
        assert run_cli("status", "--bus", other).returncode == 0
        assert run_cli("status", "--bus", bus_name, env=environment).returncode == 0
        assert large.load(alive) == b"of the living bus"
    assert strange.is_dir()
    strange.rmdir()
    shutil.rmtree(environment["IPCMULES_RUNTIME_DIR"])
    assert not list(Path("/dev/shm").glob(f"{kernel_prefix(bus_env.runtime)[1:]}*"))


def test_a_dead_bus_whose_mules_still_work_stays(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(
        tmp_path,
        "busy.py",
        """
        import os, time, ipcmules
        def main():
            ipcmules.mule_get_msg()
            print("busy", flush=True)
            while not os.path.exists(os.environ["GATE"]):
                time.sleep(0.01)
            ipcmules.mule_get_msg()
        """,
    )
    gate = tmp_path / "gate"
    environment = {**os.environ, "GATE": str(gate)}
    with Launcher("--bus", bus_name, "--mule=busy:main", cwd=tmp_path, env=environment) as launcher:
        assert run_cli("msg", "--bus", bus_name, "x").returncode == 0
        launcher.wait_output("busy")
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
        done = run_cli("clean")
        assert done.returncode == 1 and "processes of it still run: mule 1 (pid" in done.stderr
        assert mapped(places(bus_name))
        gate.touch()
    wait_until(lambda: not mapped(places(bus_name)), what="the mule's end")
    assert run_cli("clean").returncode == 0
    assert kept.listing(places(bus_name)) == []


@pytest.mark.parametrize("by", ["start", "clean"])
def test_unnamed_buses_of_killed_masters_are_swept(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, by: str
) -> None:
    program = scripts.write(
        tmp_path,
        "embed.py",
        """
        import time
        from ipcmules import Bus
        if __name__ == "__main__":
            with Bus(mules=1) as bus:
                print(bus.name, bus.pid, flush=True)
                time.sleep(600)
        """,
    )
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name, pid = process.stdout.readline().split()
    where = places(name)
    found = description.read(where)
    assert found is not None and not found.config.named
    os.kill(int(pid), signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not liveness.is_alive(where) and not mapped(where), what="the end of the bus")
    assert objects(where, found)
    if by == "clean":
        assert run_cli("clean").returncode == 0
    else:
        with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path):
            pass
    assert objects(where, found) == []


def test_a_start_takes_over_queues_without_a_description(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """As when something cleans /tmp: the messages in the queues are the new bus's."""
    where, found = killed_bus(bus_name, tmp_path)
    shutil.rmtree(bus_env.runtime)
    for key in found.semaphores:
        sysv_ipc.Semaphore(key).remove()
    with Launcher(
        "--bus", bus_name, "--mule=stuck:main", "--farm", "mail:1", "--mule-reload-mercy", "0", cwd=tmp_path
    ):
        pass
    saved = [kept.header(path) for path in kept.listing(where)]
    assert sorted(each.endpoint for each in saved if each.again) == ["farm.mail", "mule1", "pool", "pool"]
