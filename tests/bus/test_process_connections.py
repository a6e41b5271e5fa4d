"""Django's connections: closed around tasks, and nobody's who is forked from where they were opened."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import BusEnvironment
from spoolers import Spooling

pytest.importorskip("django")

BACKEND = """
import json, os, sqlite3
from django.db.backends.sqlite3 import base

def note(**what):
    with open(os.environ["OPENED"], "ab", buffering=0) as file:
        file.write(json.dumps({"pid": os.getpid(), **what}).encode() + b"\\n")

class Connection(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.opened_by = os.getpid()
        self.number = os.urandom(8).hex()
        self.file = os.open(os.environ["SERVER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        note(opened=self.file)
    def fileno(self):
        return self.file
    def close(self):
        os.write(self.file, b"goodbye of %d to %d\\n" % (os.getpid(), self.opened_by))
        note(closed=self.opened_by)
        super().close()

class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self):
        return {**super().get_connection_params(), "factory": Connection}
    def is_usable(self):
        try:
            self.connection.execute("select 1")
        except sqlite3.Error:
            return False
        return True
"""

APP = """
import asyncio, os, sqlite3
from pathlib import Path
from django.conf import settings
settings.configure(DATABASES={"default": {
    "ENGINE": "backend", "NAME": "shop.db", "CONN_MAX_AGE": json_age,
}}, TIME_ZONE="Asia/Tokyo", USE_TZ=True)
import django
django.setup()
from asgiref.sync import sync_to_async
from django.db import connection
from ipcmules.decorators import mulefunc, spool
from tasks_app import note

def ask():
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)

ask()  # at import: the template's

@spool(pass_arguments=True, retries=2, backoff=0.05)
def task(key, breaks=False):
    mine = connection.connection is None or connection.connection.opened_by == os.getpid()
    note(task={"key": key, "mine": str(mine), "connection": getattr(connection.connection, "number", "")})
    if breaks and not os.path.exists("broken"):
        open("broken", "w").close()
        ask()
        sqlite3.Connection.close(connection.connection)  # as a server does
    ask()

@spool(pass_arguments=True, retries=2, backoff=0.05)
async def later(key, breaks=False):
    await sync_to_async(ask)()
    for _ in range(2000 if key.startswith("met") else 0):  # until the other one is there
        if len(list(Path().glob("met*"))) == 2:
            break
        Path(key).touch()
        await asyncio.sleep(0.01)
    await sync_to_async(task.call)(key, breaks)

@mulefunc(1)
def in_a_mule(key):
    ask()
    note(task={"key": key, "mine": str(connection.connection.opened_by == os.getpid())})
"""


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Iterator[Spooling]:
    made = Spooling(bus_env.directory, bus_name)
    (made.home / "backend").mkdir()
    (made.home / "backend" / "__init__.py").touch()
    (made.home / "backend" / "base.py").write_text(BACKEND)
    yield made


def _start(spooling: Spooling, age: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    (spooling.home / "shop.py").write_text(APP.replace("json_age", age))
    monkeypatch.setenv("OPENED", str(spooling.home / "opened"))
    monkeypatch.setenv("SERVER", str(spooling.home / "server"))
    return spooling.start("--import", "shop", *options)


def _call(spooling: Spooling, *args: Any, function: str = "task", **kwargs: Any) -> None:
    packed = {"args": pickle.dumps(args), "kwargs": pickle.dumps(kwargs)}
    spooling.put(ud_spool_func=function, ud_spool_ret="-2", **packed)


def _opened(path: Path) -> list[dict[str, int]]:
    return [json.loads(each) for each in path.read_text().splitlines()]


def test_a_connection_of_the_import_is_used_and_closed_by_nobody_else(
    spooling: Spooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _start(
        *(spooling, "0", monkeypatch, "--spooler-processes", "2", "--mules", "1"),
        *("--", "python3", "-c", "import time; time.sleep(99)"),
    ) as launcher:
        spoolers = {each["pid"] for each in spooling.status()["spoolers"]}
        for number in range(4):
            _call(spooling, f"n{number}")
            _call(spooling, f"later{number}", function="later")
        spooling.wait_runs(8)
        spooling.wait_empty()
        said = launcher.stderr
    assert {each["task"]["mine"] for each in spooling.runs()} == {"True"}
    events = _opened(spooling.home / "opened")
    template, others = events[0]["pid"], events[1:]
    assert template not in spoolers and {each["pid"] for each in others} <= spoolers
    assert all(each.get("closed", each["pid"]) == each["pid"] for each in others)
    # Each task closed what it opened (CONN_MAX_AGE 0).
    assert sum("opened" in each for each in others) == sum("closed" in each for each in others) == 8
    server = (spooling.home / "server").read_text()
    assert f"to {template}\n" not in server and server.count("goodbye") == 8
    # And the zone of Django's processes does not show in the log.
    assert all(line[23:29] == "+00:00" for line in said.splitlines() if line[:4].isdigit())


def test_a_connection_that_the_server_closed_is_made_anew(
    spooling: Spooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _start(spooling, "None", monkeypatch):
        _call(spooling, "one", breaks=True)
        spooling.wait_runs(2)
        spooling.wait_empty()
    assert spooling.ran() == ["one", "one"] and not spooling.dead()


def test_coroutines_beside_one_another_have_connections_of_their_own(
    spooling: Spooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _start(spooling, "None", monkeypatch, "--spooler-processes", "1", "--spooler-async", "4"):
        _call(spooling, "met1", function="later")
        _call(spooling, "met2", function="later")
        met = spooling.wait_runs(2)
        _call(spooling, "broken", function="later", breaks=True)
        spooling.wait_runs(4)
        spooling.wait_empty()
    assert len({each["task"]["connection"] for each in met}) == 2
    assert spooling.ran()[2:] == ["broken", "broken"] and not spooling.dead()
    others = _opened(spooling.home / "opened")[1:]
    assert sum("opened" in each for each in others) == 4
    # But for the one that its server had closed.
    assert sum("closed" in each for each in others) >= 3
