"""`ipcmules top`: as text where it is piped, and on a terminal, which pyte stands in for."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus.places import places
from ipcmules.cli import top_lines
from ipcmules.cli.top_lines import BAD, ORDERS, PAGES
from ipcmules.cli.top_state import State
from ipcmules.snapshot import Snapshot, take
from ipcmules.snapshot.rates import between
from support import Launcher, run_cli, wait_until
from terminal import COLUMNS, Terminal

TOP = (sys.executable, "-m", "ipcmules", "top")


def test_piped(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    with handled.start("--mules", "2"):
        handled.call("fails", "no good")
        wait_until(lambda: take(places(bus_name)).tasks.directories[0].dead, what="the dead task")
        shown = run_cli("top", "--bus", bus_name)
        assert shown.returncode == 0, shown.stderr
        assert f"bus {bus_name}: ready" in shown.stdout and "mules       2 ··" in shown.stdout
        assert "1 dead" in shown.stdout and "\x1b" not in shown.stdout
        tasks = run_cli("top", "--bus", bus_name, "--once", "--page", "tasks").stdout
        [row] = [each for each in tasks.splitlines() if each.startswith("fails")]
        assert row.split()[2:6] == ["0", "0", "2", "0"]
    gone = run_cli("top", "--bus", bus_name)
    assert gone.returncode == 1 and f"bus {bus_name}: absent" in gone.stdout
    assert run_cli("top", "--bus", bus_name, "--sort", "age").returncode == 2
    assert "give 0.1 or more" in run_cli("top", "--bus", bus_name, "--interval", "0").stderr


def test_on_a_terminal(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    with handled.start("--mules", "1"), contextlib.ExitStack() as stack:
        waits = handled.call("waits")
        wait_until(lambda: waits.status() == "running", what="the task")
        top = stack.enter_context(Terminal(*TOP, "--bus", bus_name, "--interval", "0.2"))
        text = top.shows(lambda text: "spooler 1" in text, "the processes")
        assert "mule 1" in text and "1 running" in text
        assert text.splitlines()[-1].rstrip().endswith("order by n c m r d x s")  # what fits is shown whole
        assert "green" in top.colours()
        top.press("j\r")
        text = top.shows(lambda text: "ud_spool_func = waits" in text, "what the spooler has in hand")
        assert waits.id in text and "begun" in text and "task in hand" in text
        top.press("\x1b")
        top.shows(lambda text: "starts" in text and "program" in text, "the processes again")
        top.press("\t")
        top.shows(lambda text: "waits" in text and "p95" in text, "the functions")
        top.press("\r")
        top.shows(lambda text: "tasks of waits" in text and waits.id[:20] in text, "its tasks")
        top.press("\x1b")
        top.shows(lambda text: "p95" in text, "the functions again")
        top.press("\t\t")
        top.shows(lambda text: "mule1" in text and "of 10" not in text and "lock" in text, "the queues")
        (handled.directory / "go").touch()
        top.press("q")
        assert top.close() == 0
        wait_until(lambda: waits.status() == "succeeded", what="its end")


def test_without_colours_and_at_the_bus_s_end(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1") as launcher, contextlib.ExitStack() as stack:
        top = stack.enter_context(Terminal(*TOP, "--bus", bus_name, "--interval", "0.1", NO_COLOR="1"))
        top.shows(lambda text: "mule 1" in text, "the mule")
        assert top.colours() <= {"default", "white"}
        launcher.stop(signal.SIGTERM)
        top.shows(lambda text: f"bus {bus_name}: absent" in text, "its end")
        top.press("q")
        assert top.close() == 0


def test_sixty_mules_on_a_hundred_columns(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1"), ipcmules.attach(bus_name):
        one = take(places(bus_name))
    [mule] = one.mules
    many = replace(one, mules=tuple(replace(mule, number=number) for number in range(1, 61)))
    stuck = replace(many.mules[41], state="busy", kind="message", doing="message hook", doing_since=90.0)
    many = replace(many, mules=(*many.mules[:41], stuck, *many.mules[42:]))
    state = State(places(bus_name), "d", 0)
    state.seen = many
    lines = top_lines.lines_of(state, COLUMNS)
    assert all(len(each.text) <= COLUMNS for each in lines)
    head = top_lines.header(many, state.rates, COLUMNS)
    assert len(head) < 10 and any(each.text.count("·") == 59 and "*" in each.text for each in head)
    [chosen] = [each for each in lines if each.key == "mule 42"]
    assert (
        chosen.style == BAD and lines.index(chosen) == len(head) + 2
    )  # the longest at something comes first
    for key in ORDERS:
        assert len(top_lines.processes(many, state.rates, 80, key)) == 61
    for _title, page in PAGES:
        assert all(len(each.text) <= 80 for each in page(many, state.rates, 80))


def test_rates_between_snapshots(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1"):
        first = take(places(bus_name))
    [mule] = first.mules
    later = replace(first, time=first.time + 2, mules=(replace(mule, all_messages=mule.all_messages + 10),))
    rates = between(first, later)
    assert (rates.messages, rates.of(mule).messages, rates.seconds) == (5.0, 5.0, 2.0)
    assert between(None, later).messages == between(first, replace(later, generation=1)).messages == 0.0
    assert isinstance(first, Snapshot) and time.time() - first.time < 60
