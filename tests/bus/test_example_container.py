"""examples/container in what an engine makes of it: namespaces, a read-only root, another user than root.

unshare(1) makes it: processes, System V IPC, message queues, mounts. No engine is needed: what the Dockerfile
installs is this environment.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "container"
DOCKERFILE = (EXAMPLE / "Dockerfile").read_text().replace("\\\n", " ")
USER = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1]  # type: ignore[index]
OUTER = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
#: Drops to the user, without capabilities; files of root look like that user's, and are read-only anyway.
INNER = ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}", "--"]
#: A read-only root file system, an empty /dev/shm of the usual mode, and the volume.
MOUNTS = """
mount --bind "$VOLUME" "$VOLUME"
mount -o remount,bind,ro /
grep -o ' /[^ ]* ' /proc/self/mounts | grep -q ' /tmp ' && mount -o remount,bind,ro /tmp
mount -t tmpfs -o mode=$MODE,size=64m tmpfs /dev/shm
cd "$APP" && exec "$@"
"""


def possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*OUTER, *INNER, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not possible(), reason="no namespaces can be had here")


def environment(volume: Path) -> dict[str, str]:
    """ENV of the Dockerfile, the volume where this test has it; the home of its user."""
    text = re.search(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    assert text
    found = dict(each.split("=", 1) for each in shlex.split(text[1]))
    path = f"{os.path.dirname(sys.executable)}:/usr/bin:/bin"
    moved = {key: value.replace("/var/lib/shop", str(volume)) for key, value in found.items()}
    return {**moved, "PATH": path, "HOME": "/nonexistent"}


def words(volume: Path) -> list[str]:
    """CMD of the Dockerfile; the server at a socket in the volume, for networks are not what is tried."""
    text = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert text
    given: list[str] = json.loads(text[1])
    at = {"0.0.0.0:8000": f"unix:{volume}/web.sock", "/var/lib/shop/spool": f"{volume}/spool"}
    return [at.get(each, each) for each in given]


def container(volume: Path, mode: str = "1777") -> subprocess.Popen[str]:
    inside = ["sh", "-ec", MOUNTS, "sh", *INNER, *words(volume)]
    return subprocess.Popen(
        [*OUTER, *inside],
        env={**environment(volume), "VOLUME": str(volume), "APP": str(EXAMPLE), "MODE": mode},
        stdout=(volume.parent / "log").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def volume() -> Iterator[Path]:
    """Short: a socket's path has 107 bytes."""
    above = Path(f"/tmp/imc-{os.getpid()}")
    (above / "v").mkdir(parents=True, mode=0o700)
    yield above / "v"
    shutil.rmtree(above)


def ask(volume: Path, path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(f"{volume}/web.sock")
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return client.makefile().read()


def test_as_another_user_with_a_read_only_root(volume: Path) -> None:
    log = volume.parent / "log"
    running = container(volume)
    try:
        wait_until(lambda: "ready: 2 mules" in log.read_text() or running.poll() is not None, 60, "the bus")
        wait_until(lambda: (volume / "web.sock").exists() or running.poll() is not None, 60, "the server")
        assert running.poll() is None, log.read_text()
        assert f"order 7 taken by uid {USER}, read-only root: True" in ask(volume, "/7")
        wait_until(lambda: "order 7 is confirmed" in log.read_text(), 60, "the task")
        wait_until(lambda: "counted order 7" in log.read_text(), 60, "the mule's work")
        (first,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)  # as an engine does: to process 1
        assert running.wait(60) == 0, log.read_text()
    finally:
        running.kill()
        running.wait()
    assert "read-only file system" not in log.read_text().lower()
    assert list((volume / "spool").glob("uwsgi_spoolfile*")) == []


def test_shared_memory_that_everybody_may_clean_is_refused(volume: Path) -> None:
    """An emptyDir of Kubernetes': mode 0777 without the sticky bit."""
    running = container(volume, mode="0777")
    assert running.wait(60) == 1
    assert "everybody can write to /dev/shm" in (volume.parent / "log").read_text()


def test_a_user_without_a_home(volume: Path) -> None:
    """A number that the user database does not know, without HOME, is told what to set; or has a unit's."""
    plain = {"PATH": environment(volume)["PATH"]}
    start = [*INNER, "ipcmules", "run", "--bus", "homeless", "--mule", "--", "ipcmules", "status"]

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        inside = [*OUTER, "sh", "-ec", 'cd "$1"; shift; exec "$@"', "sh", str(volume), *start]
        return subprocess.run(
            inside, env={**plain, **variables}, capture_output=True, text=True, timeout=60, check=False
        )

    refused = run(IPCMULES_RUNTIME_DIR=str(volume / "r"))
    assert refused.returncode == 1 and f"uid {USER} has no home" in refused.stderr, refused.stderr
    assert "set IPCMULES_STATE_DIR to a directory of your own" in refused.stderr
    assert list(volume.iterdir()) == []
    served = run(RUNTIME_DIRECTORY=str(volume), STATE_DIRECTORY=str(volume))
    assert served.returncode == 0 and "bus homeless: ready" in served.stdout, served.stderr
    assert os.listdir(volume) == ["ipcmules"]
