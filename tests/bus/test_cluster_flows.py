"""Chains and groups of the cluster: their parts run on any host, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import nats
import psutil
import pytest

from clustertasks import call, done, host, kill_host, status, stored
from conftest import BusEnvironment
from natsservers import Servers, carrier_of, needs_nats
from scripts import write
from support import Launcher, run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

APP = """
import os, time
from ipcmules import chain, current_task, group
from ipcmules.decorators import spool

HOST = os.environ.get("IPCMULES_BUS", "").rpartition("-")[2]

def is_there(name):
    return os.path.exists(os.path.join(os.path.dirname(__file__), name))

def note(name):
    print(f"done {name} {HOST}", flush=True)

@spool(pass_arguments=True, backoff=0.1)
def one(value):
    note(f"one-{value}" if type(value) is int else "one")
    return value

@spool(pass_arguments=True, backoff=0.1)
def add(before, more=1):
    note(f"add-{before}-{more}")
    return before + more

@spool(pass_arguments=True, backoff=0.1)
def total(values):
    note("total")
    return sum(values)

@spool(pass_arguments=True, backoff=0.1)
def where(*_values):
    return HOST

@spool(pass_arguments=True, retries=0)
def fails(*_values):
    note("fails")
    if not is_there("mended"):
        raise ValueError("no good")
    return "mended"

@spool(pass_arguments=True, backoff=0.1)
def waits(name, *_more):
    print(f"begun {name} {HOST}", flush=True)
    while not is_there(name):
        if current_task().stopping() and name.startswith("asked"):
            return None
        time.sleep(0.01)
    note(f"waits-{name}")
    return name

@spool(pass_arguments=True, backoff=0.1)
def large(size):
    return b"x" * size

@spool(pass_arguments=True, rate="5/m")
def limited():
    pass
