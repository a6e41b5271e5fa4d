"""`ipcmules list`, and who looks at a bus from where it is not: the wrong directory, root."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest

from conftest import BusEnvironment
from support import Launcher, run_cli


def listed(**more: str) -> list[dict[str, object]]:
    done = run_cli("list", "--json", env={**os.environ, **more})
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_list_shows_buses_and_status_says_where_it_looked(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path) as launcher:
        (one,) = (each for each in listed() if each["bus"] == bus_name)
        assert one == {
            **{"bus": bus_name, "state": "ready", "pid": launcher.pid, "uid": os.geteuid(), "user": me},
            "directory": os.path.realpath(bus_env.runtime),
        }
        lines = [line.split() for line in run_cli("list").stdout.splitlines()]
        assert [bus_name, "ready", str(launcher.pid), me, os.path.realpath(bus_env.runtime)] in lines
        wrong = run_cli("status", "--bus", "another")
        assert wrong.returncode == 1
        assert (
            f"looked in {os.path.realpath(bus_env.runtime)}, where there is {bus_name} (ready)"
            in wrong.stdout
        )
        wrong = run_cli("msg", "--bus", "another", "x")
        assert wrong.returncode == 1 and f"{bus_name} (ready)" in wrong.stderr
        elsewhere = run_cli("status", env={**os.environ, "IPCMULES_RUNTIME_DIR": str(tmp_path / "none")})
        assert elsewhere.returncode == 1
        assert f"looked in {tmp_path / 'none'}, where there is no bus" in elsewhere.stdout
    assert bus_name not in [each["bus"] for each in listed()]


COMMANDS = (
    *(("status",), ("msg", "x"), ("signal", "17"), ("dead", "list"), ("events",), ("tasks", "list")),
    *(("stop",), ("reload",), ("spool", "a=1")),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_and_a_bus_of_another_user(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """A bus of this user whose directories are given away for a moment: that is all that root can see of
    one."""
    nobody = pwd.getpwnam("nobody").pw_uid
    with Launcher("--bus", bus_name, "--mules", "1", cwd=tmp_path) as launcher:
        paths = [bus_env.runtime, bus_env.runtime / bus_name, bus_env.runtime / f"{bus_name}.lock"]
        for path in paths:
            os.chown(path, nobody, -1)
        try:
            said = set()
            for arguments in COMMANDS:
                done = run_cli(*arguments, "--bus", bus_name)
                assert done.returncode == 1 and not done.stdout, (arguments, done)
                said.add(done.stderr)
            (sentence,) = said
            assert f"belongs to uid {nobody}, this process is uid 0" in sentence, sentence
            assert "sudo -u nobody IPCMULES_RUNTIME_DIR=" in sentence, sentence
            (one,) = (each for each in listed() if each["bus"] == bus_name)
            assert (one["state"], one["pid"], one["user"]) == ("running", launcher.pid, "nobody")
        finally:
            for path in paths:
                os.chown(path, 0, -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks at others' directories")
def test_what_others_put_there_is_not_followed(bus_env: BusEnvironment) -> None:
    bus_env.runtime.mkdir(mode=0o700)
    os.mkfifo(bus_env.runtime / "pipe.lock")
    (bus_env.runtime / "link.lock").symlink_to("/etc/passwd")
    (bus_env.runtime / "x\x1b.lock").touch()
    os.chown(bus_env.runtime, pwd.getpwnam("nobody").pw_uid, -1)
    assert [each["bus"] for each in listed() if str(bus_env.runtime) in str(each["directory"])] == []
    os.chown(bus_env.runtime, 0, -1)
    shutil.rmtree(bus_env.runtime)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_dead_letters_of_another_user(bus_env: BusEnvironment, bus_name: str) -> None:
    (bus_env.state / bus_name).mkdir(parents=True)
    os.chown(bus_env.state / bus_name, pwd.getpwnam("nobody").pw_uid, -1)
    done = run_cli("dead", "list", "--bus", bus_name)
    assert done.returncode == 1 and "sudo -u nobody" in done.stderr, done
