"""`ipcmules doctor`: each finding, its remedy, and the exit code."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.messages import kept
from support import run_cli


def doctor(*arguments: str) -> tuple[int, list[dict[str, str]]]:
    done = run_cli("doctor", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def bad(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in findings if each["level"] == "bad"]


def test_nothing_to_mend(bus_env: BusEnvironment, bus_name: str) -> None:
    done = run_cli("doctor", "--bus", bus_name, "--mules", "3", "--farm", "mail:1,2", "--locks", "2")
    assert done.returncode == 0, done.stdout
    assert "3 mules, 1 farms, 0 workers, 3 locks: 5 queues fit" in done.stdout
    assert "posix-ipc" in done.stdout and done.stdout.endswith("nothing to mend\n")
    assert not bus_env.runtime.exists()


def test_a_bus_that_would_not_fit(bus_env: BusEnvironment) -> None:
    limited = subprocess.run(
        [sys.executable, "-m", "ipcmules", "doctor", "--json", "--mules", "40"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MSGQUEUE, (3000, 3000)),
    )
    [finding] = bad(json.loads(limited.stdout))
    assert limited.returncode == 1
    assert "41 message queues" in finding["text"] and "ulimit -q" in finding["remedy"]
    code, found = doctor("--mules", "300")
    [finding] = bad(found)
    assert code == 1 and "queues_max" in finding["remedy"]


def test_directories_leftovers_and_dead_letters(bus_env: BusEnvironment, bus_name: str) -> None:
    kept.keep(places(bus_name), b"x", "pool", "for the test")
    bus_env.runtime.mkdir(mode=0o700)
    (bus_env.runtime / f"{bus_name}.lock").touch()
    code, found = doctor()
    [finding] = bad(found)
    assert code == 1 and f"bus '{bus_name}' is dead" in finding["text"]
    assert finding["remedy"].startswith("ipcmules clean")
    assert any("has 1 dead letters" in each["text"] for each in found)
    assert run_cli("clean").returncode == 0
    assert doctor()[0] == 0
    os.chmod(bus_env.runtime, 0o755)
    code, found = doctor()
    [finding] = bad(found)
    assert code == 1 and finding["remedy"] == f"chmod 700 {bus_env.runtime}"
    os.rmdir(bus_env.runtime)
    bus_env.runtime.symlink_to(bus_env.state)
    code, found = doctor()
    assert code == 1 and bad(found)[0]["remedy"] == f"rm {bus_env.runtime}"
    bus_env.runtime.unlink()


def test_wrong_options_are_errors_as_for_run(bus_env: BusEnvironment, tmp_path: Path) -> None:
    done = run_cli("doctor", "--farm", "mail:3", cwd=tmp_path)
    assert done.returncode == 2 and "names mule 3" in done.stderr


def test_programs_beside_this_python_are_found_as_for_run(bus_env: BusEnvironment, tmp_path: Path) -> None:
    done = run_cli("doctor", "--attach-daemon", "ipcmules list", env={**os.environ, "PATH": "/nowhere"})
    assert done.returncode in (0, 1), done.stderr


def test_too_few_open_files_are_not_blamed_on_the_queues(bus_env: BusEnvironment) -> None:
    limited = subprocess.run(
        [sys.executable, "-m", "ipcmules", "doctor", "--json", "--mules", "40"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)),
    )
    [finding] = bad(json.loads(limited.stdout))
    assert limited.returncode == 1 and finding["remedy"].startswith("ulimit -n ")


@pytest.mark.parametrize("variable", ["IPCMULES_RUNTIME_DIR", "IPCMULES_STATE_DIR"])
def test_directories_that_cannot_be_made(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, variable: str
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path / "file"):
        environment = {**os.environ, variable: str(path)}
        arguments = ["run", "--bus", bus_name, "--mules", "1", "--", "true"]
        done = run_cli(*arguments, env=environment)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert str(path) in done.stderr and ("set IPCMULES_" in done.stderr or "remove it" in done.stderr)
