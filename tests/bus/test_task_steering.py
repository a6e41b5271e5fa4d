"""Which tasks run, and how many at once: keys, limits, pauses, named queues, priorities."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from scripts import write
from support import run_cli, wait_until

APP = """
import time
from ipcmules.decorators import spool
from tasks_app import note
from handled_app import gate

@spool(pass_arguments=True, results=600, unique="mail-{user}")
def mail(user, text=""):
    note(task={"key": text})
    gate()
    return text

@spool(pass_arguments=True, results=600, concurrency=2)
def two(name):
    note(task={"key": f"begin {name}"})
    gate(name)
    note(task={"key": f"end {name}"})

@spool(pass_arguments=True, results=600, concurrency=1, key="user-{user}")
def each(user, name):
    note(task={"key": f"begin {name}"})
    gate(name)

@spool(pass_arguments=True, results=600, rate="2/h")
def seldom(name):
    note(task={"key": name})

@spool(pass_arguments=True, results=600)
def plain(name):
    note(task={"key": name})
"""


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "steered_app.py", APP)
    return found


def ask(handled: Handled, code: str) -> str:
    """What a program of the bus prints that has the app."""
    return handled.ask(f"import ipcmules, steered_app as app\n{code}", IPCMULES_BUS=handled.bus)


def go(handled: Handled, name: str = "go") -> None:
    (handled.directory / name).touch()


def runs_of(handled: Handled, beginning: str) -> int:
    return sum(each.startswith(beginning) for each in handled.ran())


def test_a_call_that_meets_another_gets_its_handle_and_so_many_are_begun_in_a_time(handled: Handled) -> None:
    with handled.start("--import", "steered_app", "--spooler-processes", "2"):
        told = ask(
            handled,
            "first = app.mail('me', 'one')\n"
            "print(first.id, app.mail('me', text='two').id, app.mail('you', 'three').id)",
        ).split()
        assert told[0] == told[1] != told[2]
        handled.wait_runs(2)
        assert ask(handled, "print(app.mail('me', 'four').id)") == told[0], "it runs"
        go(handled)
        found = [ipcmules.task(each, handled.directory.as_posix()) for each in told]
        assert [each.result(60) for each in found] == ["one", "one", "three"]
        assert ask(handled, "print(app.mail('me', 'five').result(60))") == "five"
        assert sorted(handled.ran()) == ["five", "one", "three"]
        so_many_are_begun_in_a_time(handled)


def so_many_are_begun_in_a_time(handled: Handled) -> None:
    tasks = [handled.call("seldom", f"s{number}") for number in range(4)]
    wait_until(lambda: runs_of(handled, "s") == 2, what="two of them")
    assert handled.call("give", 1).result(60) == 1
    assert runs_of(handled, "s") == 2
    wait_until(
        lambda: sorted(each.status() for each in tasks) == ["succeeded"] * 2 + ["waiting"] * 2,
        what="their ends",
    )
    (ring,) = (handled.directory / "limits").glob("ipcmules_rate_*")
    assert ring.stat().st_size == 3 * 8


def test_so_many_run_at_once_over_all_spoolers(handled: Handled) -> None:
    with handled.start("--import", "steered_app", "--spooler-processes", "4"):
        tasks = [handled.call("two", f"t{number}") for number in range(4)]
        wait_until(lambda: runs_of(handled, "begin t") == 2, what="two of them")
        # There is a free spooler, which comes to everything else.
        assert handled.call("give", 1).result(60) == 1
        others = [handled.call("each", user, f"{user}{number}") for user in "ab" for number in (1, 2)]
        wait_until(lambda: runs_of(handled, "begin a") and runs_of(handled, "begin b"), what="one a user")
        assert (
            runs_of(handled, "begin t") == 2
            and runs_of(handled, "begin a") == runs_of(handled, "begin b") == 1
        )
        for number in range(4):
            go(handled, f"t{number}")
        for task in tasks:
            task.wait(60)
        for name in ("a1", "a2", "b1", "b2"):
            go(handled, name)
        for task in others:
            task.wait(60)
        assert at_once(handled.ran()) == 2
        assert not handled.dead() and len(handled.ran()) == 4 * 2 + 1 + 4
        a_place_of_a_killed_process_is_free_again(handled)


def a_place_of_a_killed_process_is_free_again(handled: Handled) -> None:
    for name in ("k0", "k1"):
        handled.call("two", name)
    wait_until(lambda: runs_of(handled, "begin k") == 2, what="two of them")
    third = handled.call("two", "k2")
    go(handled, "k2")
    killed = next(each["pid"] for each in handled.runs() if each["task"]["key"] == "begin k0")
    os.kill(killed, signal.SIGKILL)
    third.wait(60)
    assert runs_of(handled, "end k2") == 1
    for name in ("k0", "k1"):
        go(handled, name)
    handled.wait_empty(60)


def at_once(ran: list[str]) -> int:
    """How many ran at the same time."""
    most = now = 0
    for each in ran:
        now += each.startswith("begin t") - each.startswith("end t")
        most = max(most, now)
    return most


def tasks(handled: Handled, *arguments: str) -> str:
    done = run_cli("tasks", *arguments, "--bus", handled.bus)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_function_and_a_directory_are_paused_and_resumed(handled: Handled) -> None:
    handled.directory.mkdir()
    with handled.start("--import", "steered_app") as launcher:
        assert "paused" in tasks(handled, "pause", "--function", "steered_app.plain")
        assert handled.status()["spoolers"][0]["paused"] == ["steered_app.plain"]
        wait_until(lambda: pause_is_known(handled), what="the pause")
        held = [handled.call("plain", f"p{number}") for number in range(3)]
        assert handled.call("give", 1).result(60) == 1
        assert [each.status() for each in held] == ["waiting"] * 3 and not runs_of(handled, "p")
        assert (
            f"paused: steered_app.plain of {handled.directory}"
            in run_cli("status", "--bus", handled.bus).stdout
        )
        assert tasks(handled, "pause").endswith(": paused\n")
        assert tasks(handled, "pause").endswith(": paused already\n")
        wait_until(lambda: "is paused: no task is begun" in launcher.stderr, what="the pause")
        assert handled.status()["spoolers"][0]["paused"] == ["*", "steered_app.plain"]
        tasks(handled, "resume", "--function", "steered_app.plain")
        last = handled.call("give", 2)
        tasks(handled, "resume")
        assert last.result(60) == 2
        for each in held:
            each.wait(60)
        assert sorted(each for each in handled.ran() if each.startswith("p")) == ["p0", "p1", "p2"]


def pause_is_known(handled: Handled) -> bool:
    """The spooler has read what is paused: a probe is held."""
    probe = handled.call("plain", "a probe")
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        if probe.status() != "waiting":
            return False
        time.sleep(0.01)
    return probe.cancel()


def test_a_pause_holds_over_restarts_and_without_a_bus(handled: Handled) -> None:
    handled.directory.mkdir()
    place = str(handled.directory)
    assert run_cli("tasks", "pause", place).stdout == f"{place}: paused\n"
    task = handled.call("give", 1)
    with handled.start() as launcher:
        wait_until(lambda: "is paused: no task is begun" in launcher.stderr, what="the pause")
        done = run_cli("tasks", "run", place, "--once", "--import", str(handled.app))
        assert done.returncode == 0 and "0 done" in done.stdout
        assert task.status() == "waiting"
        assert run_cli("tasks", "resume", place).stdout == f"{place}: resumed\n"
        assert task.result(60) == 1


def test_queues_have_names_and_numbers_of_processes(handled: Handled) -> None:
    options = (
        "--spooler",
        "mail:2",
        "--spooler",
        f"video:1,path={handled.home}/films",
        "--import",
        "steered_app",
    )
    with handled.start(*options):
        found = [(each["queue"], each["directory"]) for each in handled.status()["spoolers"]]
        home = str(handled.home)
        assert found == [
            ("", str(handled.directory)),
            ("mail", f"{home}/mail"),
            ("mail", f"{home}/mail"),
            ("video", f"{home}/films"),
        ]
        told = ask(
            handled,
            "a, b = app.plain('m', spooler='mail'), app.plain('v', spooler='video')\n"
            "print(a, b, a.wait(60), b.wait(60), ipcmules.task(b.id, 'video').status())",
        ).split()
        assert told[0].startswith(f"{home}/mail/") and told[1].startswith(f"{home}/films/")
        assert told[2:] == ["succeeded"] * 3
        assert len(ask(handled, "print(len(ipcmules.spooler_pids('mail')))")) == 1
        assert "no tasks" in tasks(handled, "list", "mail")
        spooled = run_cli("spool", "--bus", handled.bus, "--spooler", "video", "key=x")
        assert spooled.stdout.startswith(f"{home}/films/"), spooled.stderr
        handled.wait_runs(3)
    assert sorted(handled.ran()) == ["m", "v", "x"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--spooler", "mail:0"), "has no process"),
        (("--spooler", "mail:1", "--spooler", "mail:2,path=x"), "called 'mail'"),
        (("--spooler-external", "mail:2,path=x"), "somebody else's"),
    ],
)
def test_queues_that_cannot_be(bus_env: BusEnvironment, options: tuple[str, ...], says: str) -> None:
    done = run_cli("run", *options, cwd=bus_env.directory)
    assert done.returncode != 0 and says in done.stderr


def urgent_last(handled: Handled) -> list[dict[str, Any]]:
    return [{"key": f"{priority}", "priority": priority} for priority in (2, 0, 1, 0, 2, 1)]


def test_priorities_order_tasks_without_an_option(handled: Handled) -> None:
    """C15: what comes by the queue, too, and what is urgent overtakes hundreds that wait."""
    handled.directory.mkdir()
    for number in range(150):
        handled.put(key=f"plain{number}")
    with handled.start("--spooler-frequency", "600"):
        handled.wait_runs(1)
        with ipcmules.attach(handled.bus) as bus:
            first = bus.spool(
                {"do": "wait", "file": str(handled.directory / "go"), "key": "first", "priority": "0"}
            )
            wait_until(lambda: "first" in handled.ran(), what="the urgent one")
            before = len(handled.ran())
            for task in urgent_last(handled):
                bus.spool(task)
            bus.spool({"key": "none"})
        go(handled)
        handled.wait_empty(60)
        assert first.status() == "unknown"
    after = handled.ran()[before:]
    assert after[:6] == ["0", "0", "1", "1", "2", "2"]
    assert after[6:] == [*(f"plain{number}" for number in range(before - 1, 150)), "none"]


PERIODIC = """
from ipcmules.decorators import spool
from tasks_app import note

@spool(every=0.2, results=60, retries=1, backoff=0.01)
def often(task):
    note(task={"key": "often"})
    if not os.path.exists("failed"):
        open("failed", "w").close()
        raise ValueError("once")
"""


def test_tasks_come_by_themselves_in_the_first_directory(handled: Handled) -> None:
    write(handled.home, "periodic_app.py", f"import os\n{PERIODIC}")
    options = ("--import", "periodic_app", "--spooler", "other:1", "--spooler-processes", "2")
    with handled.start(*options):
        handled.wait_runs(4)
    assert set(handled.ran()) == {"often"} and not handled.dead()
    assert not (handled.home / "other" / "schedules").exists()
    assert len(list((handled.directory / "schedules").iterdir())) == 1
    before = len(handled.runs())
    with handled.start(*options, "--spooler-cheap", "--spooler-frequency", "600"):
        handled.wait_runs(before + 4)
    times = [each["time"] for each in handled.runs()]
    assert times == sorted(times)