"""


def bus_of(tmp_path: Path, bus: str, name: str, servers: Servers, *options: str, count: int = 1) -> Launcher:
    """A host that has the functions above."""
    write(tmp_path, "flow_app.py", APP)
    return host(tmp_path, bus, name, servers, *options, count=count, app="flow_app")


def flow(tmp_path: Path, bus: str, expression: str, more: str = "") -> str:
    """Enqueue a chain or group; its handle."""
    code = f"from flow_app import *\nprint(str(({expression}).spool(spooler='mail'{more})))"
    return call(tmp_path, bus, code).strip()


def result(tmp_path: Path, bus: str, handle: str) -> str:
    """What a task came to, or what was raised in place of that."""
    code = f"""
    try:
        print(repr(ipcmules.task({handle!r}).result(60)))
    except ipcmules.TaskError as error:
        print(str(error).splitlines()[0])
    """
    return call(tmp_path, bus, code).strip()


def what_is_left(servers: Servers, state: Path, bus: str) -> list[str]:
    """Tasks, and what is known of parts and of how far wholes are: in the cluster, or in files of a host."""
    files = [each.name for each in state.rglob("ipcmules_*_on_*") if "_hand_" not in each.name]
    return [*files, *asyncio.run(_parts_known(servers)), *["task"] * (stored(bus) or 0)]


async def _parts_known(servers: Servers) -> list[str]:
    client = await nats.connect(servers.urls)
    try:
        info = await client.jetstream().stream_info("ipcmules-default-task-states", subjects_filter=">")
    finally:
        await client.close()
    return [each for each in info.state.subjects or () if re.search(r"~flow~|-\d+%\d+_", each)]


#: What is enqueued, and what it comes to.
FLOWS = {
    "chain(one.s(1), add.s(), add.s(more=10))": 12,
    "group(one.s(n) for n in range(20)).then(total.s())": 190,
    "chain(one.s(1), group(chain(add.s(1), add.s(1)), add.s(5)).then(total.s()), add.s())": 10,
    "group(group(one.s(1)), chain(one.s(2), one.si(3)))": [[1], 3],
    "chain(one.s(list(range(40000))), one.s())": list(range(40000)),
}


def test_what_chains_and_groups_come_to(
    servers: Servers, bus_name: str, tmp_path: Path, bus_env: BusEnvironment
) -> None:
    web1, web2 = f"{bus_name}-web1", f"{bus_name}-web2"
    with (
        bus_of(tmp_path, bus_name, "web1", servers, count=0),
        bus_of(tmp_path, bus_name, "web2", servers, count=2) as two,
    ):
        handles = [flow(tmp_path, web1, each) for each in FLOWS]
        for handle, value in zip(handles, FLOWS.values(), strict=True):
            assert result(tmp_path, web1, handle) == repr(value)
            assert status(tmp_path, web2, handle) == "succeeded"
        wait_until(lambda: not what_is_left(servers, bus_env.state, web1))
        ran = done(two)
        assert (ran["one-1"], ran["add-1-1"], ran["total"], ran["one-19"]) == (4, 2, 2, 1), "each part once"
    assert two.code == 0 and "error" not in two.stderr, two.stderr


def test_a_chain_over_two_hosts(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1 = f"{bus_name}-web1"
    with (
        bus_of(tmp_path, bus_name, "web1", servers),
        bus_of(tmp_path, bus_name, "web2", servers),
    ):
        handle = flow(tmp_path, web1, "chain(group(waits.s('a'), waits.s('b')), group(where.s(), where.s()))")
        (tmp_path / "a").touch()
        (tmp_path / "b").touch()
        assert set(json.loads(result(tmp_path, web1, handle).replace("'", '"'))) <= {"web1", "web2"}


def test_how_far_it_is_and_its_end_by_cancel(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1 = f"{bus_name}-web1"
    with (
        bus_of(tmp_path, bus_name, "web1", servers, count=0),
        bus_of(tmp_path, bus_name, "web2", servers, count=2) as two,
    ):
        parts = "group(waits.si('asked1'), waits.si('asked2'), waits.si('asked3'), one.si(7))"
        handle = flow(tmp_path, web1, f"chain(one.s(1), {parts}, one.si(9))")
        wait_until(lambda: two.stdout.count("begun") == 2)
        wait_until(lambda: status(tmp_path, web1, handle) == "running")
        said = call(tmp_path, web1, f"print(ipcmules.task({handle!r}).progress)")
        assert "done=1, total=3, note='waits, waits, waits, one'" in said
        shown = json.loads(run_cli("tasks", "list", "--json", "--bus", web1).stdout)
        names = sorted(each["function"] for each in shown)
        assert names == ["chain(one, group(waits, waits, waits, one), one)", "one", "waits", "waits", "waits"]
        assert [each["state"] for each in shown if each["function"].startswith("chain")] == ["running"]
        said = call(tmp_path, web1, f"t = ipcmules.task({handle!r}); print(t.cancel(20), t.status())")
        assert said == "True cancelled\n"
        wait_until(lambda: stored(web1) == 0)
        assert done(two) == {"one-1": 1} and two.stdout.count("begun") == 2


def test_cancel_reaches_what_is_within(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1 = f"{bus_name}-web1"
    with bus_of(tmp_path, bus_name, "web1", servers) as one:
        handle = flow(tmp_path, web1, "chain(group(chain(waits.s('asked'), one.si(1)), one.s(2)), one.si(3))")
        one.wait_output("begun asked")
        wait_until(lambda: stored(web1) and stored(web1) >= 3)  # type: ignore[operator]
        assert call(tmp_path, web1, f"print(ipcmules.task({handle!r}).cancel(20))") == "True\n"
        wait_until(lambda: stored(web1) == 0)
        assert not {"one-1", "one-3"} & set(done(one))


def test_a_part_that_fails_ends_the_whole_which_may_be_retried(
    servers: Servers, bus_name: str, tmp_path: Path
) -> None:
    web1 = f"{bus_name}-web1"
    with (
        bus_of(tmp_path, bus_name, "web1", servers, count=0),
        bus_of(tmp_path, bus_name, "web2", servers) as two,
    ):
        handle = flow(tmp_path, web1, "chain(one.s(1), group(fails.s(), one.s()), one.s())")
        said = result(tmp_path, web1, handle)
        assert "FlowError" in said and "fails, task " in said and "is dead: fails() raised" in said
        assert status(tmp_path, web1, handle) == "dead"
        wait_until(lambda: done(two) == {"one-1": 2, "fails": 1})
        (tmp_path / "mended").touch()
        dead = json.loads(run_cli("tasks", "list", "--state", "dead", "--json", "--bus", web1).stdout)
        for each in sorted(dead, key=lambda each: str(each["function"]).startswith("chain")):
            ran = run_cli("tasks", "retry", each["id"], "--bus", web1)
            assert ran.returncode == 0, ran.stderr
            wait_until(lambda: stored(web1) == 0)
        assert result(tmp_path, web1, handle) == "['mended', 1]"
        assert done(two) == {"one-1": 2, "fails": 2, "one": 1}, "what was done is not done again"


def test_a_part_that_was_dropped_ends_the_whole(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with bus_of(tmp_path, bus_name, "web1", servers) as one:
        handle = flow(tmp_path, bus, "group(waits.s('a'), one.s(1), one.s(2))")
        one.wait_output("begun a")
        wait_until(lambda: stored(bus) == 4)
        shown = json.loads(run_cli("tasks", "list", "--json", "--bus", bus).stdout)
        part = next(each["id"] for each in shown if "-0.1_" in each["id"])
        ran = run_cli("tasks", "drop", part, "--bus", bus)
        assert ran.returncode == 0, ran.stderr
        (tmp_path / "a").touch()
        assert "is unknown: it is gone" in result(tmp_path, bus, handle)


def test_values_that_are_too_large(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with bus_of(tmp_path, bus_name, "web1", servers):
        good = flow(tmp_path, bus, "chain(large.s(900_000), where.s())")
        alone = flow(tmp_path, bus, "chain(large.s(1_040_000), where.s())")
        both = flow(tmp_path, bus, "group(large.s(600_000), large.s(600_000)).then(where.s())")
        assert result(tmp_path, bus, good) == "'web1'"
        assert "too large for the cluster, which keeps at most" in result(tmp_path, bus, alone)
        said = result(tmp_path, bus, both)
        assert "where, task" in said and "cannot be enqueued" in said and "too large for the cluster" in said


def test_parts_have_the_priority_of_the_whole(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with bus_of(tmp_path, bus_name, "web1", servers) as one:
        handle = flow(tmp_path, bus, "group(group(waits.s('a'), one.s(1)), one.s(2))", ", priority=3")
        one.wait_output("begun a")
        shown = json.loads(run_cli("tasks", "list", "--json", "--bus", bus).stdout)
        assert {each["priority"] for each in shown} == {"3"} and len(shown) >= 3
        (tmp_path / "a").touch()
        assert result(tmp_path, bus, handle) == "[['a', 1], 2]"


def test_functions_that_count_on_one_host_are_no_parts(
    servers: Servers, bus_name: str, tmp_path: Path
) -> None:
    bus = f"{bus_name}-web1"
    with bus_of(tmp_path, bus_name, "web1", servers):
        said = call(
            tmp_path,
            bus,
            """
            from flow_app import *
            try:
                chain(one.s(1), group(limited.si())).spool(spooler="mail")
            except ipcmules.errors.SpoolError as error:
                print(error)
            """,
        )
        assert "rate= or concurrency=" in said and stored(bus) == 0


LONG = "chain(one.s(1), group(waits.si('gate'), one.si(2)), group(add.si(n) for n in range(10)), total.s())"


def effects(*hosts: Launcher) -> set[str]:
    """What was done, on any host."""
    return set(done(*hosts))


EFFECTS = {"one-1", "one-2", "waits-gate", "total", *(f"add-{number}-1" for number in range(10))}


def test_a_host_dies_in_the_middle(
    servers: Servers, bus_name: str, tmp_path: Path, bus_env: BusEnvironment
) -> None:
    bus_env.may_leave_objects("a whole host is killed")
    web2, options = f"{bus_name}-web2", ("--cluster-deadline", "2")
    with bus_of(tmp_path, bus_name, "web1", servers, *options, count=2) as one:
        handle = flow(tmp_path, f"{bus_name}-web1", LONG)
        one.wait_output("begun gate")
        kill_host(one)
        (tmp_path / "gate").touch()
        with bus_of(tmp_path, bus_name, "web2", servers, *options, count=2) as two:
            assert result(tmp_path, web2, handle) == "55"
            assert effects(one, two) == EFFECTS
            wait_until(lambda: stored(web2) == 0)


@pytest.mark.parametrize("who", ["carrier", "spooler", "server"])
def test_who_is_killed_all_the_time(servers: Servers, bus_name: str, tmp_path: Path, who: str) -> None:
    bus = f"{bus_name}-web1"
    [server] = servers.all
    (tmp_path / "gate").touch()
    options = ("--cluster-deadline", "2", "--spooler-max-attempts", "0")
    with bus_of(tmp_path, bus_name, "web1", servers, *options, count=2) as one:
        handles = [flow(tmp_path, bus, LONG) for _each in range(3)]
        for number in range(6):
            seen = len(done(one))
            if who == "carrier":
                carrier = carrier_of(one)
                carrier.kill()
                wait_until(lambda carrier=carrier: carrier_of(one).pid != carrier.pid)  # type: ignore[misc]
            elif who == "spooler":
                for each in spoolers_of(one)[number % 2 :]:
                    each.kill()
            else:
                server.kill()
                server.start()
            until = time.monotonic() + 1  # something more is done, or all is over
            while len(done(one)) == seen and time.monotonic() < until:
                time.sleep(0.02)
        for handle in handles:
            assert result(tmp_path, bus, handle) == "55"
        assert effects(one) == EFFECTS
        wait_until(lambda: stored(bus) == 0)


def spoolers_of(launcher: Launcher) -> list[psutil.Process]:
    """The spooler processes of a bus."""
    found = psutil.Process(launcher.pid).children(True)
    return [each for each in found if "spooler" in " ".join(each.cmdline())]
