"""farm_msg(..., wait=False) and flush(): messages whose sender does not wait for the cluster."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from test_cluster_farms import carrier_of, host

from ipcmules import aio, attach
from ipcmules.cluster import pipeline
from ipcmules.errors import BusStopped
from natsservers import Servers, cluster_of, needs_nats
from support import Launcher, run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

#: A server that was stopped gives what the killed carrier had sent to that one's pull, before it sees that
#: nobody is there: it comes again after the deadline.
SOON = ("--cluster-deadline", "3")


def done(launcher: Launcher) -> Counter[str]:
    """How often which message was done."""
    return Counter(re.findall(r"^done (.*) \d+$", launcher.stdout, re.MULTILINE))


def settled(bus: str) -> bool:
    """True once the cluster has heard that all is done."""
    seen = cluster_of(bus)
    return bool(seen) and seen["cluster"]["farms"]["work"]["stored"] == 0


def test_thousands_are_stored_when_flush_returns(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers, "--farm", "local:1") as one, attach(bus) as attached:
        assert attached.flush() and attached.flush(0)
        gate, numbers = tmp_path / "gate", [str(number) for number in range(3000)]
        assert attached.farm_msg("work", f"until {gate}")
        one.wait_output("begun until")
        assert all(attached.farm_msg("work", each, wait=False) for each in numbers)
        assert attached.flush(60)
        seen = cluster_of(bus)
        assert seen and seen["cluster"]["farms"]["work"]["stored"] == 3001
        gate.touch()
        assert attached.farm_msg("local", "here", wait=False)
        one.wait_output("done here 0")
        wait_until(lambda: sum(done(one).values()) == 3002, 120)
        assert done(one) == dict.fromkeys([*numbers, "here", f"until {gate}"], 1)


def test_the_cluster_and_the_carrier_are_away(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    [server] = servers.all
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers, *SOON) as one, attach(bus) as attached:
        assert attached.farm_msg("work", "first", 20)
        one.wait_output("done first 0")
        wait_until(lambda: settled(bus))
        server.send(signal.SIGSTOP)
        assert attached.farm_msg("work", "a", wait=False) and not attached.flush(0.2)
        before = carrier_of(one)
        before.kill()
        assert all(attached.farm_msg("work", each, wait=False) for each in "bcd")
        wait_until(lambda: carrier_of(one).pid != before.pid)
        assert all(attached.farm_msg("work", each, wait=False) for each in "ef") and not attached.flush(0)
        server.send(signal.SIGCONT)
        assert attached.flush(60)
        wait_until(lambda: sum(done(one).values()) == 7, 60)
        assert done(one) == dict.fromkeys(["first", *"abcdef"], 1)


def test_only_so_many_are_under_way(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    [server] = servers.all
    server.kill()
    with host(tmp_path, bus_name, "web1", servers) as one, attach(f"{bus_name}-web1") as attached:
        for number in range(pipeline.MOST):
            assert attached.farm_msg("work", str(number), 0, wait=False)
        assert not attached.farm_msg("work", "too many", 0.2, wait=False)
        server.start()
        assert attached.flush(60) and attached.farm_msg("work", "last", wait=False) and attached.flush(20)
        one.wait_output("done last 0")
        assert "too many" not in one.stdout


def test_the_bus_is_another_one_of_its_name_meanwhile(
    servers: Servers, bus_name: str, tmp_path: Path
) -> None:
    [server] = servers.all
    with ExitStack() as stack:
        with host(tmp_path, bus_name, "web1", servers, *SOON) as one:
            attached = stack.enter_context(attach(f"{bus_name}-web1"))
            assert attached.farm_msg("work", "first", 20)
            one.wait_output("done first 0")
            wait_until(lambda: settled(f"{bus_name}-web1"))
            server.send(signal.SIGSTOP)
            assert attached.farm_msg("work", "before", wait=False) and not attached.flush(0.2)
        with host(tmp_path, bus_name, "web1", servers, *SOON) as two:
            assert not attached.flush(0.2)
            assert attached.farm_msg("work", "after", wait=False)
            server.send(signal.SIGCONT)
            assert attached.flush(60)
            wait_until(lambda: sum(done(one).values()) + sum(done(two).values()) == 3, 60)
            assert done(one) + done(two) == {"first": 1, "before": 1, "after": 1}
        with pytest.raises(BusStopped):
            attached.farm_msg("work", "nobody", wait=False)
        assert attached.flush(0)  # nothing is under way


def test_they_are_awaited(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    async def send() -> None:
        assert await aio.farm_msg("work", "one", wait=False) and await aio.flush(20)
        assert await aio.farm_msg("work", bytearray(b"two"), store_and_forward=True)
        assert await aio.mule_msg("three", "1@web1", 20)
        assert await aio.mule_msg("four", "1@web1", store_and_forward=True)

    with host(tmp_path, bus_name, "web1", servers, "--cluster-mules", "1") as one, attach(f"{bus_name}-web1"):
        wait_until(lambda: cluster_of(f"{bus_name}-web1"), what="a cluster")
        asyncio.run(send())
        wait_until(lambda: sum(done(one).values()) == 4)
        assert done(one) == {"one": 1, "two": 1, "three": 1, "four": 1}


def test_what_is_refused_is_a_dead_letter(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers), attach(bus) as attached:
        assert attached.farm_msg("1@web9", "for nobody", wait=False) and attached.flush(20)
        [letter] = json.loads(run_cli("dead", "list", "--json", "--bus", bus).stdout)
        assert letter["target"] == "1@web9" and "knows no host 'web9'" in letter["reason"]
        with pytest.raises(ValueError, match="whose messages have none"):
            attached.farm_msg("work", "x", priority=1, wait=False)


def test_a_process_that_ends_and_one_that_forks(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    code = """
import os, ipcmules
ipcmules.attach(os.environ["BUS"])
ipcmules.farm_msg("work", "parent", wait=False)
if not os.fork():
    ipcmules.farm_msg("work", "child", wait=False)
    assert ipcmules.flush(20)
    os._exit(0)
os.wait()
"""
    with host(tmp_path, bus_name, "web1", servers) as one:
        wait_until(lambda: cluster_of(bus), what="a cluster")
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "BUS": bus}, check=True)
        wait_until(lambda: sum(done(one).values()) == 2)
        assert done(one) == {"parent": 1, "child": 1}
