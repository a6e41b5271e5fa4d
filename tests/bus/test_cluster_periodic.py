"""Tasks of the cluster that come by themselves: one a tick, whichever hosts live. Buses stand for hosts; the
NATS server is real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from clustertasks import host, kill_host, stored
from conftest import BusEnvironment
from natsservers import Servers, carrier_of, needs_nats
from scripts import write
from support import Launcher, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

APP = """
    import os, time
    from ipcmules import current_task
    from ipcmules.decorators import spool

    HOST = os.environ.get("IPCMULES_BUS", "").rpartition("-")[2]

    HOME = os.path.dirname(__file__)

    @spool(pass_arguments=True, retries=5, backoff=0.1, {period})
    def tidy():
        with open(f"{{HOME}}/runs", "a") as file:
            file.write(f"{{current_task().id}} {{HOST}}\\n")
        while os.path.exists(f"{{HOME}}/gate"):
            time.sleep(0.01)
"""
EVERY = 0.4


class Hosts:
    """Hosts with an app that has a task that comes by itself; what it writes is one file's."""

    def __init__(self, tmp_path: Path, bus: str, servers: Servers, stack: ExitStack) -> None:
        self.tmp_path = tmp_path
        self._bus = bus
        self._servers = servers
        self._stack = stack
        self.began = time.time()

    def start(self, name: str, count: int = 1, period: str = f"every={EVERY}") -> Launcher:
        write(self.tmp_path, "periodic.py", APP.format(period=period))
        options = ("--cluster-deadline", "1", "--reload-mercy", "2")
        bus = host(self.tmp_path, self._bus, name, self._servers, *options, count=count, app="periodic")
        return self._stack.enter_context(bus)

    def runs(self) -> list[str]:
        """The task of each run, and where it was."""
        path = self.tmp_path / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def tasks(self) -> set[str]:
        """All that ran."""
        return {each.split()[0] for each in self.runs()}

    def wait_more(self, count: int = 3) -> None:
        """Wait for so many more tasks. There are never more than moments have passed."""
        before = len(self.tasks())
        wait_until(lambda: len(self.tasks()) >= before + count, 60, "tasks that come by themselves")
        assert len(self.tasks()) <= (time.time() - self.began) / EVERY

    def stored(self, name: str) -> int | None:
        return stored(f"{self._bus}-{name}")


@pytest.fixture
def hosts(servers: Servers, bus_name: str, tmp_path: Path) -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(tmp_path, bus_name, servers, stack)


def test_one_a_tick_on_three_hosts(hosts: Hosts) -> None:
    several = [hosts.start(name, 2) for name in ("web1", "web2", "web3")]
    hosts.wait_more(10)
    assert len(hosts.tasks()) == len(hosts.runs())
    for each in several:
        each.stop()
        assert each.code == 0 and "error" not in each.stderr


def test_it_goes_on_whoever_is_killed(hosts: Hosts, bus_env: BusEnvironment) -> None:
    bus_env.may_leave_objects("a whole host is killed")
    one, two = hosts.start("web1"), hosts.start("web2")
    hosts.wait_more()
    for each in (one, two):
        carrier_of(each).kill()
    hosts.wait_more()
    for each in (one, two):
        for process in psutil.Process(each.pid).children(True):
            if "spooler 1" in " ".join(process.cmdline()):
                process.kill()
    hosts.wait_more()
    kill_host(one)
    hosts.wait_more()


def test_of_those_missed_there_is_one(hosts: Hosts) -> None:
    for each in [hosts.start("web1"), hosts.start("web2")]:
        hosts.wait_more(1)
        each.stop()
    before, missed = len(hosts.tasks()), 15 * EVERY
    time.sleep(missed)  # not for a guess: moments pass
    hosts.began = time.time() - (before + 2) * EVERY  # one for all that were missed, one that is in step
    hosts.start("web1")
    hosts.start("web3")
    hosts.wait_more(5)


def test_while_one_is_there_is_no_other(hosts: Hosts) -> None:
    (hosts.tmp_path / "gate").touch()
    hosts.start("web1", 2)
    hosts.start("web2", 2)
    wait_until(hosts.runs, 60)
    time.sleep(5 * EVERY)  # not for a guess: moments pass in which nothing may happen
    assert len(hosts.runs()) == 1
    (hosts.tmp_path / "gate").unlink()
    hosts.wait_more()


def test_without_spoolers_none_comes_and_another_schedule_takes_over(hosts: Hosts) -> None:
    hosts.start("web1", 0)
    wait_until(lambda: hosts.stored("web1") == 0)
    time.sleep(3 * EVERY)  # not for a guess: moments pass in which nothing may happen
    assert hosts.stored("web1") == 0
    two = hosts.start("web2", 1, "every=3600")
    two.wait_ready()
    time.sleep(3 * EVERY)
    assert not hosts.runs()
    hosts.start("web3")
    hosts.wait_more()


def test_the_cluster_is_away(hosts: Hosts, servers: Servers) -> None:
    [server] = servers.all
    server.kill()
    one = hosts.start("web1")
    one.wait_log("cannot be written, it is tried again")
    server.start()
    hosts.wait_more()
    server.kill()
    time.sleep(3 * EVERY)  # not for a guess: moments pass
    server.start()
    hosts.wait_more()
    assert one.stderr.count("cannot be written, it is tried again") <= 2
