"""Spoolers of the cluster: enqueued on one host, run on another. Buses stand for hosts; the NATS server is
real."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from clustertasks import call, done, enqueue, host, kill_host, status, stored, work
from conftest import BusEnvironment
from natsservers import Servers, carrier_of, needs_nats
from support import run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]


def test_enqueued_on_one_host_and_run_on_another(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with (
        host(tmp_path, bus_name, "web1", servers, count=0),
        host(tmp_path, bus_name, "web2", servers) as two,
    ):
        said = call(
            tmp_path,
            f"{bus_name}-web1",
            """
            task = jobs.work("one", spooler="mail")
            print(task.result(30), task.status(), task.id in str(task))
            many = ipcmules.spool_many(jobs.work, [(str(number),) for number in range(40)], spooler="mail")
            print(len([each.result(30) for each in many]))
        """,
        )
        assert said.splitlines() == ["['one', 'web2'] succeeded True", "40"]
        assert done(two) == {"one": 1, **{str(number): 1 for number in range(40)}}
    assert two.code == 0 and "error" not in two.stderr


def test_a_killed_spooler_counts_an_attempt(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with host(tmp_path, bus_name, "web1", servers) as one:
        [handle] = enqueue(tmp_path, f"{bus_name}-web1", work("killed", kill=True))
        one.wait_output("done killed 2 web1")
        wait_until(lambda: status(tmp_path, f"{bus_name}-web1", handle) == "succeeded")
        assert done(one) == {"killed": 1}


def test_a_killed_carrier_loses_and_doubles_nothing(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus, gate = f"{bus_name}-web1", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers, "--cluster-deadline", "1", count=2) as one:
        enqueue(tmp_path, bus, work("held", until=str(gate)))
        one.wait_output("begun held 1")
        before = carrier_of(one)
        before.kill()
        wait_until(lambda: carrier_of(one).pid != before.pid)
        enqueue(tmp_path, bus, work("after"))
        one.wait_output("done after 1")
        time.sleep(2)  # not for a guess: longer than the deadline, in which nothing may happen
        gate.touch()
        one.wait_output("done held 1")
        wait_until(lambda: stored(bus) == 0)
        assert done(one) == {"held": 1, "after": 1} and one.stdout.count("begun held") == 1


def test_a_host_that_dies_and_one_that_stops(
    servers: Servers, bus_name: str, tmp_path: Path, bus_env: BusEnvironment
) -> None:
    bus_env.may_leave_objects("a whole host is killed")
    gate, options = tmp_path / "gate", ("--cluster-deadline", "2", "--reload-mercy", "1")
    with ExitStack() as stack:
        one = stack.enter_context(host(tmp_path, bus_name, "web1", servers, *options))
        enqueue(tmp_path, f"{bus_name}-web1", work("first", until=str(gate)))
        one.wait_output("begun first 1 web1")
        kill_host(one)
        two = stack.enter_context(host(tmp_path, bus_name, "web2", servers, *options))
        two.wait_output("begun first 2 web2")  # a death is an attempt
        # This one is stopped with it in hand: that is none, and the next host has it at once.
        two.stop()
        three = stack.enter_context(host(tmp_path, bus_name, "web3", servers, *options))
        three.wait_output("begun first 2 web3")
        gate.touch()
        three.wait_output("done first 2 web3")
        wait_until(lambda: stored(f"{bus_name}-web3") == 0)


def test_what_no_spooler_has_begun_is_handed_back(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    options = ("--reload-mercy", "1")
    with host(tmp_path, bus_name, "web1", servers, *options) as one:
        [spooler] = [
            each for each in psutil.Process(one.pid).children(True) if "spooler 1" in " ".join(each.cmdline())
        ]
        spooler.suspend()
        [handle] = enqueue(tmp_path, f"{bus_name}-web1", work("waits"))
        wait_until(lambda: status(tmp_path, f"{bus_name}-web1", handle) == "running")  # it is in its hand
        one.stop()
    with host(tmp_path, bus_name, "web2", servers, *options) as two:
        two.wait_output("done waits 1 web2")
        assert "waits" not in one.stdout


def test_a_host_that_comes_back_runs_nothing_that_another_has(
    servers: Servers, bus_name: str, tmp_path: Path, bus_env: BusEnvironment
) -> None:
    bus_env.may_leave_objects("a whole host is killed")
    options = ("--cluster-deadline", "2")
    with host(tmp_path, bus_name, "web1", servers, *options) as one:
        enqueue(tmp_path, f"{bus_name}-web1", work("first", until=str(tmp_path / "never")))
        one.wait_output("begun first 1 web1")
        kill_host(one)
    with host(tmp_path, bus_name, "web2", servers, *options) as two:
        two.wait_output("begun first 2 web2")
        with host(tmp_path, bus_name, "web1", servers, *options) as back:
            enqueue(tmp_path, f"{bus_name}-web1", work("then"))
            back.wait_output("done then 1 web1")
            assert "first" not in back.stdout
            (tmp_path / "never").touch()
            two.wait_output("done first 2 web2")


def test_a_killed_master(servers: Servers, bus_name: str, tmp_path: Path, bus_env: BusEnvironment) -> None:
    bus_env.may_leave_objects("a master is killed")
    gate = tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers) as one:
        [handle] = enqueue(tmp_path, f"{bus_name}-web1", work("first", until=str(gate)))
        one.wait_output("begun first 1")
        os.kill(one.pid, signal.SIGKILL)
        with host(tmp_path, bus_name, "web2", servers) as two:
            gate.touch()
            one.wait_output("done first 1 web1")
            wait_until(lambda: stored(f"{bus_name}-web2") == 0)
            assert status(tmp_path, f"{bus_name}-web2", handle) == "succeeded"
            assert not done(two)


def test_the_cluster_is_away(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    [server] = servers.all
    server.kill()
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers) as one:
        one.wait_log("cannot be reached")
        [handle, _later] = enqueue(tmp_path, bus, work("kept"), work("later", priority=3))
        listed = json.loads(run_cli("tasks", "list", "--json", "--bus", bus).stdout)
        assert [each["state"] for each in listed] == ["queued", "queued"]
        server.start()
        one.wait_output("done kept 1")
        one.wait_output("done later 1")
        gate = tmp_path / "gate"
        enqueue(tmp_path, bus, work("over", until=str(gate)))
        one.wait_output("begun over 1")
        server.kill()
        gate.touch()
        one.wait_output("done over 1")
        server.start()
        wait_until(lambda: stored(bus) == 0)
        assert status(tmp_path, bus, handle) == "succeeded"
        assert done(one) == {"kept": 1, "later": 1, "over": 1}
