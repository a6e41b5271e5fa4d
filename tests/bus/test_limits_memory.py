"""A full /dev/shm or runtime directory is a clear error with its remedy: never a SIGBUS, never a bare
OSError.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import narrow
from conftest import BusEnvironment

SHM = "/dev/shm"


@pytest.mark.parametrize("size", ["60k", "196k", "208k", "236k"])
def test_a_start_without_enough_shared_memory(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, size: str
) -> None:
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "3", "--", "true")
    done = narrow.run(narrow.mounted(SHM, f"size={size}", *command), cwd=tmp_path)
    assert done.returncode in (1, 2), (done.returncode, done.stderr)
    assert "shared memory" in done.stderr and "make room in /dev/shm" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_attached_process_without_memory_for_its_signals(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    source = (
        narrow.fill()
        + f"""
import ipcmules
from ipcmules import Bus
from ipcmules.errors import LimitError
with Bus({bus_name!r}, mules=1) as bus:
    fill()
    try:
        ipcmules.register_signal(5, "", print)
        ipcmules.signal_wait(timeout=0)
    except LimitError as error:
        print("LimitError", error)
    free()
    ipcmules.register_signal(6, "", print)
    print("worker", ipcmules.worker_id())
"""
    )
    done = narrow.run(narrow.mounted(SHM, "size=400k", *narrow.python(source)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LimitError 8192 bytes of shared memory to count signals in" in done.stdout
    assert "make room in /dev/shm" in done.stdout
    assert "worker 1" in done.stdout


@pytest.mark.parametrize("options", [*(f"nr_inodes={number}" for number in (1, 3, 6, 9)), "size=8k"])
def test_a_start_without_room_in_the_runtime_directory(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, options: str
) -> None:
    bus_env.runtime.mkdir(mode=0o700)
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "1", "--", "true")
    done = narrow.run(narrow.mounted(bus_env.runtime, f"mode=700,{options}", *command), cwd=tmp_path)
    assert "Traceback" not in done.stderr
    if options != "nr_inodes=9":  # then nothing is amiss but the stacks of the last one
        assert done.returncode in (1, 2), done.stderr
        assert "No space left on device" in done.stderr
        assert "make room" in done.stderr or "IPCMULES_RUNTIME_DIR" in done.stderr


def test_files_that_may_have_no_size(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    command = narrow.ipcmules("run", "--bus", bus_name, "--mules", "1", "--", "true")
    done = narrow.run(["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *command], cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "ulimit -f unlimited" in done.stderr and "make room" not in done.stderr
