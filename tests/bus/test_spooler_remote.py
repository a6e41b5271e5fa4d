"""spool(spooler="HOST:PORT"): tasks for another bus, with and without a key that both have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import ipcmules
from ipcmules.api import remote_tasks
from ipcmules.wire import packets, signatures
from scripts import write
from support import Launcher, wait_until

APP = """
    import ipcmules
    from ipcmules.decorators import spool

    def task(env):
        words = sorted((k, v) for k, v in env.items() if isinstance(k, bytes) and k != b"at")
        print("task", words, b"at" in env, flush=True)
        return ipcmules.SPOOL_OK

    ipcmules.set_spooler(task)

    @spool(pass_arguments=True)
    def called(*arguments, **keywords):
        print("called", arguments, keywords, flush=True)
"""

#: Runs on the other bus, which has no spooler.
SEND = """
    import sys, time
    import ipcmules, uwsgi
    from app import called
    address = sys.argv[1]
    assert ipcmules.spool({"n": 1}, spooler=address) == ""
    assert ipcmules.spool(n=2, at=time.time() - 5, spooler=address.encode()) == ""
    assert called(3, four=[5], spooler=address) == ""
    from ipcmules.compat import spooling
    assert spooling.spool({b"n": b"6", b"spooler": address.encode()}) == b""
    try:
        ipcmules.spool(n=7, body=b"body", spooler=address)
    except ipcmules.SpoolError as error:
        assert "cannot travel" in str(error)
    else:
        raise AssertionError
    try:
        ipcmules.spool(n=8, spooler="127.0.0.1:1")
    except OSError as error:
        assert "cannot be reached" in str(error)
    else:
        raise AssertionError
    print("sent", flush=True)
"""


@pytest.mark.parametrize("key", [True, False])
def test_tasks_for_another_bus(bus_env: object, bus_name: str, tmp_path: Path, key: bool) -> None:
    write(tmp_path, "app.py", APP)
    write(tmp_path, "send.py", SEND)
    write_key(tmp_path, "key")
    signed = ("--socket-key-file", "key") if key else ()
    options = ("--bus", bus_name, "--spooler", "spool", "--import", "app", "--socket", "127.0.0.1:0")
    with Launcher(*options, *signed, cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        other = ("--bus", f"{bus_name}-other", "--compat", *signed)
        with Launcher(*other, command=[sys.executable, "send.py", found[1]], cwd=tmp_path) as sender:
            assert sender.wait() == 0, sender.output()
        assert "sent" in sender.stdout
        for line in ("task [(b'n', b'1')] False", "task [(b'n', b'2')] True", "task [(b'n', b'6')] False"):
            launcher.wait_output(f"{line}\n")
        if key:
            launcher.wait_output("called (3,) {'four': [5]}\n")
        else:
            dead = tmp_path / "spool" / "dead"
            wait_until(lambda: list(dead.glob("uwsgi_spoolfile_on_*")), what="the unsigned call in dead/")
    assert key or "called" not in launcher.stdout


def test_where_there_is_a_key_every_task_needs_it(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "app.py", APP)
    right, wrong = write_key(tmp_path, "key"), b"w" * 32
    options = ("--bus", bus_name, "--spooler", "spool", "--import", "app", "--socket", "127.0.0.1:0")
    with Launcher(*options, "--socket-key-file", "key", cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        signed = signatures.sign({b"n": b"1"}, right)
        for refused in (
            {b"n": b"1"},
            signatures.sign({b"n": b"1"}, wrong),
            {**signed, b"n": b"2"},
            {**signed, b"more": b"2"},
            {**signed, signatures.SIGNATURE: b""},
        ):
            with pytest.raises(ValueError, match="did not take a task"):
                packets.send_task(refused, found[1])
        wait_until(lambda: "give the sender the same" in launcher.stderr)
        packets.send_task(signed, found[1])
        launcher.wait_output("task [(b'n', b'1')] False\n")
    assert launcher.stdout.count("task [") == 1 and not (tmp_path / "spool" / "dead").exists()


def write_key(directory: Path, name: str) -> bytes:
    path = directory / name
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    return path.read_bytes()


def test_a_packet_cannot_have_the_listener_send_a_task_on(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--spooler", "spool", "--import", "app", "--socket", "127.0.0.1:0")
    with Launcher(*options, cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))
        for elsewhere in (found[1], str(tmp_path / "elsewhere")):
            with pytest.raises(ValueError, match="did not take a task"):
                ipcmules.send_message(found[1], 17, 0, {"n": 1, "spooler": elsewhere})
        wait_until(lambda: "is not passed on" in launcher.stderr)
        assert ipcmules.send_message(found[1], 17, 0, {"n": 2, "spooler": str(tmp_path / "spool")}) is True
        launcher.wait_output("(b'n', b'2')")
    assert not (tmp_path / "elsewhere").exists() and "(b'n', b'1')" not in launcher.stdout


def test_what_is_an_address() -> None:
    for address in ("127.0.0.1:1717", "localhost:1", ":1717", "[::1]:1717"):
        assert remote_tasks.is_address(address)
    for path in ("", "tasks", "/var/spool/a:1", "a:b", "./here:1", "a:"):
        assert not remote_tasks.is_address(path)
