"""Fixtures of the tests with web servers: an application that notes what happens in which process."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import Launcher, wait_until

#: Appends a line to a file: one write, so lines of several processes do not mix.
TASKS = """
import os, uwsgi
from uwsgidecorators import timer, signal

def note(what, **more):
    line = f"{what} {os.getpid()} {os.getppid()} {uwsgi.worker_id()} {uwsgi.mule_id()}\\n"
    descriptor = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)

note("tasks")

@signal(7, target="workers")
def everybody(number):
    note("everybody")

@signal(8, target="")
def somebody(number):
    note("somebody")
"""

SHOP = """
import json, os, uwsgi
from uwsgidecorators import postfork
from tasks import note

VERSION = 1
note("shop")
if uwsgi.worker_id() == 0:
    uwsgi.register_signal(99, "", lambda number: note("ninetynine"))
    uwsgi.add_rb_timer(99, 0, 1)

@postfork
def fork():
    note("postfork")

@postfork(1)
def first():
    note("postfork1")

uwsgi.post_fork_hook = lambda: note("hook")

def answer():
    workers = [each["id"] for each in uwsgi.workers()]
    return json.dumps([VERSION, os.getpid(), uwsgi.worker_id(), workers]).encode()

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer()})
"""


class Note(NamedTuple):
    """A line of the application: what happened in which process."""

    what: str
    pid: int
    parent: int
    worker: int
    mule: int


def notes(directory: Path, *what: str) -> list[Note]:
    """What the application in a directory noted: all, or what is of these kinds."""
    try:
        lines = (directory / "notes").read_text().splitlines()
    except FileNotFoundError:
        return []
    found = [Note(each.split()[0], *map(int, each.split()[1:])) for each in lines]
    return [each for each in found if not what or each.what in what]


class Site:
    """The application under a server; `launcher` is its bus."""

    def __init__(self, directory: Path, port: int, launcher: Launcher) -> None:
        self.directory = directory
        self.port = port
        self.launcher = launcher

    def ask(self) -> list[Any]:
        """[version, pid, worker number, numbers of the workers] of whichever worker answers."""

        def answer() -> list[Any] | None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", "/")
                found: list[Any] = json.loads(connection.getresponse().read())
                return found
            except (OSError, HTTPException, ValueError):
                return None  # it starts, or a worker is just ending
            finally:
                connection.close()

        return wait_until(answer, 30, "an answer")

    def notes(self, *what: str) -> list[Note]:
        """What the application noted, of these kinds."""
        return notes(self.directory, *what)

    def workers(self, count: int, without: Iterator[int] | set[int] = frozenset()) -> dict[int, int]:  # type: ignore[assignment]
        """Number and pid of the workers that ran their hook, once there are so many beside those without."""
        gone = set(without)

        def settled() -> dict[int, int] | None:
            found = {
                each.worker: each.pid for each in self.notes("hook") if each.pid not in gone and not each.mule
            }
            return found if len(found) >= count else None

        return wait_until(settled, 30, f"{count} workers that ran post_fork_hook\n{self.launcher.stderr}")


def program(name: str, *arguments: str) -> list[str]:
    """The command line of a server, or the test is skipped where it is not installed."""
    pytest.importorskip(name)
    return [sys.executable, "-m", name, *arguments]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: Server to its command line for an application and a port: two workers, but for 'uvicorn', which has one.
SERVERS: dict[str, Callable[[str], list[str]]] = {
    "gunicorn": lambda port: program("gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "shop:wsgi"),
    "gunicorn-preload": lambda port: program(
        "gunicorn", "-w", "2", "--threads", "2", "--preload", "-b", f"127.0.0.1:{port}", "shop:wsgi"
    ),
    "granian": lambda port: program(
        "granian",
        "--interface",
        "wsgi",
        "--workers",
        "2",
        "--respawn-interval",
        "0.1",
        "--port",
        port,
        "shop:wsgi",
    ),
    "granian-asgi": lambda port: program(
        "granian",
        "--interface",
        "asgi",
        "--workers",
        "2",
        "--respawn-interval",
        "0.1",
        "--port",
        port,
        "shop:asgi",
    ),
    "uvicorn": lambda port: program("uvicorn", "--port", port, "shop:asgi"),
    "uvicorn-workers": lambda port: program("uvicorn", "--workers", "2", "--port", port, "shop:asgi"),
}


@contextmanager
def site(
    directory: Path, bus: str, server: str, *options: str, source: str = SHOP, **environment: str
) -> Iterator[Site]:
    """The application under a server and --compat, with a mule and `import = tasks`."""
    (directory / "tasks.py").write_text(TASKS)
    (directory / "shop.py").write_text(source)
    port = free_port()
    with Launcher(
        *("--bus", bus, "--compat", "--mule", "--import", "tasks", *options),
        command=SERVERS[server](str(port)),
        cwd=directory,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    ) as launcher:
        yield Site(directory, port, launcher)
