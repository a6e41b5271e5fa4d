"""`ipcmules msg`, `signal`, `status` and `stop` against a bus that runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import posix_ipc
import pytest

from conftest import BusEnvironment
from ipcmules.bus import description, liveness
from ipcmules.bus.config import BusConfig
from ipcmules.bus.description import Description
from ipcmules.bus.places import places
from ipcmules.kernel import processes
from support import Launcher, run_cli, wait_until

ECHO = """
from ipcmules import mule_get_msg, mule_id
while True:
    message = mule_get_msg()
    print(mule_id(), "got", len(message), message[:40], flush=True)
"""
APP = """
from ipcmules import mule_id
from ipcmules.decorators import signal

@signal(17, target="mule2")
def hello(number):
    print("mule", mule_id(), "handles", number, flush=True)
"""


@pytest.fixture
def bus(bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """Mule 1 prints what it receives, mule 2 prints signal 17; the environment names the bus."""
    monkeypatch.setenv("IPCMULES_BUS", bus_name)
    (bus_env.directory / "echo.py").write_text(ECHO)
    (bus_env.directory / "app.py").write_text(APP)
    options = ["--mule=echo.py", "--mule", "--farm=mail:1", "--import=app.py", "--locks=2"]
    with Launcher(*options, cwd=bus_env.directory) as launcher:
        yield launcher


@pytest.mark.parametrize("target", [[], ["--mule", "1"], ["--mule=0"], ["--farm=mail"], ["--priority", "9"]])
def test_msg(bus: Launcher, target: list[str]) -> None:
    sent = run_cli("msg", *target, "grüße")
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")
    bus.wait_output(f"1 got 7 {'grüße'.encode()!r}\n")


def test_msg_from_stdin_of_any_size(bus: Launcher) -> None:
    data = b"\0\xff not text \n" * 100_000
    subprocess.run([sys.executable, "-m", "ipcmules", "msg", "-"], input=data, check=True, timeout=30)
    bus.wait_output(f"1 got {len(data)} {data[:40]!r}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--mule", "3", "x"], 1, ["unknown mule 3", "mules 1 to 2"]),
        (["--mule", "two", "x"], 2, ["--mule", "'two'", "whole number"]),
        (["--farm", "none", "x"], 1, ["unknown farm 'none'", "mail"]),
        (["--farm=mail", "--mule=1", "x"], 2, ["--mule and --farm exclude each other"]),
        (["--priority=40000", "x"], 2, ["--priority", "'40000'", "0 to 32767"]),
        (["--timeout=-1", "x"], 2, ["--timeout", "'-1'", "seconds"]),
        ([], 2, ["TEXT", "msg --help"]),
        (["a", "b"], 2, ["b", "msg --help"]),
    ],
)
def test_msg_refuses(bus: Launcher, arguments: list[str], code: int, words: list[str]) -> None:
    ended = run_cli("msg", *arguments)
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.startswith("ipcmules: error: ") and ended.stderr.count("\n") == 1
    for word in words:
        assert word in ended.stderr


def test_signal(bus: Launcher) -> None:
    assert run_cli("signal", "17").returncode == 0
    bus.wait_output("mule 2 handles 17\n")


@pytest.mark.parametrize("number", ["256", "-1", "x", "1.0"])
def test_signal_refuses(bus: Launcher, number: str) -> None:
    ended = run_cli("signal", "--", number)
    assert ended.returncode == 2
    assert repr(number) in ended.stderr and "0 to 255" in ended.stderr


def test_status_as_json(bus: Launcher, bus_name: str) -> None:
    assert run_cli("msg", "one").returncode == 0
    assert run_cli("signal", "17").returncode == 0
    bus.wait_output("1 got 3 b'one'\n")
    bus.wait_output("mule 2 handles 17\n")

    def look() -> dict[str, Any] | None:
        shown = run_cli("status", "--json")
        assert shown.returncode == 0, shown.stderr
        found: dict[str, Any] = json.loads(shown.stdout)
        first, second = found["mules"]
        return found if first["messages"] == 1 and second["signals"] == 1 else None

    found = wait_until(look, what="the counts")
    assert set(found) >= {
        "bus",
        "master",
        "state",
        "mules",
        "spoolers",
        "workers",
        "farms",
        "queues",
        "listener",
        "locks",
    }
    assert (found["bus"], found["state"], found["master"]) == (bus_name, "ready", {"pid": bus.pid})
    assert (found["farms"], found["locks"], found["spoolers"], found["workers"]) == ({"mail": [1]}, 2, [], [])
    first, second = found["mules"]
    assert (first["id"], first["program"], first["farms"]) == (1, "echo.py", ["mail"])
    assert (second["id"], second["program"], second["state"]) == (2, "signal-only", "waiting")
    assert (first["respawns"], first["signals"], second["messages"]) == (0, 0, 0)
    assert first["pid"] != second["pid"] and 0 <= first["uptime"] < 60
    queues = found["queues"]
    assert [each["endpoint"] for each in queues] == ["pool", "mule1", "mule2", "farm.mail"]


def test_a_bus_whose_table_is_being_made_is_starting(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    lock = liveness.hold(where)
    os.mkdir(where.runtime, 0o700)
    half = posix_ipc.SharedMemory(where.table, posix_ipc.O_CREX, mode=0o600)
    try:
        description.write(where, Description(BusConfig(name=bus_name), 1, processes.current()))
        shown = run_cli("status", "--bus", bus_name, "--json")
        refused = run_cli("reload", "--bus", bus_name)
    finally:
        half.unlink()
        half.close_fd()
        shutil.rmtree(where.runtime)
        liveness.release(where, lock)
    assert json.loads(shown.stdout)["state"] == "starting", shown.stderr
    assert refused.returncode == 1 and "is just starting or stopping: try again" in refused.stderr


def test_status_as_a_table(bus: Launcher, bus_name: str) -> None:
    shown = run_cli("status")
    assert shown.returncode == 0
    first, *rows = shown.stdout.splitlines()
    assert first == f"bus {bus_name}: ready, master pid {bus.pid}"
    assert any(row.startswith("mule 1") and "echo.py" in row for row in rows)
    assert any(row.startswith("mule 2") and "waiting" in row for row in rows)
    assert "farms: mail: 1" in rows


def test_stop(bus: Launcher) -> None:
    stopped = run_cli("stop")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")
    assert bus.wait() == 0


@pytest.mark.parametrize("arguments", [["msg", "x"], ["signal", "1"], ["stop"]])
def test_without_a_bus(bus_env: BusEnvironment, bus_name: str, arguments: list[str]) -> None:
    ended = run_cli(*arguments, "--bus", bus_name)
    assert ended.returncode == 1
    assert f"there is no running bus '{bus_name}'" in ended.stderr
    assert str(bus_env.runtime) in ended.stderr
    assert not bus_env.runtime.exists()


def test_status_without_a_bus(bus_env: BusEnvironment, bus_name: str) -> None:
    shown = run_cli("status", "--bus", bus_name)
    assert shown.returncode == 1 and shown.stdout.startswith(f"bus {bus_name}: absent\nlooked in /"), shown
    shown = run_cli("status", "--json", "--bus", bus_name)
    assert (shown.returncode, json.loads(shown.stdout)["state"]) == (1, "absent")


@pytest.mark.parametrize("arguments", [["msg", "x"], ["signal", "1"], ["stop"], ["status"], ["run"]])
def test_a_name_that_cannot_be(bus_env: BusEnvironment, arguments: list[str]) -> None:
    ended = run_cli(*arguments, "--bus", "a/b")
    assert ended.returncode == 2
    assert "bus name 'a/b' is not allowed" in ended.stderr


def test_a_dead_bus_is_called_dead(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1") as launcher:
        launcher.process.kill()
        launcher.wait()
        shown = run_cli("status", "--json", "--bus", bus_name)
        assert (shown.returncode, json.loads(shown.stdout)["state"]) == (1, "dead")
        assert "there is no running bus" in run_cli("stop", "--bus", bus_name).stderr
    bus_env.may_leave_objects("the master was killed and not started again")


def test_help_and_version() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = run_cli(*arguments)
        assert shown.returncode == 0
        for name in ("run", "msg", "signal", "status", "stop"):
            assert f"\n  {name}" in shown.stdout
    assert run_cli("--version").stdout.startswith("ipcmules 0.")
    assert run_cli("run", "--help").stdout.startswith("Usage: ipcmules run [OPTIONS] [-- COMMAND...]")
    unknown = run_cli("rum")
    assert unknown.returncode == 2 and "'rum'" in unknown.stderr


def test_msg_and_signal_import_little() -> None:
    code = (
        "import sys\nfrom ipcmules.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    print(*({'rich', 'multiprocess', 'logging', 'asyncio', 'tomllib'} & set(sys.modules)))\n"
    )
    for arguments in (["msg", "--help"], ["signal", "--help"]):
        shown = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert shown.stdout.splitlines()[-1] == ""


def test_modules_in_the_users_directory_are_the_apps_alone(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """python -m puts the current directory first; what lies there must not stand in for what we import."""
    for name in ("click", "rich", "logging", "json", "setproctitle", "sysv_ipc", "platform", "tomllib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')\n")
    (tmp_path / "bus.toml").write_text("mules = 1\nlocks = 1\n")
    for arguments in (
        ["status"],
        ["doctor"],
        ["dead", "list"],
        ["run", "--config", "bus.toml", "--", "true"],
    ):
        done = run_cli(*arguments, cwd=tmp_path, env={**os.environ, "IPCMULES_BUS": bus_name})
        assert "was imported" not in done.stdout + done.stderr, done
