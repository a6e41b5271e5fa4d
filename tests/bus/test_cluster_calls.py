"""rpc() to a process of another host: two buses stand for two hosts, and one NATS server."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import ipcmules
from ipcmules import aio, attach
from natsservers import SMALL, Servers, cluster_of, needs_nats
from scripts import write
from support import Launcher, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

APP = """
    import os, time
    import ipcmules

    def bad():
        os.write(1, b"bad is called\\n")
        1 / 0

    def wait(seconds):
        time.sleep(float(seconds))
        os.write(1, b"has waited\\n")

    ipcmules.register_rpc("add", lambda one, two: str(int(one) + int(two)))
    ipcmules.register_rpc("large", lambda size: b"x" * int(size))
    ipcmules.register_rpc("where", lambda: f"{os.environ['HERE']} {ipcmules.mule_id()}")
    ipcmules.register_rpc("die", lambda: os._exit(3))
    ipcmules.register_rpc("bad", bad)
    ipcmules.register_rpc("wait", wait)
"""

Start = Callable[[str], Launcher]


@pytest.fixture
def start(servers: Servers, bus_name: str, tmp_path: Path) -> Start:
    """Starts a bus of two mules as the host of that name."""
    write(tmp_path, "app.py", APP)

    def start(name: str) -> Launcher:
        return Launcher(
            *("--bus", f"{bus_name}-{name}", "--mules", "2", "--import", "app", *SMALL),
            *("--cluster", servers.urls, "--host", name),
            cwd=tmp_path,
            env={**os.environ, "HERE": name},
        )

    return start


def test_functions_of_another_host(start: Start, bus_name: str) -> None:
    with start("web1") as one, start("web.2") as two, attach(f"{bus_name}-web1"):
        for each in ("web1", "web.2"):
            wait_until(lambda each=each: cluster_of(f"{bus_name}-{each}"), what="a cluster")
        assert ipcmules.rpc("mule1@web.2", "add", "20", b"22") == b"42"
        assert ipcmules.rpc(b"mule2@web.2", b"where") == b"web.2 2"
        assert ipcmules.rpc("mule1@web1", "where") == b"web1 1"
        assert asyncio.run(aio.rpc("mule2@web.2", "add", "1", "2")) == b"3"
        assert ipcmules.rpc("mule1@web.2", "large", "900000") == b"x" * 900_000
        for node, name, arguments, why in (
            ("mule1@web9", "where", (), "in mule1@web9 has no result: host 'web9' is away"),
            ("mule9@web.2", "where", (), "there is no mule9 that has registered a function"),
            ("mule1@web.2", "missing", (), "in mule1@web.2 has no result: no such function"),
            ("mule1@web.2", "bad", (), "it raised or died, as that host's log says"),
            ("mule1@web.2", "large", ("2000000",), "are more than the cluster's servers take (1048576)"),
            ("mule2@web.2", "die", (), "it raised or died"),
        ):
            assert ipcmules.rpc(node, name, *arguments) is None
            one.wait_log(why)
        two.wait_log("ZeroDivisionError")
        assert two.stdout.count("bad is called") == 1
        assert ipcmules.rpc("mule1@web.2", "wait", "30", timeout=0.5) is None
        one.wait_log("no answer within 0.5 s")
        with pytest.raises(ipcmules.IpcMulesError, match="do not fit into a packet"):
            ipcmules.rpc("mule1@web.2", "add", "x" * 60_000, "x" * 60_000)


def test_a_call_of_a_host_that_is_stopped_is_made_once_at_most(start: Start, bus_name: str) -> None:
    with start("web1") as one, start("web2") as two, attach(f"{bus_name}-web1"):
        wait_until(lambda: ipcmules.rpc("mule1@web2", "where", timeout=1) == b"web2 1")
        [carrier] = [
            each
            for each in psutil.Process(two.pid).children()
            if each.cmdline() and each.cmdline()[0].endswith(" carrier")
        ]
        carrier.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert ipcmules.rpc("mule1@web2", "bad", timeout=1) is None
        assert time.monotonic() - began >= 0.9
        carrier.send_signal(signal.SIGCONT)
        one.wait_log("a call in mule1@web2 has no result: no answer within")
        wait_until(lambda: ipcmules.rpc("mule1@web2", "where", timeout=1) == b"web2 1")
        assert two.stdout.count("bad is called") <= 1


def test_without_a_cluster_it_is_said(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with (
        Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path),
        attach(bus_name),
        pytest.raises(ValueError, match="belongs to no cluster"),
    ):
        ipcmules.rpc("mule1@web2", "where")
