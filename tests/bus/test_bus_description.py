"""A bus of another version: what its description says is an error with both versions, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus import description
from ipcmules.bus.description import FORMAT
from ipcmules.bus.places import places
from ipcmules.errors import FormatError
from support import Launcher, run_cli

NEWER: list[dict[str, Any]] = [
    {"version": "9.0", "format": FORMAT + 1},
    {"version": "9.0", "config": {"name": "x", "mules": [], "farms": [], "settings": [], "wings": 2}},
    {
        "version": "9.0",
        "queues": [{"endpoint": "pool", "name": "/q", "depth": 1, "size": 1, "colour": "red"}],
    },
]


def rewrite(name: str, changes: dict[str, Any]) -> str:
    path = Path(places(name).description)
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **changes}))
    return before


@pytest.mark.parametrize("changes", NEWER)
def test_a_living_bus_of_another_version(
    bus_env: BusEnvironment, bus_name: str, changes: dict[str, Any]
) -> None:
    with Launcher("--bus", bus_name, "--mules", "1"):
        before = rewrite(bus_name, changes)
        for command in (
            ["status"],
            ["status", "--json"],
            ["msg", "x"],
            ["signal", "1"],
            ["stop"],
            ["reload"],
        ):
            done = run_cli(command[0], "--bus", bus_name, *command[1:])
            assert done.returncode == 1, done
            assert "was started by ipcmules 9.0" in done.stderr and "Traceback" not in done.stderr
            assert f"ipcmules {ipcmules.__version__} (format {FORMAT})" in done.stderr
        with pytest.raises(FormatError, match=r"ipcmules 9\.0"):
            ipcmules.attach(bus_name)
        assert "is running already" in run_cli("run", "--bus", bus_name, "--mules", "1").stderr
        # Another bus starts and cleans beside it.
        with Launcher("--bus", f"{bus_name}b", "--mules", "1"):
            assert run_cli("clean").stdout == "nothing to clean\n"
        Path(places(bus_name).description).write_text(before)


@pytest.mark.parametrize("changes", NEWER)
def test_a_dead_bus_of_another_version_stays(
    bus_env: BusEnvironment, bus_name: str, changes: dict[str, Any]
) -> None:
    with Launcher("--bus", bus_name, "--mules", "1") as launcher:
        launcher.process.kill()
        launcher.wait()
    before = rewrite(bus_name, changes)
    for arguments in (["clean"], ["clean", "--dry-run"], ["run", "--bus", bus_name, "--mules", "1"]):
        done = run_cli(*arguments)
        assert done.returncode == 1, done
        assert "was started by ipcmules 9.0" in done.stderr and "Traceback" not in done.stderr
    assert "ipcmules 9.0" in run_cli("doctor").stdout
    Path(places(bus_name).description).write_text(before)
    with Launcher("--bus", bus_name, "--mules", "1"):
        pass


def test_what_is_no_description_is_none(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    assert description.load(where) is None
    Path(where.runtime).mkdir(parents=True)
    for text in ("", "{", "\xff"):
        Path(where.description).write_text(text)
        assert description.load(where) is None
    for text in ("[]", "null", '{"format": 1}', '{"format": 1, "config": 3}'):
        Path(where.description).write_text(text)
        with pytest.raises(FormatError):
            description.load(where)
        assert description.read(where) is None
    Path(where.description).unlink()
    Path(where.runtime).rmdir()


def test_a_description_without_what_is_new_is_read(bus_env: BusEnvironment, bus_name: str) -> None:
    """An older version of the same format has fewer keys in its configuration."""
    with Launcher("--bus", bus_name, "--mules", "1"):
        config = json.loads(Path(places(bus_name).description).read_text())["config"]
        for key in ("daemons", "on_hook_error", "max_requeues", "touch_reload"):
            del config[key]
        rewrite(bus_name, {"config": config})
        assert run_cli("status", "--bus", bus_name).returncode == 0
