"""What the tests of events share: an app that is written down, a bus with it, and what its handlers wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import scripts
from ipcmules.bus import control
from ipcmules.bus.places import places
from support import Launcher, wait_until

#: Every app begins with it: said() is one line of output, whatever other process writes at that moment.
HEAD = """
import os, sys, time
import ipcmules
from ipcmules.decorators import *

def said(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


def app(directory: Path, source: str, name: str = "app") -> Path:
    """Write an app, and no compiled one beside it: that is taken by its source's size and time in seconds."""
    scripts.write(directory, f"{name}.py", HEAD + source)
    for each in directory.glob("__pycache__/*"):
        each.unlink()
    return directory


def start(bus: str, directory: Path, *more: str, mules: int = 1, **others: Any) -> Launcher:
    """A bus whose mules have loaded the app."""
    return Launcher("--bus", bus, "--mules", str(mules), "--import", "app", *more, cwd=directory, **others)


def listed(bus: str) -> list[dict[str, Any]]:
    """The bus's events."""
    found: list[dict[str, Any]] = control.ask(places(bus), {"do": "events.list"})["events"]
    return found


def event(bus: str, handler: str) -> dict[str, Any]:
    """The only event of a handler."""
    (found,) = (each for each in listed(bus) if each["handler"] == handler)
    return found


def lines(launcher: Launcher, word: str) -> list[list[str]]:
    """What followed this word, of every line that began with it."""
    found = [each.split() for each in launcher.stdout.splitlines() if each.endswith(tuple("0123456789"))]
    return [each[1:] for each in found if each and each[0] == word]


def wait_lines(launcher: Launcher, word: str, count: int, seconds: float = 20) -> list[list[str]]:
    """Wait until there are so many lines that begin with this word."""
    try:
        wait_until(lambda: len(lines(launcher, word)) >= count, seconds, f"{count} lines {word!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{launcher.output()}") from None
    return lines(launcher, word)


def attached(bus: str, source: str, directory: Path, *arguments: str, **more: str) -> Any:
    """Run a program that is attached to the bus; what it printed, as JSON (None: nothing)."""
    environment = {**os.environ, "IPCMULES_BUS": bus, **more}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None
