"""Joining a running bus from an unrelated process, leaving it, and outliving it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules import BusStopped, NotAttached
from ipcmules.api import presence
from ipcmules.bus.places import places
from ipcmules.member import membership
from support import Launcher, wait_until


@pytest.fixture(autouse=True)
def leave() -> Iterator[None]:
    """A test that fails on a bus must not fail those after it."""
    yield
    presence.stop()
    membership.leave()


ECHO = """
    from ipcmules import mule_get_msg, mule_id

    while True:
        print(f"mule {mule_id()}: {mule_get_msg().decode()}")
"""


def test_attach_send_and_leave(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}", f"--mule={echo}", "--farm=f:2") as launcher:
        with ipcmules.attach(bus_name) as bus:
            assert bus.name == bus_name
            assert bus.masterpid() == launcher.pid
            assert (bus.mule_id(), bus.worker_id(), bus.in_farm()) == (0, 0, None)
            assert bus.mule_msg("direct", 1) and bus.farm_msg("f", "to the farm")
            with ipcmules.attach(bus_name) as again:  # again is no error, and its end not the first one's
                assert again.name == bus_name
            assert bus.masterpid() == launcher.pid
            with bus.Lock(0):
                assert bus.is_locked(0)
        assert ipcmules.masterpid() == 0
        launcher.wait_output("mule 1: direct\n")
        launcher.wait_output("mule 2: to the farm\n")
    assert launcher.code == 0
    with pytest.raises(NotAttached, match=f"bus '{bus_name}' is not running"):
        ipcmules.attach(bus_name)


def test_by_the_environment(
    bus_env: object, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        monkeypatch.setenv("IPCMULES_BUS", bus_name)
        with ipcmules.attach() as bus:
            assert bus.name == bus_name
            assert ipcmules.mule_msg("by name")
        launcher.wait_output("mule 1: by name\n")


WORKER = """
    import sys
    import ipcmules

    bus = ipcmules.attach(sys.argv[1])

    def handle(number):
        print("worker", bus.worker_id(), "signal", number, flush=True)

    bus.register_signal(5, "workers", handle)
    print("serving as", bus.worker_id(), flush=True)
    sys.stdin.readline()
    if sys.argv[2:]:
        bus.detach()
        assert ipcmules.worker_id() == 0
        print("left", flush=True)
        sys.stdin.readline()
