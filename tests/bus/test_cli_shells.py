"""Completion in the real bash, zsh and fish: what a user sees who presses Tab."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus.places import places
from ipcmules.messages import kept
from ipcmules.snapshot import take
from support import run_cli, wait_until
from terminal import Terminal

#: How each is started without anybody's files, and what makes it ready. The prompt is "> ".
SHELLS = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), "PS1='> '; source ./script"),
    "zsh": (("zsh", "-f", "-i"), "PS1='> '; autoload -Uz compinit; compinit -u -d dump; source ./script"),
    "fish": (("fish", "--no-config", "-i"), "function fish_prompt; echo -n '> '; end; source ./script"),
}


@contextmanager
def _shell(name: str, place: Path) -> Iterator[Callable[[str, Callable[[str], object], str], str]]:
    """A shell that has sourced our script: a function that types keys and waits for what they show."""
    arguments, begin = SHELLS[name]
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here")
    script = run_cli("completion", name)
    assert script.returncode == 0, script.stderr
    (place / "script").write_text(script.stdout)
    programs = place / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "ipcmules").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ipcmules "$@"\n')
    (programs / "ipcmules").chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(place), "LC_ALL": "C.UTF-8"}
    # Who begins a session, and opens a terminal then, controls it: shells want that.
    start = 'cd "$HOME" && exec <>"$(tty)" >&0 2>&0 && exec "$@"'
    with Terminal("sh", "-c", start, "-", *arguments, **environment) as terminal:
        terminal.press(f"{begin}; echo rea''dy\r")
        terminal.shows(lambda text: "\nready" in f"\n{text}".replace(" ", ""), f"{name}'s prompt")

        def types(keys: str, shows: Callable[[str], object], what: str) -> str:
            terminal.press("\x15\x0c")  # an empty line, at the top
            terminal.shows(lambda text: _lines(text) == [">"], "an empty line")
            terminal.press(keys)
            return terminal.shows(shows, what)

        yield types


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", list(SHELLS))
def test_what_a_bus_has(bus_env: BusEnvironment, bus_name: str, tmp_path: Path, name: str) -> None:
    handled = Handled(tmp_path, bus_name)
    with (
        handled.start("--mules", "2", "--farm", "mail:1,2", "--timer", "7 3600"),
        _shell(name, tmp_path) as types,
    ):
        handled.call("give", 1)
        handled.call("quiet", 1)
        wait_until(lambda: len(take(places(bus_name)).tasks.functions) == 2, what="tasks that ran")

        def becomes(line: str, whole: str) -> None:
            types(f"{line}\t", lambda text: f"> {whole}" in text, f"{whole!r} of {line!r}")

        becomes("ipcmules stat", "ipcmules status ")
        becomes(f"ipcmules status --bus {bus_name[:-1]}", f"ipcmules status --bus {bus_name} ")
        becomes(f"ipcmules status --bus={bus_name[:-1]}", f"ipcmules status --bus={bus_name} ")
        becomes(f"ipcmules msg --bus {bus_name} --farm m", f"ipcmules msg --bus {bus_name} --farm mail ")
        becomes(
            f"ipcmules tasks list --bus {bus_name} --function gi",
            f"ipcmules tasks list --bus {bus_name} --function give ",
        )
        becomes(
            f"ipcmules tasks list --bus={bus_name} --state sche",
            f"ipcmules tasks list --bus={bus_name} --state scheduled ",
        )
        kept.keep(places(bus_name), b"letter", "pool", "lines:\nof\tothers \x1b[31m")
        [letter] = map(kept.header, kept.listing(places(bus_name)))
        becomes(f"ipcmules dead show --bus {bus_name} ", f"ipcmules dead show --bus {bus_name} {letter.id} ")
        [event] = take(places(bus_name), events=True).events or ()
        becomes(
            f"ipcmules events --bus {bus_name} run ",
            f"ipcmules events --bus {bus_name} run {event.row['id']} ",
        )
        types(
            f"ipcmules msg --bus {bus_name} --mule \t\t",
            lambda text: {"1", "2"} <= set(" ".join(_lines(text)[1:]).split()),
            "the numbers of the mules",
        )
