"""Fixtures for tests/interop: the real uWSGI beside ours. `make interop` builds it; elsewhere $UWSGI may
name one, else these tests are
skipped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import wait_until


def _ours(name: str) -> bool:
    """Environment that is for our processes, and not for uWSGI's."""
    return name == "PYTHONPATH" or name.startswith("IPCMULES_")


def transcript(text: str) -> list[str]:
    """The lines of a program of calls (tests/interop/*_calls.py)."""
    return [line for line in text.splitlines() if line.startswith("CALL ")]


class Server:
    """A uWSGI that runs; its output is in a file."""

    def __init__(self, binary: str, directory: Path, *options: str) -> None:
        self.log = directory / "uwsgi.log"
        home = os.path.dirname(os.path.dirname(binary))
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [binary, "--master", "--die-on-term", "--home", home, "--socket", "127.0.0.1:0", *options],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not _ours(name)},
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it said so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, seconds: float = 30) -> None:
        """Wait until it said so."""
        try:
            wait_until(lambda: words in self.text, seconds, repr(words))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    @property
    def address(self) -> str:
        """Where it listens."""
        found = wait_until(lambda: re.search(r"bound to TCP address (127\.0\.0\.1:\d+)", self.text))
        self.wait_for("spawned uWSGI worker 1")
        return found[1]

    def end(self) -> None:
        """End it and all its processes."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def uwsgi_binary() -> str:
    """The path of a uWSGI 2.0.31."""
    beside = os.path.join(os.path.dirname(sys.executable), "uwsgi")
    found = os.environ.get("UWSGI") or (beside if os.path.exists(beside) else "")
    if not found or shutil.which(found) is None:
        pytest.skip("there is no real uWSGI: `make interop` builds one")
    return found


@pytest.fixture
def start_uwsgi(uwsgi_binary: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A function that starts a uWSGI in the test's directory."""
    running: list[Server] = []

    def begin(*options: str, directory: Path = tmp_path) -> Server:
        running.append(Server(uwsgi_binary, directory, *options))
        return running[-1]

    yield begin
    for each in running:
        each.end()
