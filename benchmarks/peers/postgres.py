"""A PostgreSQL server of its own, on a socket in a directory, which does not wait for the disk.

It refuses to be root: where the benchmark is, it is the user postgres, whom its packages make.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.workspace import BenchError, Skip, Workspace, end

_USER = "postgres"


def programs() -> str:
    """The directory of initdb and postgres. Raises Skip where there is none."""
    found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))), None)
    if found is None:
        raise Skip("there is no PostgreSQL (the package postgresql has one)")
    if not os.geteuid() and shutil.which("setpriv") is None:
        raise Skip("PostgreSQL does not run as root, and there is no setpriv to run it as another user")
    return os.path.dirname(os.path.realpath(found))


@contextmanager
def server(work: Workspace, parent: str) -> Iterator[str]:
    """A running server below a directory; gives what libpq connects by."""
    data, before = os.path.join(parent, "postgres"), _before()
    os.mkdir(data, 0o700)
    if before:
        os.chmod(parent, 0o711)
        shutil.chown(data, _USER, _USER)
    bin_ = programs()
    make = [*before, f"{bin_}/initdb", "-D", f"{data}/db", "-U", _USER, "-A", "trust", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, timeout=60, cwd="/")
    quick = ["-c", "fsync=off", "-c", "listen_addresses=", "-k", data]
    child = work.start([*before, f"{bin_}/postgres", "-D", f"{data}/db", *quick])
    try:
        _wait_for(bin_, data)
        yield f"host={data} user={_USER} dbname=postgres"
    finally:
        end(child, 2, 15)  # SIGINT: it does not wait for its clients


def _before() -> list[str]:
    """What stands before its commands."""
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--pdeathsig=INT"]


def _wait_for(bin_: str, socket: str) -> None:
    deadline = time.monotonic() + 60
    while subprocess.run([f"{bin_}/pg_isready", "-q", "-h", socket], check=False).returncode:
        if time.monotonic() > deadline:
            raise BenchError("PostgreSQL did not start within 60 s")
        time.sleep(0.05)
