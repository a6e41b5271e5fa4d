"""Calls of @mulefunc that reach a programmed mule, programs behind PATH, a Python that uid cannot read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import Launcher, run_cli

APP = """
import ipcmules
from ipcmules.decorators import mulefunc

@mulefunc
def called(text):
    print("called", text, "in mule", ipcmules.mule_id(), flush=True)
    if text == "bad":
        raise KeyError(text)
"""
RECEIVE = """
import app, ipcmules
while True:
    print("got", ipcmules.mule_get_msg(), flush=True)
"""
TIMEOUT = """
import app, ipcmules, time
print("up", flush=True)
while ipcmules.mule_get_msg(timeout=0) is None: pass
began = time.monotonic()
print("got", ipcmules.mule_get_msg(timeout=1), 0.9 < time.monotonic() - began, flush=True)
while True:
    ipcmules.mule_get_msg()
"""
ASYNC = """
import app, asyncio
from ipcmules import aio
async def main():
    async for message in aio.messages():
        print("got", message, flush=True)
asyncio.run(main())
"""
FARM = RECEIVE.replace("mule_get_msg", "farm_get_msg")


@pytest.mark.parametrize(
    ("program", "target"),
    [(RECEIVE, "0"), (ASYNC, "0"), (FARM, "'mail'")],
    ids=["program", "asyncio", "farm"],
)
def test_a_programmed_mule_runs_calls_and_gets_messages(
    bus_env: object, bus_name: str, tmp_path: Path, program: str, target: str
) -> None:
    (tmp_path / "app.py").write_text(APP.replace("@mulefunc", f"@mulefunc({target})"))
    (tmp_path / "program.py").write_text(program)
    send = (
        "import app, ipcmules\n"
        "for text in ('one', 'bad', 'two'):\n"
        "    app.called(text)\n"
        f"    ipcmules.mule_msg(text, {target})\n"
        "    ipcmules.mule_msg(b'\\0' + text.encode(), " + target + ")\n"
        "ipcmules.flush()\n"
    )
    options = ("--bus", bus_name, "--import", "app", "--mule=program.py", "--farm", "mail:1")
    with Launcher(*options, cwd=tmp_path) as launcher:
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environment, check=True, timeout=30)
        launcher.wait_output("got b'\\x00two'")
        expected = []
        for text in ("one", "bad", "two"):
            expected += [f"called {text} in mule 1", f"got b'{text}'", f"got b'\\x00{text}'"]
        assert launcher.stdout.splitlines() == expected
        launcher.wait_log("KeyError: 'bad'")


def test_a_call_does_not_make_a_wait_longer(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "program.py").write_text(TIMEOUT)
    with Launcher("--bus", bus_name, "--import", "app", "--mule=program.py", cwd=tmp_path) as launcher:
        launcher.wait_output("up")
        send = "import app, ipcmules\nipcmules.mule_msg('go')\napp.called('now')\nipcmules.flush()\n"
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environment, check=True, timeout=30)
        launcher.wait_output("got None True")
        launcher.wait_output("called now")


def test_programs_of_this_python_are_found_behind_path(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    own = os.path.dirname(sys.executable)
    paths = [each for each in os.environ["PATH"].split(os.pathsep) if each != own]
    environment = {**os.environ, "PATH": os.pathsep.join(paths)}
    with Launcher("--bus", bus_name, command=["gunicorn", "--version"], env=environment) as launcher:
        assert launcher.wait() == 0
    assert "gunicorn" in launcher.stdout

    for each in ("gunicorn", "daemon"):  # what PATH has itself comes first
        (tmp_path / each).write_text("#!/bin/sh\necho mine; exec sleep 600")
        (tmp_path / each).chmod(0o755)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    with Launcher("--bus", bus_name, "--attach-daemon", "gunicorn", env=environment) as launcher:
        launcher.wait_output("mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_python_that_the_user_cannot_read(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    blocked = _closed(os.path.realpath(sys.executable))
    if blocked is None:
        pytest.skip("everybody can read this Python")
    (tmp_path / "app.ini").write_text("[uwsgi]\nuid = nobody\n")
    refused = run_cli("run", "--bus", bus_name, "--ini", str(tmp_path / "app.ini"))
    assert refused.returncode == 2
    assert "uid: user 'nobody' cannot read" in refused.stderr
    assert f"no access to {blocked}" in refused.stderr


def _closed(path: str) -> str | None:
    """The uppermost directory on the way to a file that others may not enter."""
    found = None
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            found = path
    return found
