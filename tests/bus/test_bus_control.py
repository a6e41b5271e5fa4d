"""The control socket: questions, answers, and clients that are malformed, half, slow, many or not ours."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import BusEnvironment
from ipcmules.bus import control
from ipcmules.bus.places import Places, places
from ipcmules.errors import BusStopped, EventError
from ipcmules.kernel import processes
from ipcmules.kernel.peers import short_path
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.loop.control_socket import Control
from ipcmules.master.loop.selector import Loop
from support import Launcher, wait_until

LIST = {"do": "events.list"}


@pytest.fixture
def where(bus_env: BusEnvironment, bus_name: str) -> Iterator[Places]:
    with Launcher("--bus", bus_name):
        yield places(bus_name)


def connect(where: Places) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(20)
    with short_path(control.address(where.runtime)) as short:
        made.connect(short)
    return made


def said(connection: socket.socket) -> bytes:
    """What comes until the master hangs up."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            parts.append(data)
    return b"".join(parts)


def test_the_socket_is_the_owners_alone(where: Places) -> None:
    found = os.stat(os.path.join(where.runtime, "control.sock"))
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_what_is_no_question_is_answered_with_an_error(where: Places) -> None:
    for line in (
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"{}",
        b'{"do": 3}',
        b'{"do": "fly"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ):
        with connect(where) as connection:
            connection.sendall(line + b"\n")
            answer = json.loads(said(connection))
        assert answer["error"] == "ValueError", line[:20]
    assert control.ask(where, LIST) == {"events": []}


def test_questions_that_are_wrong_change_nothing(where: Places) -> None:
    good = {"id": "0" * 32, "signal": 1, "runtime": False}
    spec = {"kind": "timer", "interval": 10**9, "iterations": 0, "overlap": True}
    wrong: list[Any] = [
        {"do": "events.add"},
        {"do": "events.add", "code": -1, "events": []},
        {"do": "events.add", "code": 0, "events": 3},
        {"do": "events.add", "code": 0, "events": [3]},
        {"do": "events.add", "code": 0, "events": [{**good, "spec": {}}]},
        {"do": "events.add", "code": 0, "events": [{**good, "spec": {**spec, "interval": 0}}]},
        {
            "do": "events.add",
            "code": 0,
            "events": [{**good, "spec": spec}, {**good, "signal": 256, "spec": spec}],
        },
        {"do": "events.add", "code": 0, "events": [{**good, "id": "x", "spec": spec}]},
        {"do": "events.remove"},
        {"do": "events.remove", "code": 0, "signal": True, "kinds": []},
    ]
    for question in wrong:
        with pytest.raises((ValueError, TypeError)):
            control.ask(where, question)
    assert control.ask(where, LIST) == {"events": []}


def test_an_error_comes_back_as_its_class(where: Places) -> None:
    with pytest.raises(EventError, match="signal 300"):
        control.ask(where, {"do": "events.remove", "code": 0, "signal": 300, "kinds": []})


def test_half_a_question_and_none_keep_nobody_waiting(where: Places) -> None:
    with contextlib.ExitStack() as open_ones:
        for part in (b"", b'{"do"', b"x" * 1000) * 20:
            connection = open_ones.enter_context(connect(where))
            connection.sendall(part)
        assert control.ask(where, LIST, timeout=10) == {"events": []}


def test_a_question_without_an_end_is_cut_off(where: Places) -> None:
    with connect(where) as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"x" * 100_000)
            pytest.fail("the master took 10 MB of a question")
        assert said(connection) == b""
    with pytest.raises(ValueError, match="ask in parts"):
        control.ask(where, {"do": "x" * (control.LONGEST + 1)})


