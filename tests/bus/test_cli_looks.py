"""What commands look like: help in groups, colours, 80 columns, completion of what a bus has."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus.places import places
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until
from terminal import Terminal

US = (sys.executable, "-m", "ipcmules")


def _offered(*words: str) -> list[str]:
    """What bash would be offered for the last word."""
    line = " ".join(("ipcmules", *words))
    environment = {
        **os.environ,
        "_IPCMULES_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    lines = run_cli(env=environment).stdout.splitlines()
    return [each.partition(",")[2] for each in lines if each]


def test_help_in_groups() -> None:
    shown = run_cli("--help").stdout
    for title in ("A bus:", "Look at it:", "What waits and what failed:", "Examples:"):
        assert f"\n{title}" in shown or f"\n  {title}" in shown
    assert "...\n" not in shown.partition("\n")[2] and max(map(len, shown.splitlines())) <= 80


def test_completion_of_what_a_bus_has(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    with handled.start("--mules", "2", "--farm", "mail:1,2"):
        handled.call("give", 1)
        wait_until(lambda: _offered("tasks", "list", "--bus", bus_name, "--function", "g"), what="a function")
        bus = ("--bus", bus_name)
        assert _offered("tasks", "list", *bus, "--function", "g") == ["give"]
        assert _offered("msg", *bus, "--mule", "") == ["1", "2"]
        assert _offered("msg", *bus, "--farm", "m") == ["mail"]
        assert _offered("spool", *bus, "--spooler", "/") == [str(handled.directory)]
        kept.keep(places(bus_name), b"letter", "pool", "for the test")
        [letter] = _offered("dead", "show", *bus, "")
        assert letter in run_cli("dead", "list", *bus).stdout
        assert _offered("dead", "requeue", *bus, "--to", "f") == ["farm.mail"]
    assert _offered("msg", "--bus", bus_name, "--mule", "") == []


def _colours(arguments: tuple[str, ...], until: Callable[[str], object], **environment: str) -> set[str]:
    with Terminal(*US, *arguments, **environment) as shown:
        shown.shows(until, "its output")
        return shown.colours()


def test_colours_are_for_what_is_wrong(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    arguments = ("status", "--bus", bus_name)
    with Launcher("--bus", bus_name, "--mules", "1"), ipcmules.attach(bus_name):
        assert "red" not in _colours(arguments, lambda text: "last deaths" in text)
        kept.keep(places(bus_name), b"letter", "pool", "for the test")
        assert "red" in _colours(arguments, lambda text: "dead letters: 1" in text)
        assert "red" not in _colours(arguments, lambda text: "dead letters: 1" in text, NO_COLOR="1")
        assert "\x1b" not in run_cli(*arguments).stdout
    assert "red" in _colours(arguments, lambda text: "looked in" in text)


def test_tables_on_eighty_columns(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    name = "a_program_with_a_long_name_that_has_no_room.py"
    (tmp_path / name).write_text("import ipcmules\nwhile True: ipcmules.mule_get_msg()\n")
    with (
        Launcher("--bus", bus_name, f"--mule={name}", cwd=tmp_path),
        Terminal(*US, "status", "--bus", bus_name, COLUMNS="80") as shown,
    ):
        text = shown.shows(lambda text: "last deaths" in text, "the table")
        rows = [each.rstrip() for each in text.splitlines()]
        assert all(len(each) <= 80 for each in rows)
        [row] = [each for each in rows if each.startswith("mule 1")]
        assert row.split()[2] in ("0", "1") or "…" in row  # the name is cut, and no word is broken in two
        assert not any(each.startswith(" ") and each.strip() for each in rows)


def test_dead_letters_on_eighty_columns(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1"):
        kept.keep(
            places(bus_name), b"letter", "farm.receipts", f"{'much went wrong, ' * 12}in the end", "mule12"
        )
    with Terminal(*US, "dead", "list", "--bus", bus_name, COLUMNS="80") as shown:
        rows = shown.shows(lambda text: "in the end" in text, "the reason").splitlines()
    assert all(len(each.rstrip()) <= 80 for each in rows)
    assert rows[0].split() == ["id", "age", "target", "mule", "bytes", "tries"]
    assert rows[1].split()[2:] == ["farm.receipts", "mule12", "6", "0"] and rows[2].startswith("  much went")
    piped = run_cli("dead", "list", "--bus", bus_name).stdout.splitlines()
    assert len(piped) == 2 and piped[1].endswith("in the end")


@pytest.mark.parametrize("group", ["tasks", "dead", "events", "cluster"])
def test_help_of_a_group_is_whole(group: str) -> None:
    shown = run_cli(group, "--help").stdout
    assert "Commands:\n" in shown and "...\n" not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80


SLOW = """
import os, signal, time
import ipcmules
while True:
    ipcmules.mule_get_msg()
    open("began", "w").close()
    until = time.monotonic() + 30
    while not os.path.exists("go") and time.monotonic() < until:
        time.sleep(0.01)
"""


def test_a_stop_that_takes_long_shows_for_whom(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    options = ("--bus", bus_name, "--mule=slow.py", "--mule-reload-mercy", "30")
    with Launcher(*options, cwd=tmp_path) as launcher:
        assert run_cli("msg", "--bus", bus_name, "x").returncode == 0
        wait_until((tmp_path / "began").exists, what="the message")
        with Terminal(*US, "stop", "--bus", bus_name) as shown:
            shown.shows(
                lambda text: f"stopping bus {bus_name}: " in text and "waiting for mule 1" in text, "it"
            )
            (tmp_path / "go").touch()
            shown.shows(lambda text: "stopping" not in text, "its end")
            assert shown.close() == 0
        assert launcher.wait() == 0
