"""Signals of the cluster: raised on one bus, handled on others that stand for other hosts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipcmules import attach
from ipcmules.bus.places import places
from ipcmules.cluster import outbox
from ipcmules.member import membership
from natsservers import SMALL, Servers, cluster_of, needs_nats
from scripts import write
from support import Launcher, run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

APP = """
    import ipcmules
    from ipcmules.decorators import signal

    @signal(17, target="mules@all")
    def everywhere(number):
        print(f"all {ipcmules.mule_id()}", flush=True)

    @signal(18, target="mule@any")
    def somewhere(number):
        print("any", flush=True)

    @signal(19, target="mule2@web2")
    def there(number):
        print(f"web2 {ipcmules.mule_id()}", flush=True)

    @signal(20, target="mules@web9")
    def nowhere(number):
        print("web9", flush=True)
"""


@pytest.fixture
def start(servers: Servers, bus_name: str, tmp_path: Path) -> Callable[[str], Launcher]:
    """Starts a bus of two mules as the host of that name."""
    write(tmp_path, "app.py", APP)

    def start(name: str) -> Launcher:
        return Launcher(
            *("--bus", f"{bus_name}-{name}", "--mules", "2", "--import", "app", *SMALL),
            *("--cluster", servers.urls, "--host", name),
            cwd=tmp_path,
        )

    return start


def signal(bus: str, number: int, times: int = 1) -> None:
    """Raise it from this process."""
    with attach(bus) as attached:
        for _ in range(times):
            attached.signal(number)


def lags(bus: str) -> dict[str, int]:
    """What waits for hosts, once the cluster is there."""
    found: dict[str, int] = wait_until(lambda: cluster_of(bus), what="a cluster")["cluster"]["signals"]
    return found


def count(launcher: Launcher, line: str) -> int:
    return launcher.stdout.splitlines().count(line)


def test_all_any_and_one_host(start: Callable[[str], Launcher], bus_name: str) -> None:
    with start("web1") as one, start("web2") as two:
        wait_until(lambda: {"host-web1", "host-web2"} <= lags(f"{bus_name}-web1").keys())
        signal(f"{bus_name}-web1", 17, 10)
        signal(f"{bus_name}-web2", 18, 20)
        signal(f"{bus_name}-web1", 19, 3)
        for each in (one, two):
            for mule in (1, 2):
                wait_until(lambda each=each, mule=mule: count(each, f"all {mule}") == 10, what=each.output())
        two.wait_for(lambda: count(one, "any") + count(two, "any") == 20, "any")
        two.wait_for(lambda: count(two, "web2 2") == 3, "web2")
        assert not any(lags(f"{bus_name}-web1").values())
        assert "web" not in one.stdout


def test_a_host_that_was_away_gets_all_counted(start: Callable[[str], Launcher], bus_name: str) -> None:
    with start("web2"):
        wait_until(lambda: "host-web2" in lags(f"{bus_name}-web2"))
    with start("web1") as one:
        bus = f"{bus_name}-web1"
        signal(bus, 17, 25)
        signal(bus, 20)  # of a host that nobody has seen yet: it waits for that
        wait_until(lambda: lags(bus).get("host-web2") == 25)
        with start("web2") as two:
            two.wait_for(lambda: count(two, "all 1") == count(two, "all 2") == 25, "signals raised meanwhile")
            wait_until(lambda: count(one, "all 1") == 25)
            wait_until(lambda: lags(bus)["host-web2"] == 0)
        signal(bus, 17)
        wait_until(lambda: lags(bus)["host-web2"] == 1)
        done = run_cli("cluster", "forget", "web2", "--bus", bus)
        assert done.returncode == 0 and "web2 is forgotten" in done.stdout, done.stderr
        assert "host-web2" not in lags(bus)
        done = run_cli("cluster", "forget", "web2", "--bus", bus)
        assert done.returncode == 2 and "knows no host" in done.stderr
        with start("web9") as nine:
            nine.wait_output("web9")


def test_raised_while_the_cluster_is_away(
    start: Callable[[str], Launcher], servers: Servers, bus_name: str
) -> None:
    [server] = servers.all
    with start("web1") as one:
        wait_until(lambda: "host-web1" in lags(f"{bus_name}-web1"))
        server.kill()
        signal(f"{bus_name}-web1", 17, 5)
        server.start()
        one.wait_for(lambda: count(one, "all 1") == 5, "signals of then")


def test_a_tick_that_two_hosts_have_counts_once(start: Callable[[str], Launcher], bus_name: str) -> None:
    with start("web1") as one, start("web2") as two:
        for host in ("web1", "web2"):
            with attach(f"{bus_name}-{host}"):
                for number in range(5):
                    # As a master does for its timers and crons: the registration has its own number there.
                    membership.current().raiser.raise_once(18, f"tick-{number}")
        for host in ("web1", "web2"):
            wait_until(
                lambda host=host: not outbox.listing(places(f"{bus_name}-{host}")), what="an empty outbox"
            )
        wait_until(lambda: not any(lags(f"{bus_name}-web1").values()))
        wait_until(lambda: count(one, "any") + count(two, "any") == 5)
        signal(f"{bus_name}-web1", 17)  # whatever came before it would be here by now
        one.wait_output("all 1")
        assert count(one, "any") + count(two, "any") == 5


def test_a_timer_of_the_cluster_ticks(start: Callable[[str], Launcher], tmp_path: Path) -> None:
    write(
        tmp_path,
        "app.py",
        """
        import ipcmules
        from ipcmules.decorators import timer

        @timer(0.2, target="mule@any")
        def tick(number):
            print("tick", flush=True)
        """,
    )
    with start("web1") as one:
        one.wait_for(lambda: count(one, "tick") > 3, "ticks")
