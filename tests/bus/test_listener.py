"""--socket: packets from outside, in a running bus; and what must not disturb it."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

import ipcmules
from ipcmules.wire import packets
from scripts import write
from support import Launcher, run_cli, wait_until

APP = """
    import ipcmules
    from ipcmules.decorators import signal

    @signal(5, target="mule")
    def five(number):
        print("five", flush=True)

    def join(*arguments):
        return b"+".join(arguments)

    ipcmules.register_rpc("join", join)
    ipcmules.register_rpc("bad", lambda: 1 / 0)
"""


@contextmanager
def listening(tmp_path: Path, bus: str, *options: str) -> Iterator[tuple[Launcher, str]]:
    """A bus with a mule and a socket on the loopback: its launcher and the address."""
    write(tmp_path, "app.py", APP)
    arguments = ("--bus", bus, "--mules", "1", "--import", "app", "--socket", "127.0.0.1:0", *options)
    with Launcher(*arguments, cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        yield launcher, found[1]
    assert launcher.code == 0, launcher.output()


def test_signals_and_calls_from_outside(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with listening(tmp_path, bus_name, "--socket", "sub.sock") as (launcher, address):
        ipcmules.signal(5, address)
        launcher.wait_output("five\n")
        ipcmules.signal(200, address)  # whether it is registered or not
        assert ipcmules.rpc(address, "join", b"a", "b") == b"a+b"
        assert ipcmules.rpc(str(tmp_path / "sub.sock"), b"join", b"x" * 60000, b"y") == b"x" * 60000 + b"+y"
        assert ipcmules.rpc(address, "bad") is None
        assert ipcmules.rpc(address, "nothing") is None
        assert ipcmules.send_message(address, 173, 0, packets.pack_strings([b"join", b"q"]), 5) == b"q"
        with pytest.raises(ValueError, match="hung up without a reply"):
            ipcmules.send_message(address, 0, 0, {"REQUEST_METHOD": "GET"})
        wait_until(lambda: "have nginx talk to the web server" in launcher.stderr)
        with pytest.raises(ValueError, match="did not take a task"):
            ipcmules.send_message(address, 17, 0, {"key": "value"})
        wait_until(lambda: "has no spooler" in launcher.stderr)
        assert (os.stat(tmp_path / "sub.sock").st_mode & 0o777) == 0o600
        said = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["listener"]
        assert said["addresses"] == [address, "sub.sock"] and psutil.pid_exists(said["pid"])
        assert f"listening: {address}, sub.sock (pid " in run_cli("status", "--bus", bus_name).stdout
    assert not (tmp_path / "sub.sock").exists()


def test_the_command_line_raises_at_another_server(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with listening(tmp_path, bus_name) as (launcher, address):
        assert run_cli("signal", "5", "--to", address).returncode == 0
        launcher.wait_output("five\n")
        done = run_cli("signal", "5", "--to", "127.0.0.1:1")
        assert done.returncode == 1 and "cannot be reached" in done.stderr


@pytest.mark.parametrize(
    "garbage", [b"", b"\x11", b"\x11\xff\xff\x00half", bytes(range(1, 200, 3)), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_garbage_is_hung_up_on(bus_env: object, bus_name: str, tmp_path: Path, garbage: bytes) -> None:
    with listening(tmp_path, bus_name) as (launcher, address):
        for _ in range(50):
            with packets.connect(address, 60) as connection:
                connection.settimeout(60)
                try:
                    connection.sendall(garbage)
                    connection.shutdown(socket.SHUT_WR)
                    assert len(connection.recv(100)) <= 4
                except OSError:
                    pass
        ipcmules.signal(5, address)
        launcher.wait_output("five\n")


@pytest.mark.slow
def test_ten_thousand_connections_of_garbage_and_half_clients(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    with listening(tmp_path, bus_name) as (launcher, address), ExitStack() as half:
        for number in range(10_000):
            connection = packets.connect(address, 60)
            if number % 20:
                with connection:
                    connection.send(b"\x11\xff\xff\x00some of it" if number % 2 else b"\x63\x10\x10\x10")
            elif number > 6000:
                half.enter_context(connection).send(b"\x6e\x00")  # held open, never finished
            else:
                connection.close()
        ipcmules.signal(5, address)
        launcher.wait_output("five\n")
        assert ipcmules.rpc(address, "join", b"still") == b"still"
    assert "Traceback" not in launcher.stderr


def test_a_killed_listener_is_started_again_and_what_waited_is_served(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    with listening(tmp_path, bus_name) as (launcher, address):
        (process,) = [
            each for each in psutil.Process(launcher.pid).children() if "listener" in " ".join(each.cmdline())
        ]
        process.send_signal(signal.SIGKILL)
        ipcmules.signal(5, address)
        launcher.wait_output("five\n")
        said = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["listener"]
        assert said["pid"] != process.pid and said["addresses"] == [address]


def test_addresses_that_cannot_be_had(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_cli("run", "--bus", bus_name, "--socket", f"127.0.0.1:{port}", "--", sys.executable, "-V")
    assert done.returncode == 2 and f"--socket 127.0.0.1:{port}: Address already in use" in done.stderr
    for wrong in ("host:99999", ":x"):
        done = run_cli("run", "--bus", bus_name, "--socket", wrong)
        assert done.returncode == 2 and "is no address" in done.stderr
    done = run_cli("run", "--bus", bus_name, "--socket", ":0", "--socket-allow", "10.0.0.0/99")
    assert done.returncode == 2 and "is no network" in done.stderr


def test_key_files(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    for content, mode, words in ((b"short", 0o600, "at least 16"), (b"x" * 32, 0o644, "chmod 600")):
        key.write_bytes(content)
        key.chmod(mode)
        done = run_cli("run", "--bus", bus_name, "--socket", ":0", "--socket-key-file", str(key))
        assert done.returncode == 2 and words in done.stderr
    done = run_cli("run", "--bus", bus_name, "--socket", ":0", "--socket-key-file", str(tmp_path / "none"))
    assert done.returncode == 2 and "No such file" in done.stderr


class _Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_pickles_without_a_signature_are_buried(tmp_path: Path) -> None:
    from ipcmules.listener import pickles

    task = {b"ud_spool_func": b"f", b"args": pickle.dumps(()), b"kwargs": pickle.dumps({})}
    assert pickles.would_be_loaded(task)
    assert pickles.would_be_loaded({b"anything": pickle.dumps(print)})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for end in (b"", b"and more, which pickle.loads() does not read"):
            assert pickles.would_be_loaded({b"anything": pickle.dumps(_Harm(), protocol) + end})
    for harmful in (
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"0cos\nsystem\n(S'true'\ntR",
    ):
        assert pickles.would_be_loaded({b"anything": harmful})
    for plain in (
        b"a plain value",
        b"",
        b"collected for you\nin two lines\n.",
        b"\x80",
        "caf\u00e9.".encode(),
    ):
        assert not pickles.would_be_loaded({b"anything": plain})
    path = Path(pickles.bury(task, str(tmp_path)))
    data = path.read_bytes()
    assert path.parent == tmp_path / "dead" and packets.unpack_vars(data[4:]) == task
    assert path.stat().st_mode & 0o777 == 0o600
    assert time.time() > 0


def test_other_machines(tmp_path: Path) -> None:
    from ipcmules.listener.peers import Peers

    class Connection:
        family = socket.AF_INET

        def __init__(self, address: str) -> None:
            self.address = address

        def getpeername(self) -> tuple[str, int]:
            return self.address, 1

    def allowed(address: str, *networks: str) -> bool:
        return Peers(networks).allows(Connection(address))  # type: ignore[arg-type] # as much as it needs

    assert allowed("127.0.0.1") and allowed("127.3.2.1") and allowed("::1") and allowed("::ffff:127.0.0.1")
    assert not allowed("10.1.2.3") and not allowed("fe80::1%eth0") and not allowed("::ffff:10.1.2.3")
    assert allowed("10.1.2.3", "10.0.0.0/8") and not allowed("11.1.2.3", "10.0.0.0/8", "fd00::/8")
    assert allowed("fd00::5", "10.0.0.0/8", "fd00::/8") and allowed("::ffff:10.1.2.3", "10.0.0.0/8")
