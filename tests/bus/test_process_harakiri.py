"""Harakiri and --mule-max-msgs with real processes, and what status says of who is busy and who has died."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules import decorators
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.errors import NotAMule
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until

APP = """
import ctypes, os, sys, threading, time
import ipcmules
from ipcmules.decorators import harakiri, signal

@signal(5, target="mule1")
def stuck_handler(_):
    time.sleep(60)

@signal(6, target="worker1")
def stuck_worker(_):
    guarded()

@harakiri(0.3)
def guarded():
    time.sleep(60)

def hook(message):
    word = message.decode()
    if word == "sleep":
        inner_function()
    if word == "gil":
        ctypes.PyDLL(None).sleep(60)
    if word == "guard":
        guarded()
    if word == "user":
        ipcmules.set_user_harakiri(0.3)
        time.sleep(60)
    if word == "spared":
        ipcmules.set_user_harakiri(0.3)
        ipcmules.set_user_harakiri(0)
        time.sleep(0.6)
    print("got", word, os.getpid(), flush=True)

def inner_function():
    threading.Thread(target=second_thread, daemon=True).start()
    time.sleep(60)

def second_thread():
    time.sleep(60)

ipcmules.install_mule_msg_hook(hook)

def main():
    while True:
        print("program", ipcmules.mule_get_msg().decode(), os.getpid(), flush=True)
        time.sleep(0.7)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    scripts.write(tmp_path, "app.py", APP)
    return tmp_path


def start(name: str, directory: Path, *more: str, **others: Any) -> Launcher:
    return Launcher("--bus", name, "--import", "app", *more, cwd=directory, **others)


def send(name: str, *texts: str, mule: int = 1) -> None:
    for text in texts:
        assert run_cli("msg", "--bus", name, "--mule", str(mule), text).returncode == 0


def status(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_cli("status", "--bus", name, "--json").stdout)
    return found


