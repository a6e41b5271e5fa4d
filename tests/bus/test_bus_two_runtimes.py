"""Two runtime directories, one state directory, buses of one name: what they keep never meets."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus.places import Places, places
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until

#: Writes each message into a file of its bus's runtime directory; "die" ends it.
PROGRAM = """
    import os
    from ipcmules import mule_get_msg
    from ipcmules.decorators import signal

    def see(line):
        file = os.open(os.environ["SEEN"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(file, line + b"\\n")
        os.close(file)

    @signal(7, target="mule1")
    def seven(signum):
        see(b"signal")

    def main():
        while True:
            message = mule_get_msg()
            see(message)
            if message.startswith(b"die"):
                os.kill(os.getpid(), 9)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return scripts.write(tmp_path, "program.py", PROGRAM)


class Two:
    """The environments and places of two buses of one name."""

    def __init__(self, bus_env: BusEnvironment, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environments: list[dict[str, str]] = []
        self.places: list[Places] = []
        self.seen: list[Path] = []
        for number in (1, 2):
            runtime = bus_env.directory / f"run{'' if number == 1 else number}"
            monkeypatch.setenv("IPCMULES_RUNTIME_DIR", str(runtime))
            self.places.append(places(name))
            self.seen.append(bus_env.directory / f"seen{number}")
            self.environments.append({**os.environ, "SEEN": str(self.seen[-1])})
        monkeypatch.setenv("IPCMULES_RUNTIME_DIR", str(bus_env.directory / "run"))


def start(two: Two, number: int, name: str, app: Path, *more: str) -> Launcher:
    arguments = [
        "--bus",
        name,
        "--mule=program:main",
        "--pythonpath",
        str(app.parent),
        "--import",
        str(app),
        *more,
    ]
    return Launcher(*arguments, env=two.environments[number], cwd=app.parent)


def test_two_buses_of_one_name(
    bus_env: BusEnvironment, bus_name: str, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(bus_env, bus_name, monkeypatch)
    assert two.places[0].state == two.places[1].state
    with start(two, 0, bus_name, app) as first, start(two, 1, bus_name, app) as second:
        for number in (0, 1):
            run_cli("msg", "--bus", bus_name, "--mule", "1", f"die {number}", env=two.environments[number])
        for where in two.places:
            wait_until(lambda where=where: len(kept.listing(where)) == 1, what="a dead letter")
        for number, where in enumerate(two.places):
            assert [kept.load(each).data for each in kept.listing(where)] == [b"die %d" % number]
            shown = run_cli("dead", "list", "--json", "--bus", bus_name, env=two.environments[number])
            assert len(json.loads(shown.stdout)) == 1
    assert first.code == second.code == 0
    # What is left at a stop comes to the bus that left it, whoever starts first.
    for number in (0, 1):
        kept.store(two.places[number], b"again %d" % number, "mule1", "a test", again=True)
    with start(two, 1, bus_name, app), start(two, 0, bus_name, app):
        for number in (0, 1):
            wait_until(
                lambda number=number: b"again %d\n" % number in two.seen[number].read_bytes(),
                what="the message",
            )
    for number in (0, 1):
        assert two.seen[number].read_bytes() == b"die %d\nagain %d\n" % (number, number)


def test_what_an_older_version_left_goes_to_one_of_them(
    bus_env: BusEnvironment, bus_name: str, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(bus_env, bus_name, monkeypatch)
    older = Path(two.places[0].older(two.places[0].kept))
    assert older.name == "kept"
    for number in range(50):
        kept.store(two.places[0], b"old %d" % number, "mule1", "a test", again=True)
    kept.store(two.places[0], b"letter", "mule1", "a test")
    os.rename(two.places[0].kept, older)
    life = {"1": {"pending": {"mule1": [[7, 3]]}, "entries": [], "taken": True}}
    Path(two.places[0].older(two.places[0].signals)).write_text(json.dumps(life))
    shown = run_cli("dead", "list", "--json", "--bus", bus_name, env=two.environments[0])
    assert len(json.loads(shown.stdout)) == 1  # seen before any master has taken it
    with start(two, 0, bus_name, app), start(two, 1, bus_name, app):
        wait_until(lambda: sum(text(each).count("old") for each in two.seen) == 50, what="all messages")
        wait_until(lambda: sum(text(each).count("signal") for each in two.seen) == 3, what="all signals")
        wait_until(lambda: sum(len(kept.listing(each)) for each in two.places) == 1, what="the letter alone")
        time.sleep(0.1)
        assert sum(text(each).count("old") for each in two.seen) == 50
    assert not older.exists()
    assert sum(text(each).count("signal") for each in two.seen) == 3
    shutil.rmtree(bus_env.directory / "run2", ignore_errors=True)


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
