"""Calls: many at a time, refused threads, the caller's time, large results, and what else a socket takes
meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules.api import rpc as procedures
from ipcmules.wire import packets
from support import Launcher, wait_until

APP = """
import os, resource, threading, time
import ipcmules

ran = []

def wait_for(path, name=b""):
    ran.append(name)
    open(path + b"." + name, "w").close()
    while not os.path.exists(path):
        time.sleep(0.005)
    return name

def big(size):
    return bytes(int(size))

def refuse_threads():
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (100 << 20), resource.RLIM_INFINITY))

def allow_threads():
    threading.stack_size(0)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

for each in (wait_for, big, refuse_threads, allow_threads):
    ipcmules.register_rpc(each.__name__, each)
ipcmules.register_rpc("ran", lambda: b",".join(ran))
ipcmules.register_rpc("echo", lambda data: data)
ipcmules.register_signal(5, "mule", lambda number: ran.append(b"signal"))
"""


@pytest.fixture
def bus(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> Iterator[Launcher]:
    scripts.write(tmp_path, "app.py", APP)
    where = str(tmp_path / "socket")
    options = ("--bus", bus_name, "--mules", "1", "--import", "app", "--socket", where)
    with Launcher(*options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        yield launcher


def at_once(count: int, call: Callable[[int], object]) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(count)
    pool.futures = [pool.submit(call, number) for number in range(count)]  # type: ignore[attr-defined]
    return pool


def results(pool: ThreadPoolExecutor) -> list[object]:
    found = [each.result(60) for each in pool.futures]  # type: ignore[attr-defined]
    pool.shutdown()
    return found


def test_many_calls_at_a_time_are_all_answered(bus: Launcher, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pool = at_once(300, lambda number: ipcmules.rpc("mule1", "wait_for", str(go), str(number)))
    wait_until(lambda: _threads(bus) >= 64)
    go.touch()
    assert results(pool) == [b"%d" % number for number in range(300)]


def _threads(bus: Launcher) -> int:
    """How many threads the mule has."""
    member = ipcmules.member.membership.current()
    pid = member.table.cells[member.table.mule(1)]
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_refused_thread_does_not_end_the_server(bus: Launcher, tmp_path: Path) -> None:
    go = tmp_path / "go"
    assert ipcmules.rpc("mule1", "refuse_threads") == b""
    try:
        first = at_once(1, lambda _: ipcmules.rpc("mule1", "wait_for", str(go), "first"))
        wait_until((tmp_path / "go.first").exists)
        late = at_once(3, lambda number: ipcmules.rpc("mule1", "wait_for", str(go), f"late{number}"))
        # Its time is over before a thread is free: it is not made.
        assert ipcmules.rpc("mule1", "wait_for", str(go), "never", timeout=0.2) is None
        go.touch()
        assert results(first) == [b"first"] and results(late) == [b"late0", b"late1", b"late2"]
        ran = ipcmules.rpc("mule1", "ran")
        assert ran is not None and sorted(ran.split(b",")) == [b"first", b"late0", b"late1", b"late2"]
    finally:
        assert ipcmules.rpc("mule1", "allow_threads") == b""
    assert "a thread for an RPC call was refused" in bus.stderr and "ulimit -u" in bus.stderr


def test_results_of_any_size(bus: Launcher) -> None:
    for size in (0, 65535, 65536, 48_000_000):
        assert ipcmules.rpc("mule1", "big", str(size)) == bytes(size)


def test_a_result_that_the_caller_does_not_wait_for_is_said(bus: Launcher) -> None:
    member = ipcmules.member.membership.current()
    packed = packets.pack_strings([b"big", b"8000000"])
    with packets.connect(procedures.socket_path(member.where, "mule1"), 5) as connection:
        connection.sendall(packets.pack_header(packets.RPC, len(packed)) + packed)
        assert connection.recv(1)
    wait_until(
        lambda: "the result of RPC function b'big' (8000000 bytes) was not read to its end" in bus.stderr
    )


def test_slow_calls_at_the_socket_hold_no_signal_up(bus: Launcher, tmp_path: Path) -> None:
    go, where = tmp_path / "go", str(tmp_path / "socket")
    pool = at_once(
        20, lambda number: packets.send_call(b"wait_for", [str(go).encode(), b"%d" % number], where)
    )
    wait_until(lambda: len((ipcmules.rpc("mule1", "ran") or b"").split(b",")) == 20)
    packets.send_signal(5, where)
    wait_until(lambda: b"signal" in (ipcmules.rpc("mule1", "ran") or b""))
    go.touch()
    assert sorted(map(str, results(pool))) == sorted(str(b"%d" % number) for number in range(20))


@pytest.mark.parametrize("timeout", [0, -1, True, "soon", float("nan"), None])
def test_a_time_that_is_none(timeout: object) -> None:
    with pytest.raises(procedures.RpcError, match="more than 0"):
        ipcmules.rpc("mule1", "x", timeout=timeout)  # type: ignore[arg-type]


def test_a_full_backlog_is_waited_for_until_the_time_is_over(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        connected: list[socket.socket] = []
        with pytest.raises(packets.WireError, match="more is asked of it"):
            for _ in range(5):
                connected.append(packets.connect(path, 0.2))
        late: list[socket.socket] = []
        waiting = threading.Thread(target=lambda: late.append(packets.connect(path, 30)))
        waiting.start()
        time.sleep(0.01)
        accepted = [listener.accept()[0] for _ in range(len(connected) + 1)]
        waiting.join()
        for each in (*connected, *late, *accepted):
            each.close()
        assert len(late) == 1