def test_a_hook_that_takes_too_long(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--mule-harakiri", "0.5") as launcher:
        send(bus_name, "sleep", "after")
        launcher.wait_output("got after")
        log = launcher.stderr
        assert "harakiri: a message hook takes too long" in log
        assert "inner_function" in log and "second_thread" in log  # every thread
        assert log.index("inner_function") < log.index("was killed by harakiri")
        [mule] = status(bus_name)["mules"]
        assert "harakiri" in mule["last_death"] and mule["respawns"] == 1
    [path] = kept.listing(places(bus_name))
    found = kept.load(path)
    assert found.data == b"sleep" and "harakiri" in found.reason


def test_one_that_holds_the_interpreters_lock_is_killed_with_its_stack(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    with start(bus_name, app, "--mule", "--mule-harakiri", "0.5") as launcher:
        send(bus_name, "gil", "after")
        launcher.wait_output("got after")
        launcher.wait_log("in hook")


def test_a_stopped_one_is_killed(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--mule-harakiri", "0.5") as launcher:
        shared = table.open(places(bus_name).table)
        send(bus_name, "sleep")
        wait_until(lambda: shared.cells[shared.mule(1) + table.R_DEADLINE], what="the deadline")
        os.kill(int(shared.cells[shared.mule(1) + table.R_PID]), signal.SIGSTOP)
        send(bus_name, "after")
        launcher.wait_output("got after")
        launcher.wait_log("is it stopped?")


def test_a_handler_that_takes_too_long(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule=app:main", "--mule-harakiri", "0.5") as launcher:
        assert run_cli("signal", "--bus", bus_name, "5").returncode == 0
        wait_until(lambda: "starting it again" in launcher.stderr, what="the kill")
        launcher.wait_log("the handler of signal 5 takes too long")
        launcher.wait_log("stuck_handler")
        # A program's time with a message in hand is its own.
        send(bus_name, "one", "two")
        launcher.wait_output("program two")
        assert len(set(re.findall(r"program \w+ (\d+)", launcher.stdout))) == 1


def test_user_harakiri_and_the_decorator(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--processes", "1") as launcher:
        send(bus_name, "spared", "user", "guard", "after")
        launcher.wait_output("got after")
        assert re.findall(r"got (\w+)", launcher.stdout) == ["spared", "after"]
        launcher.wait_for(
            lambda: launcher.stderr.count("than allowed: starting it again") == 2, "two of them started again"
        )
        assert run_cli("signal", "--bus", bus_name, "6").returncode == 0
        wait_until(lambda: "worker 1 (pid" in launcher.stderr, what="the worker's end")
        launcher.wait_log("stuck_worker")
    assert [kept.load(each).data for each in kept.listing(places(bus_name))] == [b"user", b"guard"]


def test_nobody_looks_while_no_deadline_is_set(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--mule-harakiri", "0.4") as launcher:
        send(bus_name, "quick")
        launcher.wait_output("got quick")
        shared = table.open(places(bus_name).table)
        wait_until(lambda: not shared.cells[table.H_LOOK], what="the end of the watch")

        def sleeps() -> str:
            text = Path(f"/proc/{launcher.pid}/status").read_text()
            return re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0]

        def sleeps_on() -> bool:
            before = sleeps()
            time.sleep(1)  # a master that looked would do so once in each 0.4 s
            return sleeps() == before

        wait_until(sleeps_on, what="a second without a look")
        assert "harakiri" not in launcher.stderr


def test_where_it_has_no_meaning() -> None:
    with pytest.raises(NotAMule, match="mule"):
        ipcmules.set_user_harakiri(5)
    with pytest.raises(ValueError, match="-1"):
        ipcmules.set_user_harakiri(-1)
    with pytest.raises(TypeError):
        ipcmules.set_user_harakiri("5")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs a time"):
        decorators.harakiri(lambda: None)  # type: ignore[arg-type]
    assert decorators.harakiri(5)(lambda: 3)() == 3


def test_a_mule_is_replaced_after_its_number_of_messages(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    with start(bus_name, app, "--mule", "--mule-max-msgs", "3") as launcher:
        sender = f"""
            import ipcmules
            ipcmules.attach({bus_name!r})
            for n in range(10):
                ipcmules.mule_msg(b"m%d" % n, 1)
        """
        scripts.write(app, "sender.py", sender)
        scripts.output(app / "sender.py")
        launcher.wait_output("got m9")
        got = re.findall(r"got (\w+) (\d+)", launcher.stdout)
        assert [text for text, _pid in got] == [f"m{n}" for n in range(10)]
        by_pid = [sum(pid == each for _text, pid in got) for each in dict.fromkeys(pid for _text, pid in got)]
        assert by_pid == [3, 3, 3, 1]
        assert "again in" not in launcher.stderr  # never as one that dies young
        assert "--mule-max-msgs" in status(bus_name)["mules"][0]["last_death"]
    assert launcher.code == 0
    assert kept.listing(places(bus_name)) == []


def test_status_says_what_each_process_does(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--mule", "--mule-reload-mercy", "1"):
        run_cli("signal", "--bus", bus_name, "5")
        send(bus_name, "sleep", mule=2)
        wait_until(lambda: status(bus_name)["mules"][1]["doing"] == "message hook", what="the hook")
        wait_until(lambda: status(bus_name)["mules"][0]["doing"] == "handler of signal 5", what="the handler")
        wait_until(lambda: status(bus_name)["mules"][0]["since"] > 0.1, what="a tenth of a second in it")
        found = status(bus_name)["mules"]
        assert found[0]["last_death"] == "" and found[0]["last_death_ago"] is None
        text = run_cli("status", "--bus", bus_name).stdout
        assert "message hook" in text and "last deaths: none" in text


AIO = """
import asyncio
import ipcmules
from ipcmules import aio

async def handler(number):
    print("begins", number, flush=True)
    await asyncio.sleep(0.01 if number == 1 else 60)
    print("ended", number, flush=True)

async def serve():
    async for message in aio.messages():
        print("message", message.decode(), flush=True)

ipcmules.register_signal(1, "mule1", handler)
ipcmules.register_signal(2, "mule1", handler)
asyncio.run(serve())
"""


def test_a_coroutine_handler_is_guarded(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(AIO)
    arguments = ["--bus", bus_name, "--mule=program.py", "--mule-harakiri", "0.4"]
    with Launcher(*arguments, cwd=tmp_path) as launcher:
        for _ in range(2):
            assert run_cli("signal", "--bus", bus_name, "1").returncode == 0
        wait_until(lambda: launcher.stdout.count("ended 1") == 2, what="quick handlers")
        assert "harakiri" not in launcher.stderr
        assert run_cli("signal", "--bus", bus_name, "2").returncode == 0
        wait_until(lambda: "was killed by harakiri" in launcher.stderr, what="harakiri")
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "after").returncode == 0
        launcher.wait_output("message after")
        assert launcher.stdout.count("ended 2") == 0
    assert launcher.stderr.count("was killed by harakiri") == 1


@pytest.mark.parametrize(
    "receive", ["ipcmules.mule_get_msg()", "ipcmules.farm_get_msg()", "(await aio.mule_get_msg())"]
)
def test_a_program_is_replaced_after_its_number_of_messages(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, receive: str
) -> None:
    """However it receives: by the flat functions, alone or in packed frames, or in an event loop."""
    scripts.write(
        tmp_path,
        "program.py",
        f"""
        import asyncio, os
        import ipcmules
        from ipcmules import aio

        async def main():
            while True:
                print("got", {receive}.decode(), os.getpid(), flush=True)

        asyncio.run(main())
        """,
    )
    target = "'all'" if "farm" in receive else "1"
    scripts.write(
        tmp_path,
        "sender.py",
        f"""
        import ipcmules
        ipcmules.attach({bus_name!r})
        for number in range(70):
            ipcmules.mule_msg(b"m%d" % number, {target})
        """,
    )
    arguments = ["--bus", bus_name, "--mule=program.py", "--farm=all:1", "--mule-max-msgs", "30"]
    with Launcher(*arguments, cwd=tmp_path) as launcher:
        scripts.output(tmp_path / "sender.py")
        launcher.wait_output("got m69")
        got = re.findall(r"got (\w+) (\d+)", launcher.stdout)
    assert [text for text, _pid in got] == [f"m{number}" for number in range(70)]
    counts = [sum(pid == each for _text, pid in got) for each in dict.fromkeys(pid for _text, pid in got)]
    assert counts == [30, 30, 10]
