"""Messages to a mule of another host: two buses stand for two hosts, and one NATS server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ipcmules import attach
from ipcmules.errors import UnknownTarget
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
        while message.startswith("until ") and not os.path.exists(message[6:]):
            time.sleep(0.01)
        print(f"mule {ipcmules.mule_id()} has {message} {again}", flush=True)
"""

Start = Callable[..., Launcher]


@pytest.fixture
def start(servers: Servers, bus_name: str, tmp_path: Path) -> Start:
    """Starts a bus of two mules as the host of that name."""
    write(tmp_path, "worker.py", WORKER)

    def start(name: str, *options: str) -> Launcher:
        return Launcher(
            *("--bus", f"{bus_name}-{name}", *["--mule=worker.py"] * 2, *SMALL),
            *("--cluster", servers.urls, "--host", name, *options),
            cwd=tmp_path,
        )

    return start


def is_there(bus: str) -> bool:
    """True once its cluster has all that a bus needs there."""
    return bool(wait_until(lambda: cluster_of(bus), what="a cluster"))


def test_a_mule_the_pool_and_a_farm_of_another_host(start: Start, bus_name: str) -> None:
    farm = ("--cluster-mules", "1-2", "--farm", "mail:2")
    with start("web1") as one, start("web2", *farm) as two, attach(f"{bus_name}-web1") as attached:
        assert is_there(f"{bus_name}-web2")
        assert attached.mule_msg("a", "2@web2") and attached.mule_msg(b"b", b"01@web2", 20)
        assert attached.mule_msg("c", "mail@web2") and attached.mule_msg("d", "0@web2")
        assert attached.mule_msg("e", "1@web2", store_and_forward=True)
        for line in ("mule 2 has a 0", "mule 1 has b 0", "mule 2 has c 0", "has d 0", "mule 1 has e 0"):
            two.wait_output(line)
        with pytest.raises(UnknownTarget, match=r"knows no host 'web9'.* it knows web2"):
            attached.mule_msg("x", "2@web9")
        with pytest.raises(UnknownTarget, match=r"host 'web2' has no '3'.*, it has 0, 1, 2, mail"):
            attached.mule_msg("x", "3@web2")
        with pytest.raises(UnknownTarget, match="goes to a farm of the cluster"):
            attached.mule_msg("x", "2@any")
        with pytest.raises(UnknownTarget, match="is no address"):
            attached.mule_msg("x", "2@web 2")
        with pytest.raises(ValueError, match="whose messages have none"):
            attached.mule_msg("x", "2@web2", None, 3)
        with pytest.raises(UnknownTarget, match="leave store_and_forward out"):
            attached.mule_msg("x", 1, store_and_forward=True)
        assert "mule" not in one.stdout


def test_a_host_that_is_away_gets_it_when_it_returns(start: Start, bus_name: str, tmp_path: Path) -> None:
    with start("web1", "--cluster-mules", "1") as one:
        assert is_there(f"{bus_name}-web1")
        with start("web2", "--cluster-mules", "1-2"):
            assert is_there(f"{bus_name}-web2")
        gate = tmp_path / "gate"
        with attach(f"{bus_name}-web1") as attached:
            assert attached.mule_msg(f"until {gate}", "1@web2") and attached.mule_msg("second", "1@web2")
            assert attached.mule_msg("other", "2@web2") and attached.mule_msg("here", "1@web1")
        one.wait_output("mule 1 has here 0")
        seen = cluster_of(f"{bus_name}-web1")
        assert seen and seen["cluster"]["mules"] == {"1@web2": 2, "2@web2": 1}
        with start("web2", "--cluster-mules", "1-2") as two:
            two.wait_output("mule 2 has other 0")  # a mule that is busy holds up nobody but itself
            assert "second" not in two.stdout
            gate.touch()
            two.wait_output("mule 1 has second 0")
            wait_until(lambda: (seen := cluster_of(f"{bus_name}-web1")) and not seen["cluster"]["mules"])


def test_a_mule_that_dies_gets_it_again_and_then_it_is_a_dead_letter(start: Start, bus_name: str) -> None:
    bus = f"{bus_name}-web1"
    with start("web1", "--cluster-mules", "1", "--cluster-max-deliveries", "2") as one:
        assert is_there(bus)
        with attach(bus) as attached:
            assert all(attached.mule_msg(each, "1@web1", 20) for each in ("once", "poison", "last"))
        one.wait_output("mule 1 has once 1")
        one.wait_output("mule 1 has last 0")
        [letter] = wait_until(lambda: json.loads(run_cli("dead", "list", "--json", "--bus", bus).stdout))
        assert letter["target"] == "1@web1" and letter["attempts"] == 2
        assert run_cli("dead", "requeue", letter["id"], "--bus", bus).returncode == 0
        wait_until(lambda: one.stderr.count("is a dead letter") == 2)


def test_a_host_that_is_forgotten_and_a_mule_that_is_gone(start: Start, bus_name: str) -> None:
    bus = f"{bus_name}-web1"
    with start("web1") as one:
        with start("web2", "--cluster-mules", "1-2"):
            assert is_there(f"{bus_name}-web2")
        with attach(bus) as attached:
            assert attached.mule_msg("one", "1@web2", 20) and attached.mule_msg("two", "2@web2", 20)
            with start("web2", "--cluster-mules", "1") as two:  # it has lost a mule
                two.wait_output("mule 1 has one 0")
                two.wait_log("1 messages to 2@web2, which is there no more, are dead letters")
            assert attached.mule_msg("three", "1@web2", 20)
            assert run_cli("cluster", "forget", "web2", "--bus", bus).returncode == 0
            letters = json.loads(run_cli("dead", "list", "--json", "--bus", bus).stdout)
            assert [each["target"] for each in letters] == ["2@web2", "1@web2"]
            wait_until(lambda: _is_refused(attached.mule_msg))
            # What is stored here before that is known is kept here.
            assert attached.mule_msg("four", "1@web2", store_and_forward=True)
            one.wait_log("a message of 4 bytes to 1@web2 was not taken: the cluster knows no host 'web2'")


def _is_refused(send: Callable[..., bool]) -> bool:
    try:
        return not send("x", "1@web2", 0.3)
    except UnknownTarget:
        return True


def test_without_a_cluster_it_is_said(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with (
        Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path),
        attach(bus_name) as attached,
        pytest.raises(UnknownTarget, match="belongs to no cluster"),
    ):
        attached.mule_msg("x", "2@web1")
    done = run_cli("run", "--mules", "1", "--cluster-mules", "1", "--", "true")
    assert done.returncode == 2 and "without a cluster" in done.stderr
    done = run_cli("run", "--mules", "1", "--cluster", "nats://h:1", "--cluster-mules", "1-2", "--", "true")
    assert done.returncode == 2 and "names mule 2" in done.stderr
    done = run_cli("run", "--mules", "1", "--cluster", "nats://h:1", "--cluster-mules", "all", "--", "true")
    assert done.returncode == 2 and "such as 1,2 or 1-4" in done.stderr