"""


def test_workers_take_the_lowest_free_number_and_give_it_back(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    program = scripts.write(tmp_path, "worker.py", WORKER)

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(program), bus_name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        return process.stdout.readline().rstrip()

    with Launcher("--bus", bus_name), ipcmules.attach(bus_name) as bus:
        first = start()
        assert line(first) == "serving as 1"
        second = start("leave")
        assert line(second) == "serving as 2"
        bus.signal(5)
        assert [line(first), line(second)] == ["worker 1 signal 5", "worker 2 signal 5"]

        first.kill()
        first.communicate()
        third = start()
        assert line(third) == "serving as 1"

        assert second.stdin
        second.stdin.write("\n")
        second.stdin.flush()
        assert line(second) == "left"
        fourth = start()
        assert line(fourth) == "serving as 2"
        bus.signal(5)
        assert [line(third), line(fourth)] == ["worker 1 signal 5", "worker 2 signal 5"]
        for each in (second, third, fourth):
            assert each.communicate("\n", timeout=20)[0] == ""
            assert each.returncode == 0


def test_a_sender_outlives_a_bus_and_joins_its_successor(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        attached = ipcmules.attach(bus_name)
        assert attached.mule_msg("to the first")
        launcher.wait_output("mule 1: to the first\n")
    # A named bus that has stopped: what still went into its queue waits for the next one, later sends say so.
    accepted = attached.mule_msg("to nobody")
    kept = list(Path(places(bus_name).kept).iterdir())
    assert accepted and len(kept) == 1 and kept[0].read_bytes().endswith(b"to nobody")
    with pytest.raises((BusStopped, NotAttached)):
        attached.mule_msg("to nobody either")
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        ipcmules.attach(bus_name)
        assert attached.mule_msg("to the second")
        launcher.wait_output("mule 1: to the second\n")
        launcher.wait_output("mule 1: to nobody\n")
        attached.detach()
        assert "nobody either" not in launcher.stdout


def test_a_sender_that_missed_the_restart_sends_on(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        attached = ipcmules.attach(bus_name)
        assert attached.mule_msg("to the first")
        launcher.wait_output("mule 1: to the first\n")
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        assert attached.mule_msg("to the second")
        launcher.wait_output("mule 1: to the second\n")
        attached.detach()


def test_signal_wait_ends_with_its_bus(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "waiter.py",
        """
        import sys
        import ipcmules

        with ipcmules.attach(sys.argv[1]):
            print(ipcmules.signal_wait(timeout=0.05), flush=True)
            try:
                while True:
                    print(ipcmules.signal_wait(), ipcmules.worker_id(), flush=True)
            except ipcmules.BusStopped as error:
                print(error, flush=True)
        """,
    )
    with Launcher("--bus", bus_name) as launcher:
        waiter = subprocess.Popen([sys.executable, str(program), bus_name], stdout=subprocess.PIPE, text=True)
        assert waiter.stdout
        assert waiter.stdout.readline() == "None\n"
        with ipcmules.attach(bus_name) as bus:
            # Nobody registered 77: it goes to whoever waits, and is dropped until somebody does.
            found: list[str] = []

            def answered() -> bool:
                bus.signal(77)
                return bool(found)

            reader = threading.Thread(target=lambda: found.append(waiter.stdout.readline()))  # type: ignore[union-attr]
            reader.start()
            wait_until(answered, every=0.05)
            reader.join()
            assert found == ["77 1\n"]
        launcher.stop()
    rest = waiter.communicate(timeout=20)[0].splitlines()
    assert rest[-1] == f"bus {bus_name!r} ended while this process waited for a signal"
    assert waiter.returncode == 0


def test_it_is_on_the_bus_again_when_that_is_back(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}"):
        attached = ipcmules.attach(bus_name)
    with pytest.raises((BusStopped, NotAttached), match=bus_name):
        attached.signal(7)
    with pytest.raises(NotAttached, match=f"bus '{bus_name}' is not running"):
        attached.lock(0)
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        assert attached.masterpid() == launcher.pid
        assert attached.mule_msg("back")
        launcher.wait_output("mule 1: back\n")
        attached.detach()


def test_attaching_again_leaves_a_bus_that_has_ended(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    echo = scripts.write(tmp_path, "echo.py", ECHO)
    with Launcher("--bus", bus_name, f"--mule={echo}"):
        first = ipcmules.attach(bus_name)
    with Launcher("--bus", bus_name, f"--mule={echo}") as launcher:
        again = ipcmules.attach(bus_name)  # the first attachment was not detached
        assert again.masterpid() == launcher.pid
        first.detach()
        again.detach()
        assert ipcmules.masterpid() == 0


REGISTERS = """
    import sys
    import ipcmules

    sys.stdin.readline()
    attached = ipcmules.attach(sys.argv[1])
    print("attached", flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "leaves":
        attached.detach()
    ipcmules.register_signal(77, "", lambda number: print("handled", number, flush=True))
    print("registered", flush=True)
    sys.stdin.readline()
    attached = ipcmules.attach(sys.argv[1])
    print("again", attached.worker_id(), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("first", ["stays", "leaves"])
def test_what_is_registered_after_the_end_of_a_bus_is_there_on_its_successor(
    bus_env: object, bus_name: str, tmp_path: Path, first: str
) -> None:
    program = scripts.write(tmp_path, "registers.py", REGISTERS)
    command = [sys.executable, str(program), bus_name, first]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def step(answer: str) -> None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == answer

        try:
            with Launcher("--bus", bus_name, "--mule"):
                step("attached\n")
            step("registered\n")
            with Launcher("--bus", bus_name, "--mule"):
                step("again 1\n")
                with ipcmules.attach(bus_name) as attached:
                    attached.signal(77)
                assert process.stdout is not None and process.stdout.readline() == "handled 77\n"
            step("")
            assert process.wait(20) == 0
        finally:
            process.kill()
