"""--spooler-ordered beside the real uWSGI's: what comes while a task runs goes by priority, then time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules.spooler import request
from ipcmules.spooler.enqueue import Writer
from support import Launcher, wait_until

APP = """
import os, time
BASE = os.path.dirname(os.path.abspath(__file__))
try:
    import uwsgi
except ImportError:
    uwsgi = None
    import ipcmules

def run(task):
    with open(BASE + "/ran", "ab", buffering=0) as file:
        file.write(task[b"key"] + b"\\n")
    while task[b"key"] == b"hold" and not os.path.exists(BASE + "/go"):
        time.sleep(0.01)
    return -2

if uwsgi:
    uwsgi.spooler = run
else:
    ipcmules.set_spooler(run)
"""
PRIORITIES = (2, 0, 1, 0, 1, 0, 1, 1, 2)


def _put(spool: Path, **task: object) -> None:
    head, body, at, priority, _spooler = request.read(task)
    Writer(str(spool)).put(head, body, at, priority)


def _order(spool: Path) -> str:
    """Fill a directory whose spooler holds, let it go on, and see in which order it does."""
    ran = spool.parent / "ran"
    _put(spool, key="hold")
    wait_until(ran.exists, 40, "the first task")
    for priority in PRIORITIES:
        _put(spool, key=str(priority), priority=priority)
    (spool.parent / "go").touch()
    wait_until(lambda: len(ran.read_text().splitlines()) == 1 + len(PRIORITIES), 40, "all tasks")
    (spool.parent / "go").unlink()
    order = "".join(ran.read_text().splitlines()[1:])
    ran.unlink()
    return order


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "ordered_app.py").write_text(APP)
    made = tmp_path / "tasks"
    made.mkdir(mode=0o750)
    return made


def test_the_order_is_that_of_uwsgi(
    spool: Path, start_uwsgi: Callable[..., object], bus_env: BusEnvironment, bus_name: str
) -> None:
    options = ("--spooler-ordered", "--spooler-frequency", "1")
    with Launcher(
        "--bus", bus_name, "--spooler", str(spool), "--import", "ordered_app", *options, cwd=spool.parent
    ):
        ours = _order(spool)
    home = ("--pythonpath", str(spool.parent), "--import", "ordered_app", "--spooler-import", "ordered_app")
    start_uwsgi("--spooler", os.fspath(spool), *home, *options)
    assert _order(spool) == ours == "".join(map(str, sorted(PRIORITIES)))
