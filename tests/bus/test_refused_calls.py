"""A public function has no descriptor, or no memory, left: it works, or says so, and works later."""

from __future__ import annotations

from pathlib import Path

import pytest

import public_calls
import scripts
from driving import drive
from support import Launcher

pytestmark = pytest.mark.slow

#: Calls, the first of their kind, in a process that can open nothing.
PROGRAM = """
    import os, resource, time
    from ipcmules import LimitError, list_events, lock, mule_msg, rpc, signal, spool

    def main():
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, usual[1]))
        for call in (
            lambda: lock(0),
            lambda: mule_msg(b"message", 1),
            lambda: signal(20),
            lambda: spool(a=b"b"),
            lambda: rpc("mule1", "echo"),
            list_events,
        ):
            try:
                call()
            except LimitError as error:
                print("refused", error, flush=True)
            except OSError as error:
                print("refused", type(error).__name__, error, flush=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        print("end", flush=True)
        time.sleep(60)
"""


def test_every_function_of_an_attached_process(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """IPCMULES_TEST_EVERY=1: in each way, with every number of descriptors left, not every third."""
    launcher = drive(bus_name, tmp_path, "refused_program", "3")
    assert "Traceback" not in launcher.stderr


def test_every_function_where_an_allocation_fails(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """IPCMULES_TEST_EVERY=1: every allocation of each, not one of so many."""
    launcher = drive(bus_name, tmp_path, "memory_program", "601")
    assert "Traceback" not in launcher.stderr


def test_a_mule_has_its_modules_from_the_template(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(public_calls.APP)
    scripts.write(tmp_path, "program.py", PROGRAM)
    with Launcher(
        "--bus",
        bus_name,
        "--mule=program:main",
        *public_calls.ARGUMENTS,
        "--mule-reload-mercy",
        "1",
        cwd=tmp_path,
    ) as launcher:
        launcher.wait_output("end")
    assert "refused" in launcher.stdout
    assert "cannot be loaded" not in launcher.stdout
    assert "refused OSError" not in launcher.stdout
    assert "Traceback" not in launcher.stderr
