"""Fixtures: a bus name, an environment of its own for every test, and the check that nothing is left."""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import importlib.metadata
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, settings

import leftovers
from ipcmules.api import presence
from ipcmules.member import membership
from ipcmules.messages import sizing
from natsservers import servers  # noqa: F401 # a fixture of the cluster's tests
from realuwsgi import start_uwsgi, uwsgi_binary  # noqa: F401 # fixtures of tests/interop

# How long an example takes says what else the machine does.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

CHECKOUT = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)

#: Bytes of RLIMIT_MSGQUEUE that a test may have for its buses: about two mules, the pool and two farms. By
#: the usual limit of 819,200 that is four at a time: some take more, and a fifth found nothing left once.
PART = 200_000


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

    def may_leave_objects(self, reason: str) -> None:
        """Call this where a bus cannot clean up, as a master killed for good. Processes must still end."""
        self.reason_to_leave = reason


def pytest_configure(config: pytest.Config) -> None:
    """Hundreds of Pythons load this package: its bytecode is there, whether they may write any or not.

    Apps that tests write are compiled anew by each: one of the same size in the same second would be taken
    for the old one (by the rule for .pyc files in importlib).
    """
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(CHECKOUT / "ipcmules", quiet=2)


@pytest.fixture(autouse=True)
def _registers_for_itself() -> Iterator[None]:
    """What a test registers in its own process is gone with it: the next test serves no signals yet."""
    yield
    presence.stop()
    for each in list(membership.registry.registrations()):
        membership.registry._forget(each)


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
def bus_env(
    watched_directory: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[BusEnvironment]:
    """Fresh runtime and state directories, set in os.environ; afterwards nothing of their buses may be left.

    Cleans up in every case, then fails the test that left something.
    """
    directory = watched_directory / str(next(_numbers))
    directory.mkdir(mode=0o700)
    older = leftovers.running()
    environment = BusEnvironment(directory)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    if not _installed():
        paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with _queue_bytes(everything="large_bus" in request.fixturenames):
        yield environment
        left = leftovers.end_processes(environment.runtime, 3.0, older)
        objects = leftovers.remove_objects(environment.runtime, watched_directory / "seen")
    if not environment.reason_to_leave:
        left += objects
    shutil.rmtree(directory, ignore_errors=True)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def large_bus(bus_env: BusEnvironment) -> None:
    """For a bus of many mules, or of a large share of the limit: no other test has a bus meanwhile."""


@contextlib.contextmanager
def _queue_bytes(everything: bool) -> Iterator[None]:
    """Hold a part of the user's RLIMIT_MSGQUEUE, or all of it.

    The limit is the user's, not the process's: all workers of all suites that run here share it. A bus takes
    what is left if that is less than it would like, but its tests want room, and the last one finds none.
    """
    parts = max(1, min(sizing.limits().bytes // PART, 64))
    with contextlib.ExitStack() as stack:
        # Everybody passes the turnstile, so that who waits for all parts comes to a turn.
        with _lock_file("turnstile").open("w") as turnstile:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            files = [stack.enter_context(_lock_file(f"part{number}").open("w")) for number in range(parts)]
            if everything:
                for each in files:
                    fcntl.flock(each, fcntl.LOCK_EX)
            else:
                while not any(map(_locked, files)):
                    time.sleep(0.005)
        for each in files:
            # Not by closing alone: a child that the test forked has the same open file (flock(2)).
            stack.callback(fcntl.flock, each, fcntl.LOCK_UN)
        yield


def _locked(file: IO[str]) -> bool:
    """Lock it if nobody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"ipcmules-tests-{os.geteuid()}.{name}")


def _installed() -> bool:
    try:
        importlib.metadata.distribution("ipcmules")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
