"""What tests of the page share: a bus with everything that it shows, and a client of its HTTP.

Import it as `from webpage import Client, Shown` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handled import Handled
from ipcmules.bus.places import Places, places
from ipcmules.messages import kept
from scripts import write
from support import Launcher, run_cli, wait_until

#: Bytes that are no text, quotes, tags, a right-to-left override.
HOSTILE = "<script>alert(1)</script>\"'&\u202e\udcff\x1b[31m\n"

EVENTS = """
from ipcmules.decorators import timer, cron, mulefunc, signal
from tasks_app import note

@timer(3600, target="mule1")
def seldom(signum):
    note(task={"key": "seldom"})

@cron("0 3 * * *", tz="Europe/Rome", target="mule1")
def nightly(signum):
    note(task={"key": "nightly"})

@mulefunc
def heard(what):
    note(task={"key": what})
"""


class Answer:
    """code, headers in small letters, body; json: of that."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.code = answer.status
        self.headers = {key.lower(): value for key, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a page at HOST:PORT, or at the path of a socket."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token

    def ask(self, path: str, body: Any = None, **headers: str) -> Answer:
        """GET, or POST where there is a body; the token goes along unless headers say otherwise."""
        connection = self._connection()
        given = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            given["Content-Type"] = "application/json"
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("GET" if data is None else "POST", path, data, given)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """What is at a path below /api."""
        answer = self.ask(f"/api/{path}")
        assert answer.code == 200, answer.body
        return answer.json

    def do(self, path: str, **given: Any) -> Any:
        """Do something."""
        answer = self.ask(f"/api/{path}", given)
        assert answer.code == 200, answer.body
        return answer.json

    def _connection(self) -> http.client.HTTPConnection:
        if "/" not in self.address:
            host, _colon, port = self.address.rpartition(":")
            return http.client.HTTPConnection(host, int(port), timeout=60)
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.address)
        return connection


class Shown(Handled):
    """A bus with tasks of all kinds, dead letters, events, and a page."""

    def __init__(self, directory: Path, bus: str) -> None:
        super().__init__(directory, bus)
        self.bus = bus
        write(directory, "events_app.py", EVENTS)

    @contextmanager
    def page(self, *options: str) -> Iterator[tuple[Launcher, Client]]:
        """The bus and a client of its page."""
        given = ("--import", "events_app", "--mules", "2", "--web", "127.0.0.1:0", "--web", "page.sock")
        with self.start(*given, "--cron", "0 4 * * * echo cron-said", *options) as launcher:
            yield launcher, Client(address_of(launcher), token_of(self.bus))

    @property
    def where(self) -> Places:
        """The bus's places."""
        return places(self.bus)

    def letter(self, data: bytes, endpoint: str = "pool", reason: str = "for a test") -> str:
        """A dead letter; returns its ID."""
        path = kept.keep(self.where, data, endpoint, reason, "mule1")
        return os.path.basename(path).removesuffix(".msg")


def address_of(launcher: Launcher) -> str:
    """Where the page is, as the log says."""

    def look() -> str:
        lines = launcher.stderr.splitlines()
        found = [each for each in lines if "serving the page" in each and "127.0.0.1:" in each]
        return found[-1].rpartition(" ")[2] if found else ""

    return wait_until(look, what="the page's address")


def token_of(bus: str) -> str:
    """The token of a bus's page."""
    told = run_cli("web", "--token", "--bus", bus)
    assert told.returncode == 0, told
    return str(told.stdout).strip()