def test_two_hundred_connections_of_garbage(where: Places) -> None:
    randomness = random.Random(4)

    def garbage() -> None:
        for _ in range(50):
            with contextlib.suppress(OSError), connect(where) as connection:
                connection.sendall(randomness.randbytes(randomness.randrange(1, 5000)))
                if randomness.random() < 0.5:
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.05)
                said(connection)

    threads = [threading.Thread(target=garbage) for _ in range(4)]
    for each in threads:
        each.start()
    for _ in range(50):
        assert control.ask(where, LIST, timeout=20) == {"events": []}
    for each in threads:
        each.join()
    assert control.ask(where, LIST) == {"events": []}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused(where: Places) -> None:
    script = f"""
import os, socket, sys
descriptor = os.open({where.runtime!r}, os.O_PATH)
with socket.socket(socket.AF_UNIX) as s:
    # Even one that could reach it: a descriptor of the directory, and a socket open to all.
    os.chmod({where.runtime!r} + "/control.sock", 0o666)
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    s.settimeout(10)
    try:
        s.connect(f"/proc/self/fd/{{descriptor}}/control.sock")
        s.sendall(b'{{"do": "events.list"}}\\n')
        print("said", s.recv(100))
    except OSError as error:
        print("refused", error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(("said b''", "refused")), done.stdout
    assert control.ask(where, LIST) == {"events": []}


def test_a_bus_that_is_gone(bus_env: BusEnvironment, bus_name: str) -> None:
    with pytest.raises(BusStopped, match="nobody answers"):
        control.ask(places(bus_name), LIST)


def test_a_long_directory(bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = bus_env.directory / ("d" * 120)
    monkeypatch.setenv("IPCMULES_RUNTIME_DIR", str(long))
    with Launcher("--bus", bus_name):
        assert control.ask(places(bus_name), LIST) == {"events": []}
    assert not list(long.iterdir())


def test_children_and_threads_may_ask(where: Places) -> None:
    def ask_often() -> None:
        for _ in range(20):
            assert control.ask(where, LIST) == {"events": []}

    children = [multiprocessing.get_context("fork").Process(target=ask_often) for _ in range(4)]
    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for each in (*children, *threads):
        each.start()
    for each in (*children, *threads):
        each.join(60)
    assert [each.exitcode for each in children] == [0] * 4


def test_large_answers_and_mistakes(tmp_path: Path) -> None:
    """The server alone, with handlers of its own: the loop is this thread's, the clients run in another."""
    where = Places("t", str(tmp_path), str(tmp_path), "/none")
    peers: list[ProcessId] = []
    results: list[Any] = []

    def large(question: dict[str, Any], peer: ProcessId) -> dict[str, Any]:
        peers.append(peer)
        return {"text": "x" * int(question["size"])}

    def fail(_question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        raise RuntimeError("a mistake in here")

    def clients() -> None:
        with connect(where) as slow, connect(where) as half:
            slow.sendall(b'{"do": "large", "size": 5000000}\n')  # and never reads the answer
            half.sendall(b'{"do": "large", "size": 10}\n{"do')
            half.shutdown(socket.SHUT_WR)
            results.append(json.loads(said(half)))
            results.append(len(control.ask(where, {"do": "large", "size": 3_000_000})["text"]))
            try:
                control.ask(where, {"do": "fail"})
            except ValueError as error:
                results.append(str(error))

    loop = Loop()
    served = Control(loop, str(tmp_path))
    served.on("large", large)
    served.on("fail", fail)
    thread = threading.Thread(target=clients)
    thread.start()
    deadline = time.monotonic() + 30
    while thread.is_alive() and time.monotonic() < deadline:
        timer = loop.later(0.05, lambda: None)
        loop.run_once()
        timer.cancel()
    thread.join(1)
    served.close()
    loop.close()
    assert results[:2] == [{"text": "x" * 10}, 3_000_000]
    assert "a mistake in here" in results[2]
    assert set(peers) == {processes.current()}


def test_what_nobody_waits_for_any_more_does_not_happen(where: Places) -> None:
    """A question that was given up while it lay with a stopped master is not answered behind one's back."""
    spec = {"kind": "timer", "interval": 10**12, "iterations": 0, "overlap": True}
    wanted = {"id": "0" * 32, "signal": 1, "runtime": False, "spec": spec}
    pid = int(Path(where.lock).read_text())
    os.kill(pid, 19)
    try:
        with pytest.raises(BusStopped):
            control.ask(where, {"do": "events.add", "code": 0, "events": [wanted]}, timeout=0.3)
    finally:
        os.kill(pid, 18)
    assert control.ask(where, LIST) == {"events": []}


def test_a_stopped_master_is_waited_for_and_then_named(where: Places) -> None:
    pid = int(Path(where.lock).read_text())
    os.kill(pid, 19)
    try:
        with pytest.raises(BusStopped, match=f"kill -CONT {pid}"):
            control.ask(where, LIST, timeout=0.3)
        threading.Timer(0.3, os.kill, (pid, 18)).start()
        assert control.ask(where, LIST) == {"events": []}
    finally:
        os.kill(pid, 18)
    wait_until(lambda: control.ask(where, LIST) == {"events": []})
