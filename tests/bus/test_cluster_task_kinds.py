"""What tasks of the cluster have: failures, priorities, times, keys, ends; and who asks for them, and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clustertasks import call, enqueue, host, status, stored, work
from natsservers import Servers, needs_nats
from scripts import write
from support import run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]


def test_failures_and_dead_tasks(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1, web2 = f"{bus_name}-web1", f"{bus_name}-web2"
    with host(tmp_path, bus_name, "web1", servers, count=0), host(tmp_path, bus_name, "web2", servers) as two:
        good, bad, worse = enqueue(
            tmp_path, web1, work("good", fail=1), work("bad", fail=3), work("worse", fail=9)
        )
        two.wait_output("done good 2 web2")
        wait_until(lambda: status(tmp_path, web1, good) == "succeeded")
        for each in (bad, worse):
            wait_until(lambda each=each: status(tmp_path, web1, each) == "dead")  # type: ignore[misc]
        assert "bad fails" in call(tmp_path, web1, f"print(ipcmules.task({bad!r}).errors)")
        for bus in (web1, web2):
            dead = json.loads(run_cli("tasks", "list", "--state", "dead", "--json", "--bus", bus).stdout)
            assert [each["function"] for each in dead] == ["work", "work"]
            assert dead[0]["attempts"] == 3
        shown = run_cli("tasks", "show", "--bus", web1, bad.rpartition("_on_")[2])
        assert "bad fails" in shown.stdout and "Traceback" in shown.stdout, shown.stderr
        ran = run_cli("tasks", "drop", "--bus", web1, worse.rpartition("_on_")[2])
        assert ran.returncode == 0, ran.stderr
        ran = run_cli("tasks", "retry", "--bus", web1, bad.rpartition("_on_")[2])
        assert ran.returncode == 0, ran.stderr
        wait_until(lambda: two.stdout.count("begun bad") == 6)  # no failures any more: three attempts again
        text = run_cli("status", "--cluster", "--bus", web1).stdout
        assert "spooler mail: " in text and "dead" in text


def test_priorities_and_times(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus, gate = f"{bus_name}-web1", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers) as one:
        enqueue(tmp_path, bus, work("first", until=str(gate)))
        one.wait_output("begun first")
        calls = [work("plain"), work("nine", priority=9), work("two", priority=2), work("one", priority=1)]
        enqueue(tmp_path, bus, *calls)
        [later] = enqueue(tmp_path, bus, "jobs.work('later', spooler='mail', at=time.time() + 4)")
        wait_until(lambda: stored(bus) == 6)
        assert status(tmp_path, bus, later) == "scheduled"
        gate.touch()
        one.wait_output("done plain")
        order = [line.split()[1] for line in one.stdout.splitlines() if line.startswith("done ")]
        assert order == ["first", "one", "two", "nine", "plain"]
        one.wait_output("done later 1")


def test_unique(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1, web2, gate = f"{bus_name}-web1", f"{bus_name}-web2", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers, count=0), host(tmp_path, bus_name, "web2", servers) as two:
        only = f"jobs.only('x', until={str(gate)!r}, spooler='mail')"
        first, second = enqueue(tmp_path, web1, only, only)
        assert first == second
        two.wait_output("begun only-x")
        assert enqueue(tmp_path, web2, only) == [first]  # until it is over, and from any host
        assert status(tmp_path, web1, first) == "running"
        gate.touch()
        wait_until(lambda: status(tmp_path, web1, first) == "succeeded")
        [third] = enqueue(tmp_path, web1, only)
        assert third != first
        wait_until(lambda: status(tmp_path, web1, third) == "succeeded")
        gate.unlink()
        start = f"jobs.start('x', until={str(gate)!r}, spooler='mail')"
        [running] = enqueue(tmp_path, web1, start)
        two.wait_output("begun start-x")
        fourth, fifth = enqueue(tmp_path, web1, start, start)
        assert fourth == fifth != running
        gate.touch()
        for each in (running, fourth):
            wait_until(lambda each=each: status(tmp_path, web1, each) == "succeeded")  # type: ignore[misc]


def test_cancel(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    web1, web2, gate = f"{bus_name}-web1", f"{bus_name}-web2", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers, count=0), host(tmp_path, bus_name, "web2", servers) as two:
        runs, waits = enqueue(
            tmp_path, web1, work("cancelled", until=str(gate)), work("waits", until=str(gate))
        )
        two.wait_output("begun cancelled")
        wait_until(lambda: status(tmp_path, web1, runs) == "running")
        said = call(tmp_path, web1, f"t = ipcmules.task({waits!r}); print(t.cancel(), t.status())")
        assert said == "True cancelled\n"
        # One that runs is asked, on its host, and may return; it is over then, as any.
        said = call(tmp_path, web1, f"t = ipcmules.task({runs!r}); print(t.cancel(20), t.status())")
        assert said in ("False succeeded\n", "True cancelled\n")
        enqueue(tmp_path, web2, work("last"))
        two.wait_output("done last")
        assert "waits" not in two.stdout


def test_what_cannot_be_is_refused(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with host(tmp_path, bus_name, "web1", servers):
        said = call(
            tmp_path,
            f"{bus_name}-web1",
            """
            for each in (
                lambda: jobs.limited(spooler="mail"),
                lambda: ipcmules.spool({"body": "x" * 2_000_000, "spooler": "mail"}),
            ):
                try:
                    each()
                except ipcmules.errors.SpoolError as error:
                    print(error)
        """,
        )
        assert "rate= or concurrency=" in said and "too large" in said


def test_a_key_and_a_priority(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus, gate = f"{bus_name}-web1", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers) as one:
        enqueue(tmp_path, bus, work("first", until=str(gate)))
        one.wait_output("begun first")
        calls = [f"jobs.only('x', spooler='mail', priority={each})" for each in (1, 2, None)]
        first, second, third = enqueue(tmp_path, bus, *calls)
        assert first == second == third
        gate.touch()
        one.wait_output("done only-x")
        wait_until(lambda: stored(bus) == 0)


def test_coroutines_and_commands(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus = f"{bus_name}-web1"
    with host(tmp_path, bus_name, "web1", servers, count=0), host(tmp_path, bus_name, "web2", servers) as two:
        said = call(
            tmp_path,
            bus,
            """
            import asyncio
            from ipcmules import aio

            async def main():
                task = await jobs.work.aspool("async")  # the default: the bus has no other spooler
                print(await task.result(30), await jobs.work("again"))

            asyncio.run(main())
            """,
        )
        assert said == "['async', 'web2'] ['again', 'web2']\n"
        ran = run_cli("spool", "--bus", bus, "--spooler", "mail", "key=value")
        assert ran.returncode == 0 and ran.stdout.startswith("cluster:mail/"), ran.stderr
        listed = wait_until(
            lambda: json.loads(run_cli("tasks", "list", "mail", "--json", "--bus", bus).stdout)
        )
        [one] = listed
        shown = json.loads(run_cli("tasks", "show", "--json", one["id"], "--bus", bus).stdout)
        assert shown["arguments"]["key"] == "value", shown
        two.wait_log("is left alone: no function for it")
        # While a host looks at it, it is not to be dropped; then it waits for others.
        wait_until(lambda: run_cli("tasks", "drop", "--all", "--bus", bus).returncode == 0)
        wait_until(lambda: stored(bus) == 0)


def test_a_function_that_only_one_host_has(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    write(tmp_path, "other.py", "print('no function here', flush=True)")
    with (
        host(tmp_path, bus_name, "web1", servers) as one,
        host(tmp_path, bus_name, "web2", servers, app="other") as two,
    ):
        handles = enqueue(tmp_path, f"{bus_name}-web2", *(work(str(number)) for number in range(6)))
        for each in handles:
            wait_until(lambda each=each: status(tmp_path, f"{bus_name}-web2", each) == "succeeded", 60)  # type: ignore[misc]
        assert "done" not in two.stdout and one.stdout.count("done ") == 6


def test_a_reload_and_a_pause(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    bus, gate = f"{bus_name}-web1", tmp_path / "gate"
    with host(tmp_path, bus_name, "web1", servers) as one:
        enqueue(tmp_path, bus, work("over", until=str(gate)), work("next"))
        one.wait_output("begun over 1")
        gate.touch()
        assert run_cli("reload", "--bus", bus).returncode == 0
        one.wait_output("done next 1")
        assert run_cli("tasks", "pause", "--bus", bus).returncode == 0
        [handle] = enqueue(tmp_path, bus, work("paused"))
        wait_until(lambda: stored(bus) == 1)
        assert run_cli("tasks", "resume", "--bus", bus).returncode == 0
        one.wait_output("done paused 1")
        wait_until(lambda: status(tmp_path, bus, handle) == "succeeded")
