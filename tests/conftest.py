"""Fixtures: a bus name, an environment of its own for every test, and the check that nothing is left."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import leftovers
from realuwsgi import start_uwsgi, uwsgi_binary  # noqa: F401 # fixtures of tests/interop

CHECKOUT = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)


class BusEnvironment(dict[str, str]):
    """The environment variables of a test's buses. `directory` is the test's own, short, below /tmp."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            IPCMULES_RUNTIME_DIR=str(directory / "run"), IPCMULES_STATE_DIR=str(directory / "state")
        )
        self.directory = directory
        self.runtime = directory / "run"
        self.state = directory / "state"
        self.reason_to_leave = ""
        self.limit = -1  #: descriptor of the lock that large_bus makes exclusive

    def may_leave_objects(self, reason: str) -> None:
        """Call this where a bus cannot clean up, as a master killed for good. Processes must still end."""
        self.reason_to_leave = reason


@pytest.fixture
def bus_name() -> str:
    """A bus name that no other test of this machine uses."""
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def watched_directory() -> Iterator[Path]:
    """A short directory in which a watcher writes down every bus that appears."""
    directory = Path(tempfile.mkdtemp(prefix="im-", dir="/tmp"))
    watcher = subprocess.Popen(
        [sys.executable, "-S", str(CHECKOUT / "tests" / "watcher.py"), str(directory)], stdin=subprocess.PIPE
    )
    yield directory
    assert watcher.stdin
    watcher.stdin.close()
    watcher.wait(10)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def bus_env(watched_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BusEnvironment]:
    """Fresh runtime and state directories, set in os.environ; afterwards nothing of their buses may be left.

    Cleans up in every case, then fails the test that left something.
    """
    directory = watched_directory / str(next(_numbers))
    directory.mkdir(mode=0o700)
    environment = BusEnvironment(directory)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    if not _installed():
        paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with _queue_limit() as limit:
        environment.limit = limit
        yield environment
        left = leftovers.end_processes(environment.runtime, grace=3.0)
        objects = leftovers.remove_objects(environment.runtime, watched_directory / "seen")
    if not environment.reason_to_leave:
        left += objects
    shutil.rmtree(directory, ignore_errors=True)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def large_bus(bus_env: BusEnvironment) -> None:
    """For a bus of many mules, or of a large share of the limit: no other test has a bus meanwhile."""
    with _turnstile():
        # flock(2): the conversion gives the shared lock up first, so two that convert don't block each other.
        fcntl.flock(bus_env.limit, fcntl.LOCK_EX)


@contextlib.contextmanager
def _queue_limit() -> Iterator[int]:
    """Hold the user's RLIMIT_MSGQUEUE shared: it is the user's, not the process's, so tests share it.

    Yields the descriptor of the lock, which large_bus makes exclusive.
    """
    with _lock_file("limit").open("w") as file:
        with _turnstile():
            fcntl.flock(file, fcntl.LOCK_SH)
        yield file.fileno()


@contextlib.contextmanager
def _turnstile() -> Iterator[None]:
    """Everybody passes here before the limit's lock, so that who waits for all others comes to a turn."""
    with _lock_file("turnstile").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_file(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"ipcmules-tests-{os.geteuid()}.{name}")


def _installed() -> bool:
    try:
        importlib.metadata.distribution("ipcmules")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
