"""A spooler of the cluster that is paused on all hosts. Buses stand for hosts; the NATS server is real."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from clustertasks import done, enqueue, host, stored, work
from natsservers import Servers, carrier_of, cluster_of, needs_nats
from support import run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]


def steer(bus: str, *words: str) -> str:
    ran = run_cli("tasks", *words, "--bus", bus)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def paused(bus: str) -> list[str]:
    """What is paused of what runs on a host."""
    [spooler] = json.loads(run_cli("status", "--json", "--bus", bus).stdout)["spoolers"]
    found: list[str] = spooler["paused"]
    return found


def test_paused_on_all_hosts_and_resumed_on_another(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    one, two, three = (f"{bus_name}-web{number}" for number in (1, 2, 3))
    with host(tmp_path, bus_name, "web1", servers) as web1, host(tmp_path, bus_name, "web2", servers) as web2:
        wait_until(lambda: stored(one) == 0)
        assert steer(one, "pause", "mail") == "mail on all hosts: paused"
        assert steer(two, "pause", "mail") == "mail on all hosts: paused already"
        for bus in (one, two):
            wait_until(lambda bus=bus: paused(bus) == ["*"])  # type: ignore[misc]
        wait_until(lambda: (cluster_of(two) or {}).get("cluster", {})["spoolers"]["mail"]["paused"] == ["*"])
        assert "paused on all hosts" in run_cli("status", "--cluster", "--bus", two).stdout
        enqueue(tmp_path, two, *(work(str(number)) for number in range(6)))
        wait_until(lambda: stored(one) == 6)
        with host(tmp_path, bus_name, "web3", servers) as web3:
            wait_until(lambda: paused(three) == ["*"])
            web2.stop()
            for each in (web1, web3):
                before = carrier_of(each)
                before.kill()
                wait_until(lambda each=each, before=before: carrier_of(each).pid != before.pid)  # type: ignore[misc]
            time.sleep(1)  # not for a guess: nothing may happen
            assert not done(web1, web2, web3) and stored(one) == 6
            assert "not paused" in steer(three, "resume")  # of this host alone
            assert steer(three, "resume", "mail") == "mail on all hosts: resumed"
            wait_until(lambda: len(done(web1, web3)) == 6)
            wait_until(lambda: not paused(one) and not paused(three))
            assert set(done(web1, web3).values()) == {1}


def test_one_function_and_one_host(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    one, two = f"{bus_name}-web1", f"{bus_name}-web2"
    with host(tmp_path, bus_name, "web1", servers) as web1, host(tmp_path, bus_name, "web2", servers) as web2:
        wait_until(lambda: stored(one) == 0)
        assert steer(one, "pause", "mail", "--function", "work").endswith("mail on all hosts: paused")
        wait_until(lambda: paused(two) == ["work"])
        enqueue(tmp_path, two, work("held"), "jobs.only('other', spooler='mail')")
        wait_until(lambda: sum(done(web1, web2).values()) == 1)
        assert done(web1, web2) == {"only-other": 1}
        steer(two, "pause")  # this host alone, beside what is paused on all
        assert paused(two) == ["*", "work"] and paused(one) == ["work"]
        steer(two, "resume", "mail", "--function", "work")
        wait_until(lambda: paused(one) == [] and paused(two) == ["*"])


def test_the_cluster_is_away(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    [server] = servers.all
    one, two = f"{bus_name}-web1", f"{bus_name}-web2"
    with host(tmp_path, bus_name, "web1", servers), host(tmp_path, bus_name, "web2", servers) as web2:
        wait_until(lambda: stored(one) == 0 and stored(two) == 0)
        server.kill()
        web2.wait_log("is away")
        ran = run_cli("tasks", "pause", "mail", "--bus", two)
        assert ran.returncode != 0 and "the cluster is away" in ran.stderr, ran.stderr
        assert paused(two) == []
        server.start()
        wait_until(lambda: stored(one) == 0 and stored(two) == 0)
        assert steer(two, "pause", "mail") == "mail on all hosts: paused"
        wait_until(lambda: paused(one) == ["*"])
