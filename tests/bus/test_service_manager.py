"""What a service manager hears of a bus: a real datagram socket in NOTIFY_SOCKET, as systemd has one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

Words = dict[str, str]


class Manager:
    """Listens where a service manager would. heard: one dict a datagram, in their order."""

    def __init__(self, address: str) -> None:
        self.heard: list[Words] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def hear(self, what: Callable[[Words], object], after: int = 0) -> Words:
        """The first datagram, of those behind the first `after` ones, for which it is true."""

        def found() -> Words | None:
            self._read()
            return next((each for each in self.heard[after:] if what(each)), None)

        return wait_until(found, 60, "the word to the service manager")

    def _read(self) -> None:
        while True:
            try:
                text = self._socket.recv(4096, socket.MSG_DONTWAIT).decode()
            except BlockingIOError:
                return
            self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))

    def order(self) -> list[str]:
        """The words of state that were heard."""
        self._read()
        states = ("READY", "RELOADING", "STOPPING")
        return [state for each in self.heard for state in states if each.get(state) == "1"]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(bus_env: BusEnvironment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(bus_env.directory / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    found = Manager(address)
    yield found
    found.close()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text("VERSION = 1\n")
    return path


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def monotonic() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_ready_reload_and_stop(manager: Manager, bus_name: str, app: Path) -> None:
    with Launcher("--bus", bus_name, "--mules", "2", "--processes", "1", "--import", str(app)) as launcher:
        assert manager.hear(lambda each: each.get("READY"))["STATUS"] == "ready: 2 mules, 1 worker"
        first = manager.heard[0]
        assert first["STATUS"] == "starting" and int(first["EXTEND_TIMEOUT_USEC"]) > 60_000_000

        asked = monotonic()
        launcher.process.send_signal(signal.SIGHUP)
        begun = manager.hear(lambda each: each.get("RELOADING"))
        assert asked <= int(begun["MONOTONIC_USEC"]) <= monotonic()
        after = manager.heard.index(begun)
        assert manager.hear(lambda each: each.get("READY"), after)["STATUS"] == "ready: reloaded"
        assert any("EXTEND_TIMEOUT_USEC" in each for each in manager.heard[after:])

        app.write_text("VERSION = 2\nraise OSError('no such disk')\n")
        after = len(manager.heard)
        assert run_cli("reload", "--bus", bus_name).returncode == 1
        failed = manager.hear(lambda each: each.get("READY"), after)
        assert failed["STATUS"].startswith("reload failed: the new code could not be loaded")
        assert launcher.stop() == 0
    end = manager.hear(lambda each: each.get("STOPPING"))
    assert end["STATUS"] == "stopping" and int(end["EXTEND_TIMEOUT_USEC"]) > 60_000_000
    assert manager.order() == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    assert manager.heard[-1]["STATUS"] == "saving what is left"


def test_a_start_that_fails_says_why(manager: Manager, bus_name: str, app: Path) -> None:
    app.write_text("raise OSError('no such disk')\n")
    with Launcher("--bus", bus_name, "--mule", "--import", str(app), ready=False) as launcher:
        assert launcher.wait() == 1
    assert "could not start" in manager.hear(lambda each: each.get("STOPPING"))["STATUS"]
    assert manager.order() == ["STOPPING"]


def test_the_watchdog_hears_a_living_master_alone(
    manager: Manager, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with Launcher("--bus", bus_name, "--mule") as launcher:
        for _ in range(3):
            manager.hear(lambda each: each.get("WATCHDOG"), len(manager.heard))
        os.kill(launcher.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: state_of(launcher.pid) == "T", what="the stop of the master")
            manager.order()
            before = len(manager.heard)
            time.sleep(0.3)  # longer than the period: there is nothing to wait for
            assert manager.order() == ["READY"] and len(manager.heard) == before
        finally:
            os.kill(launcher.pid, signal.SIGCONT)
        manager.hear(lambda each: each.get("WATCHDOG"), before)


def test_a_watchdog_of_another_process(
    manager: Manager, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    with Launcher("--bus", bus_name, "--mule"):
        manager.hear(lambda each: each.get("READY"))
    assert not any("WATCHDOG" in each for each in manager.heard)


def test_who_does_not_read_holds_nobody_up(
    manager: Manager, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes some datagrams for a reader that sleeps; then the words wait, and come in order."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    with Launcher("--bus", bus_name, "--mule"):
        time.sleep(0.5)  # more signs of life than net.unix.max_dgram_qlen
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        manager.hear(lambda each: each.get("READY"))
        begun = manager.hear(lambda each: each.get("RELOADING"))
        manager.hear(lambda each: each.get("READY"), manager.heard.index(begun))


def test_what_the_bus_starts_does_not_speak_in_its_name(
    manager: Manager, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    show = "env | grep -c -e NOTIFY_SOCKET -e WATCHDOG"
    with Launcher("--bus", bus_name, "--mule", command=["sh", "-c", f"{show}; exit 0"]) as launcher:
        assert launcher.wait() == 0
        assert launcher.stdout == "0\n"


def test_an_abstract_address(bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"@ipcmules-{bus_name}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    found = Manager(address)
    try:
        with Launcher("--bus", bus_name, "--mule"):
            found.hear(lambda each: each.get("READY"))
    finally:
        found.close()


def test_nobody_at_the_address(
    bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{bus_env.directory}/nobody")
    with Launcher("--bus", bus_name, "--mule") as launcher:
        assert launcher.stop() == 0
    said = [line for line in launcher.stderr.splitlines() if "service manager cannot be told" in line]
    assert len(said) == 1 and f"NOTIFY_SOCKET={bus_env.directory}/nobody: No such file" in said[0]


# the pid file


def test_a_pid_file_while_the_bus_lives(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    path = tmp_path / "bus.pid"
    path.write_text("999999999\n")  # of a run that was killed
    with Launcher("--bus", bus_name, "--mule", "--pidfile", "bus.pid", cwd=tmp_path) as launcher:
        assert path.read_text() == f"{launcher.pid}\n"
        second = run_cli("run", "--bus", bus_name, "--mule", "--pidfile", str(path))
        assert second.returncode == 1 and "is running already" in second.stderr, second.stderr
        assert path.read_text() == f"{launcher.pid}\n"
        third = run_cli("run", "--bus", bus_name, "--mule", "--pidfile", str(tmp_path / "other.pid"))
        assert third.returncode == 1 and not (tmp_path / "other.pid").exists()
    assert not path.exists()


def test_a_pid_file_that_is_none(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text("pass\n")
    (tmp_path / "link.pid").symlink_to(tmp_path / "elsewhere")
    for name, words in (
        ("app.py", "holds no pid: remove it, or name another file"),
        ("link.pid", "cannot be written: Too many levels of symbolic links"),
        ("missing/bus.pid", "cannot be written: No such file or directory"),
    ):
        done = run_cli("run", "--bus", bus_name, "--mule", "--pidfile", str(tmp_path / name))
        assert done.returncode in (1, 2) and words in done.stderr, done.stderr
    assert program.read_text() == "pass\n" and not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_pid_file_of_roots_where_the_bus_is_another_users(tmp_path: Path) -> None:
    """As in /run: written before the user is dropped, emptied where it cannot be removed."""
    from ipcmules.kernel.pidfile import PidFile

    path = tmp_path / "bus.pid"
    child = os.fork()
    if child == 0:
        try:
            found = PidFile(str(path))
            os.setuid(65534)
            found.write()
            found.remove()
            found.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert not path.exists() or path.read_text() == ""


# the directories of a unit


def test_the_directories_of_a_unit(
    bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, state = bus_env.directory / "run", bus_env.directory / "lib"
    runtime.mkdir(mode=0o755)
    state.mkdir(mode=0o755)
    for name in ("IPCMULES_RUNTIME_DIR", "IPCMULES_STATE_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{runtime}:/run/another")
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with Launcher("--bus", bus_name, "--mule"):
        assert (runtime / "ipcmules" / bus_name / "bus.json").exists()
        assert run_cli("msg", "--bus", bus_name, "x").returncode == 0
        wait_until(lambda: list(state.glob(f"ipcmules/{bus_name}/kept-*/*")), what="the dead letter")
    assert os.listdir(runtime / "ipcmules") == []
    shutil.rmtree(runtime)
