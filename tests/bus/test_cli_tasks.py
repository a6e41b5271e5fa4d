"""`ipcmules spool` and `ipcmules tasks`, without a bus and beside one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import BusEnvironment
from ipcmules.spooler import attempts, calls, codec, request
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task
from support import Launcher, run_cli, wait_until


@pytest.fixture
def spool(bus_env: BusEnvironment) -> Path:
    """A spool directory of a test without a bus."""
    path = bus_env.directory / "spool"
    Store(str(path)).prepare()
    return path


def put(spool: Path, **arguments: object) -> str:
    return Writer(str(spool)).put(*request.read(arguments)[:4])


def fail(spool: Path, name: str, policy: attempts.Policy) -> None:
    task = Store(str(spool)).claim(name)
    assert isinstance(task, Task)
    task.failed("ValueError: no", "Traceback (most recent call last):\n  here", policy)


def listed(*arguments: str) -> list[dict[str, Any]]:
    done = run_cli("tasks", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def identity(name: str) -> str:
    return os.path.basename(name).removeprefix("uwsgi_spoolfile_on_")


def cli(*arguments: str, code: int = 0, **more: Any) -> str:
    done = run_cli(*arguments, **more)
    assert done.returncode == code, done.stderr
    assert "Traceback (" not in done.stderr
    return done.stdout if code == 0 else done.stderr


# spool


def test_spool_into_a_directory_without_a_bus(spool: Path) -> None:
    before = time.time()
    path = cli(
        "spool",
        "--spooler",
        str(spool),
        "--at",
        "+100",
        "--priority",
        "3",
        "--body",
        "-",
        "a=1=2",
        "b=",
        text_input="ä",
    ).strip()
    assert os.path.dirname(path) == str(spool / "3")
    data = Path(path).read_bytes()
    found, end = codec.unpack(data)
    assert (found[b"a"], found[b"b"], data[end:]) == (b"1=2", b"", "ä".encode())
    assert before + 99 < os.stat(path).st_mtime < time.time() + 101


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a"], "'a' is no argument: give KEY=VALUE"),
        (["=1"], "'=1' is no argument"),
        (["--at", "soon", "a=1"], "--at 'soon' is no time"),
        (["--priority", "../x", "a=1"], "priority='../x' is not a number"),
        (["at=soon"], "at=b'soon' is not a time"),
        (["a=" + "x" * 70_000], "'body'"),
    ],
)
def test_spool_refuses_what_cannot_be(spool: Path, arguments: list[str], text: str) -> None:
    error = cli("spool", "--spooler", str(spool), *arguments, code=2)
    assert text in error
    assert error.count("\n") == 1
    assert os.listdir(spool) == []


def test_spool_without_a_bus_or_a_directory(bus_env: BusEnvironment) -> None:
    assert "there is no running bus 'default'" in cli("spool", "a=1", code=1)


def test_spool_through_a_bus(bus_env: BusEnvironment, bus_name: str) -> None:
    ran = bus_env.directory / "ran"
    app = bus_env.directory / "app.py"
    app.write_text(
        "import ipcmules\n"
        "def run(task):\n"
        f"    open({str(ran)!r}, 'ab').write(task[b'a'] + b'\\n')\n"
        "    return ipcmules.SPOOL_OK\n"
        "ipcmules.set_spooler(run)\n"
    )
    spool, other = bus_env.directory / "spool", bus_env.directory / "other"
    with Launcher("--bus", bus_name, "--spooler", str(spool), "--import", str(app)) as launcher:
        path = cli("spool", "--bus", bus_name, "a=1").strip()
        assert os.path.dirname(path) == str(spool)
        wait_until(lambda: ran.exists() and ran.read_bytes() == b"1\n", what="the task")
        failed = cli("spool", "--bus", bus_name, "b=1").strip()  # its function raises
        wait_until(lambda: listed("--bus", bus_name, "--state", "scheduled"), what="the failure")
        assert "KeyError" in cli("tasks", "show", "--bus", bus_name, identity(failed))
        assert "none of this bus" in cli("spool", "--bus", bus_name, "--spooler", str(other), "a=1", code=1)
        cli("tasks", "drop", "--bus", bus_name, "--all")
        assert listed("--bus", bus_name) == []
    assert launcher.code == 0


# tasks


def test_tasks_of_every_state(spool: Path) -> None:
    names = {
        "queued": put(spool, a=1, ud_spool_func="mail"),
        "scheduled": put(spool, at=time.time() + 1000),
        "dead": put(spool, a=1, priority=2, ud_spool_func="mail"),
        "running": put(spool, a=1),
    }
    retrying = put(spool, n=1)
    fail(spool, names["dead"], attempts.Policy(1))
    fail(spool, retrying, attempts.Policy(5, 500.0))
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, 2); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(spool / names["running"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        found = {each["id"]: each for each in listed(str(spool))}
        table = cli("tasks", "list", str(spool))
        counted = json.loads(cli("tasks", "stats", str(spool), "--json"))
        refused = cli("tasks", "drop", str(spool / names["running"]), code=1)
        holder.kill()
    assert {state: found[identity(name)]["state"] for state, name in names.items()} == {
        each: each for each in names
    }
    assert found[identity(names["running"])]["pid"] == holder.pid
    assert found[identity(names["dead"])]["priority"] == "2"
    assert found[identity(names["dead"])]["function"] == "mail"
    assert found[identity(retrying)]["attempts"] == 1
    assert found[identity(retrying)]["reason"] == "ValueError: no"
    assert len(table.splitlines()) == 6
    assert all(identity(name) in table for name in names.values())
    assert counted[0]["states"] == {"queued": 1, "scheduled": 2, "running": 1, "dead": 1}
    assert counted[0]["functions"]["mail"] == {"queued": 1, "scheduled": 0, "running": 0, "dead": 1}
    assert f"pid {holder.pid}" in refused
    assert (spool / names["running"]).exists()


def test_filters(spool: Path) -> None:
    put(spool, ud_spool_func="mail")
    put(spool, ud_spool_func="other")
    old = spool / f"uwsgi_spoolfile_on_h_1_2_3_{int(time.time()) - 7200}_0"
    old.write_bytes(codec.pack({}))
    assert len(listed(str(spool))) == 3
    assert [each["function"] for each in listed(str(spool), "--function", "mail")] == ["mail"]
    assert [each["path"] for each in listed(str(spool), "--older", "1h")] == [str(old)]
    assert len(listed(str(spool), "--newer", "1h")) == 2
    assert listed(str(spool), "--state", "dead") == []
    assert len(listed(str(spool), "--limit", "1")) == 1
    cli("tasks", "drop", str(spool), "--older", "1h")
    assert not old.exists()
    for wrong in (["--state", "gone"], ["--older", "x"], ["--limit", "-1"]):
        assert wrong[1] in cli("tasks", "list", str(spool), *wrong, code=2)


def test_show_unpickles_nothing(spool: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(spool / "sprung"),)

    name = put(
        spool,
        ud_spool_func="mail",
        args=pickle.dumps((Trap(), "someone@example.org", {"n": 1})),
        kwargs=pickle.dumps({"subject": "hello"}),
        text="\x1b[31mred\n",
        raw=b"\xff\x00",
        body="the body",
    )
    shown = cli("tasks", "show", str(spool), identity(name))
    assert ", not loaded>, 'someone@example.org', {'n': 1})\n" in shown
    assert "  kwargs = {'subject': 'hello'}\n" in shown
    assert "\x1b" not in shown
    assert "\\xff" in shown
    assert cli("tasks", "show", str(spool / name), "--body") == "the body"
    assert json.loads(cli("tasks", "show", str(spool / name), "--json"))["body_size"] == 8
    assert not (spool / "sprung").exists()


def test_show_of_arguments_that_are_in_the_body(spool: Path) -> None:
    def mail(*_texts: str, **_headers: str) -> None:
        raise AssertionError("it is shown, not called")

    call = calls.SpoolFunction("mail", mail, pass_arguments=True).pack(("x" * 70_000,), {"subject": "hello"})
    shown = cli("tasks", "show", str(spool / put(spool, **call)))
    assert "args = (in the body)" in shown and "body = (('xxx" in shown and "{'subject': 'hello'})" in shown


def test_names_cannot_steer_the_terminal(spool: Path) -> None:
    name = "uwsgi_spoolfile_on_h_1_2_3_4_5\n\x1b]0;title\x07\u202e\udcff"
    os.rename(spool / put(spool, ud_spool_func=b"ma\x1bil\n", key=b"\x1b"), spool / name)
    fail(spool, put(spool, a=1), attempts.Policy(1))
    for arguments in (["list"], ["show", "4_5"], ["stats"], ["list", "--json"], ["drop", "--all"]):
        done = run_cli("tasks", arguments[0], str(spool), *arguments[1:])
        assert done.returncode == 0, done.stderr
        for bad in ("\x1b", "\x07", "\u202e", "5\n\\x1b"):
            assert bad not in done.stdout + done.stderr
    assert not os.listdir(spool) or os.listdir(spool) == ["dead"]


def test_show_of_a_dead_one_and_of_nonsense(spool: Path) -> None:
    name = put(spool, a=1)
    fail(spool, name, attempts.Policy(1))
    shown = cli("tasks", "show", str(spool), identity(name))
    assert "state: dead" in shown
    assert "reason: ValueError: no" in shown
    assert "Traceback (most recent call last):" in shown
    for other in ("nonsense", "nonsenses"):
        (spool / f"uwsgi_spoolfile_on_{other}").write_bytes(b"\x11\xff\xff\x00")
    assert "problem: its header promises" in cli("tasks", "show", str(spool), "nonsense")
    assert "no task has the ID 'nothing'" in cli("tasks", "show", str(spool), "nothing", code=2)
    assert "2 tasks have the ID" in cli("tasks", "show", str(spool), "sense", code=2)


def test_retry_and_drop(spool: Path) -> None:
    dead, waiting, planned = put(spool, a=1, priority=7), put(spool, a=2), put(spool, at=time.time() + 1000)
    fail(spool, dead, attempts.Policy(1))
    fail(spool, waiting, attempts.Policy(9, 500.0))
    assert "give IDs" in cli("tasks", "retry", str(spool), code=2)
    assert cli("tasks", "retry", str(spool), "--state", "dead") == "1 task to be run\n"
    assert cli("tasks", "retry", str(spool / waiting)) == "1 task to be run\n"
    store = Store(str(spool))
    assert store.scan().due == [dead, waiting]
    task = store.claim(waiting)
    assert isinstance(task, Task)
    assert task.record == attempts.NONE
    task.ignore()
    assert cli("tasks", "retry", str(spool), identity(planned)) == "1 task to be run\n"
    assert planned in store.scan().due
    assert cli("tasks", "drop", str(spool), "--all") == "3 tasks dropped\n"
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_a_directory_that_is_none(bus_env: BusEnvironment) -> None:
    assert "is no directory" in cli("tasks", "list", str(bus_env.directory / "none"), code=2)
    assert "there is no bus 'default'" in cli("tasks", "list", code=2)
