"""A farm of the cluster: its members on two buses, which stand for two hosts, and one NATS server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import BusEnvironment
from ipcmules import attach
from ipcmules.bus.places import places
from ipcmules.cluster import client, letters, outbox
from ipcmules.cluster.letters import Letter
from natsservers import SMALL, Servers, cluster_of, needs_nats
from scripts import write
from support import Launcher, run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

WORKER = """
    import os, time
    import ipcmules

    while True:
        message = ipcmules.mule_get_msg().decode()
        again = ipcmules.redelivered()
        if message == "poison" or (message == "once" and not again):
            os.kill(os.getpid(), 9)
        print(f"begun {message} {again}", flush=True)
        while message.startswith("until ") and not os.path.exists(message[6:]):
            time.sleep(0.01)
        print(f"done {message} {again}", flush=True)
"""


def host(tmp_path: Path, bus: str, name: str, found: Servers, *options: str, mules: int = 1) -> Launcher:
    """A bus with members of farm 'work', as one of the hosts."""
    write(tmp_path, "worker.py", WORKER)
    members = ",".join(map(str, range(1, mules + 1)))
    return Launcher(
        *("--bus", f"{bus}-{name}", *["--mule=worker.py"] * mules, *SMALL),
        *("--cluster", found.urls, "--host", name, "--cluster-farm", f"work:{members}", *options),
        cwd=tmp_path,
    )


def carrier_of(launcher: Launcher) -> psutil.Process:
    """The carrier of a bus."""

    def look() -> psutil.Process | None:
        for each in psutil.Process(launcher.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.cmdline() and each.cmdline()[0].endswith(" carrier"):
                    return each
        return None

    return wait_until(look, what="a carrier")


def send(bus: str, *messages: str, timeout: float = 20) -> list[bool]:
    """Send to the farm from this process."""
    with attach(bus) as attached:
        return [attached.farm_msg("work", each, timeout) for each in messages]


def done(*launchers: Launcher) -> Counter[str]:
    """How often which message was done."""
    return Counter(re.findall(r"^done (.*) \d+$", "".join(each.stdout for each in launchers), re.MULTILINE))


def test_members_of_two_hosts_share_the_work(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with host(tmp_path, bus_name, "web1", servers) as one, host(tmp_path, bus_name, "web2", servers) as two:
        gate = tmp_path / "gate"
        # Both members have one, so both hosts took: the first available are on either.
        assert send(f"{bus_name}-web1", f"until {gate}", f"until {gate}") == [True, True]
        for each in (one, two):
            each.wait_output("begun until")
        numbers = [str(number) for number in range(100)]
        assert send(f"{bus_name}-web2", *numbers) == [True] * 100
        seen = cluster_of(f"{bus_name}-web1")
        assert seen and [each["host"] for each in seen["cluster"]["hosts"]] == ["web1", "web2"]
        assert seen["cluster"]["farms"]["work"] == {"stored": 102, "waiting": 100, "in_hand": 2}
        gate.touch()
        wait_until(lambda: sum(done(one, two).values()) == 102)
        assert done(one, two) == {**dict.fromkeys(numbers, 1), f"until {gate}": 2}
        text = run_cli("status", "--cluster", "--bus", f"{bus_name}-web2").stdout
        assert "host web2: bus" in text and "dead letters: 0" in text
    assert one.code == two.code == 0
    assert "error" not in one.stderr + two.stderr


def test_what_kills_a_mule_is_delivered_again_and_at_last_a_dead_letter(
    servers: Servers,
    bus_name: str,
    tmp_path: Path,
) -> None:
    options = ("--cluster-max-deliveries", "2")
    with host(tmp_path, bus_name, "web1", servers, *options) as one:
        assert send(f"{bus_name}-web1", "once", "poison", "last") == [True] * 3
        one.wait_output("done once 1")
        one.wait_output("done last 0")
        one.wait_log("is a dead letter: delivered 2 times")
        with host(tmp_path, bus_name, "web2", servers, *options):
            # The same on every host, although it died on the other one.
            for each in ("web1", "web2"):
                [letter] = json.loads(run_cli("dead", "list", "--json", "--bus", f"{bus_name}-{each}").stdout)
                assert letter["target"] == "farm.work" and letter["attempts"] == 2
            shown = run_cli("dead", "show", "--raw", letter["id"], "--bus", f"{bus_name}-web2")
            assert shown.stdout == "poison"
            done = run_cli("dead", "drop", letter["id"], "--bus", f"{bus_name}-web2")
            assert done.returncode == 0, done.stderr
        assert json.loads(run_cli("dead", "list", "--json", "--bus", f"{bus_name}-web1").stdout) == []


def test_a_dead_letter_is_sent_again(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers, "--cluster-max-deliveries", "1") as one:
        assert send(bus, "once") == [True]
        one.wait_log("is a dead letter: delivered 1 times")
        [letter] = json.loads(run_cli("dead", "list", "--json", "--bus", bus).stdout)
        assert run_cli("dead", "requeue", letter["id"], "--to", "pool", "--bus", bus).returncode == 1
        assert run_cli("dead", "requeue", letter["id"], "--bus", bus).returncode == 0
        wait_until(lambda: one.stderr.count("is a dead letter") == 2)  # it kills its mule again


def test_the_cluster_is_away(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    [server] = servers.all
    server.kill()
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers) as one:  # it starts, and says so
        one.wait_log("cannot be reached")
        assert send(bus, "refused", timeout=0.3) == [False]
        with attach(bus) as attached:
            assert attached.mule_msg("local", 1) and attached.farm_msg(
                "work", b"kept", store_and_forward=True
            )
        one.wait_output("done local 0")
        assert run_cli("status", "--cluster", "--bus", bus).returncode == 1
        server.start()
        one.wait_output("done kept 0")
        assert send(bus, "then") == [True]
        one.wait_output("done then 0")
        server.kill()
        one.wait_log("is away: local work goes on")
        server.start()
        assert send(bus, "again") == [True]
        one.wait_output("done again 0")
        assert done(one) == dict.fromkeys(("local", "kept", "then", "again"), 1)


def test_a_killed_carrier_loses_and_doubles_nothing(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus, gate = f"{bus_name}-web1", tmp_path / "gate"
    options = ("--cluster-deadline", "1")
    with host(tmp_path, bus_name, "web1", servers, *options, mules=2) as one:
        assert send(bus, f"until {gate}", f"until {gate}") == [True, True]
        wait_until(lambda: one.stdout.count("begun until") == 2)
        before = carrier_of(one)
        before.kill()
        wait_until(lambda: carrier_of(one).pid != before.pid)
        # Its successor goes on with what members have, also beyond the deadline of what they had.
        assert send(bus, "after") == [True]
        time.sleep(2)  # not for a guess: longer than the deadline, in which nothing may happen
        gate.touch()
        one.wait_output("done after 0")
        wait_until(lambda: done(one)[f"until {gate}"] == 2)
        seen = wait_until(lambda: _stored(bus, 0))
        assert seen["redelivered"] == 0 and done(one) == {f"until {gate}": 2, "after": 1}


def _stored(bus: str, count: int) -> dict[str, Any] | None:
    """What is said of the cluster, once so many messages are stored."""
    seen = cluster_of(bus)
    return seen if seen and seen["cluster"]["farms"]["work"]["stored"] == count else None


def test_a_host_that_dies_and_one_that_stops(
    servers: Servers,
    bus_name: str,
    tmp_path: Path,
    bus_env: BusEnvironment,
) -> None:
    bus_env.may_leave_objects("a whole host is killed")
    gate, options = tmp_path / "gate", ("--cluster-deadline", "2", "--mule-reload-mercy", "1")
    with ExitStack() as stack:
        one = stack.enter_context(host(tmp_path, bus_name, "web1", servers, *options))
        assert send(f"{bus_name}-web1", f"until {gate}") == [True]
        one.wait_output("begun until")
        everybody = [psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True)]
        for each in everybody:
            each.kill()
        psutil.wait_procs(everybody, 10)
        two = stack.enter_context(host(tmp_path, bus_name, "web2", servers, *options))
        two.wait_output(f"begun until {gate} 1")
        # This one is stopped with it in hand: handed back at once, which the next host sees before a
        # deadline.
        two.stop()
        three = stack.enter_context(host(tmp_path, bus_name, "web3", servers, *options))
        three.wait_output(f"begun until {gate} 2")
        gate.touch()
        three.wait_output(f"done until {gate} 2")
        assert wait_until(lambda: _stored(f"{bus_name}-web3", 0))


def test_what_a_farm_of_the_cluster_refuses(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with host(tmp_path, bus_name, "web1", servers) as one, attach(f"{bus_name}-web1") as attached:
        assert attached.farm_msg("work", "x" * 500_000, 20)
        wait_until(lambda: f"done {'x' * 500_000} 0" in one.stdout)
        with pytest.raises(ValueError, match="whose messages have none"):
            attached.farm_msg("work", "x", priority=1)
        with pytest.raises(ValueError, match="no farm of the cluster"):
            attached.farm_msg("other", "x", store_and_forward=True)


def test_what_looks_like_a_letter_is_a_message(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    forged = letters.pack(Letter(7, "$JS.ACK.any.token", 1, b"poison"), b"S" * letters.SEAL)
    with host(tmp_path, bus_name, "web1", servers) as one:
        with attach(f"{bus_name}-web1") as attached:
            assert attached.mule_msg(forged, 1) and attached.farm_msg("work", forged, 20)
        wait_until(lambda: one.stdout.count(f"done {forged.decode()} 0") == 2)
    assert one.code == 0


def test_word_of_a_delivery_when_no_carrier_answers(bus_env: object, bus_name: str) -> None:
    where = places(bus_name)
    client.done(where, "token")
    [path] = outbox.listing(where)
    assert outbox.load(path).kind == outbox.DONE and outbox.load(path).token == "token"
    os.unlink(path)
