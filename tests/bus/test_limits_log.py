"""A log that nobody reads holds nobody up, and says afterwards what it has dropped."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ipcmules
import narrow
import scripts
from conftest import CHECKOUT, BusEnvironment
from support import run_cli, wait_until

#: Writes lines to stderr, which is not read, then waits for a byte and logs once more.
TALKER = textwrap.dedent("""
    import os, sys
    from ipcmules.kernel import lines; from ipcmules.bus import log
    log.configure()
    for number in range(3000):
        log.event("info", f"line {number} " + "x" * 80)
    print("waits", lines.waits(), flush=True)
    for each in sys.stdin:
        log.drain()
        print("waits", lines.waits(), flush=True)
    log.event("info", "the last one")
""")


@pytest.mark.parametrize("kind", ["pipe", "socket", "closed to us"])
def test_lines_wait_are_dropped_and_counted(kind: str) -> None:
    if kind == "socket":
        ours, theirs = socket.socketpair()
        reader, writer = ours.detach(), theirs.detach()
    else:
        reader, writer = os.pipe()
    source = TALKER
    if kind == "closed to us":  # as where another user opened it
        if os.geteuid():
            pytest.skip("needs root, to become another user")
        source = TALKER.replace("log.configure()", "log.configure(); log.prepare(); os.setuid(65534)")
    talker = subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        cwd=CHECKOUT,
    )
    os.close(writer)
    with talker, os.fdopen(reader, "rb") as log:
        assert talker.stdin and talker.stdout
        assert talker.stdout.readline() == "waits True\n"
        os.set_blocking(log.fileno(), False)
        text, waits = _read(log.fileno()), "waits True\n"
        while waits == "waits True\n":
            talker.stdin.write("\n")
            talker.stdin.flush()
            waits = talker.stdout.readline()
            text += _read(log.fileno())
        talker.stdin.close()
        talker.wait(20)
        text += _read(log.fileno())
    lines = text.decode().splitlines()
    numbers = [int(line.split(" line ")[1].split()[0]) for line in lines if " line " in line]
    assert numbers == sorted(set(numbers)) and len(numbers) < 3000
    assert f" {3000 - len(numbers)} lines of this process were dropped" in lines[-2]
    assert lines[-1].endswith("the last one")


def _read(descriptor: int) -> bytes:
    parts = []
    try:
        while part := os.read(descriptor, 1 << 20):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts)


APP = """
import ipcmules
def hook(message):
    raise RuntimeError("on purpose " + "x" * 1000)
ipcmules.install_mule_msg_hook(hook)
"""


def test_a_bus_whose_log_nobody_reads_works_and_stops(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "app.py", APP)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    spool = tmp_path / "spool"
    options = ["--bus", bus_name, "--mules", "2", "--import", "app", "--spooler", str(spool)]
    master = subprocess.Popen(narrow.ipcmules("run", *options), stderr=writer, cwd=tmp_path)
    os.close(writer)
    try:

        def status() -> dict[str, object]:
            found: dict[str, object] = json.loads(
                run_cli("status", "--bus", bus_name, "--json").stdout or "{}"
            )
            return found

        wait_until(lambda: status().get("state") == "ready")
        with ipcmules.attach(bus_name) as bus:
            assert all(bus.mule_msg(b"x") for _ in range(40))

        def handled() -> bool:
            mules = status()["mules"]
            assert isinstance(mules, list)
            return sum(each["messages"] for each in mules) == 40 and not any(
                each["state"] == "busy" for each in mules
            )

        wait_until(handled)
        mules = status()["mules"]
        assert isinstance(mules, list)
        os.kill(mules[0]["pid"], signal.SIGKILL)
        assert run_cli("spool", "--bus", bus_name, "a=b").returncode == 0
        assert run_cli("stop", "--bus", bus_name).returncode == 0
        assert master.wait(20) == 0
    finally:
        if master.poll() is None:
            master.kill()
            master.wait()
        os.close(reader)
