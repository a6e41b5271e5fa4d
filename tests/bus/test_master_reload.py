"""Rolling reloads with real processes: new code, what is in hand or queued, and code that does not load."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until

APP = """
import os
import ipcmules
from ipcmules.decorators import signal

VERSION = {version}

@signal(7, target="mule1")
def seven(number):
    print("seven", VERSION, flush=True)

def main():
    print("main", VERSION, os.getpid(), flush=True)
    while True:
        text = ipcmules.mule_get_msg().decode()
        word, _, rest = text.partition(" ")
        if word == "hold":
            print("holding", flush=True)
            import time
            while not os.path.exists(rest):
                time.sleep(0.01)
        print("got", VERSION, text, flush=True)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(tmp_path, 1)


def write(directory: Path, version: int, more: str = "") -> Path:
    scripts.write(directory, "app.py", APP.format(version=version) + more)
    # A compiled module is taken by its source's time and size: two versions of one second look the same.
    for each in directory.glob("__pycache__/*"):
        each.unlink()
    return directory


def start(name: str, directory: Path, *more: str, mules: int = 2, **others: Any) -> Launcher:
    programs = ["--mule=app:main"] * mules
    return Launcher("--bus", name, *programs, "--import", "app", *more, cwd=directory, **others)


def reload(name: str, code: int = 0) -> str:
    done = run_cli("reload", "--bus", name)
    assert done.returncode == code, done.stderr
    return done.stderr


def status(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_cli("status", "--bus", name, "--json").stdout)
    return found


def pids(name: str) -> list[int]:
    shared = table.open(places(name).table)
    return [int(shared.cells[shared.mule(each) + table.R_PID]) for each in range(1, shared.layout.mules + 1)]


def send(name: str, text: str, mule: int = 1) -> None:
    assert run_cli("msg", "--bus", name, "--mule", str(mule), text).returncode == 0


def test_a_reload_brings_the_new_code(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule", "--processes", "1") as launcher:
        before = pids(bus_name)
        write(app, 2)
        reload(bus_name)
        assert not set(before) & set(pids(bus_name))
        send(bus_name, "a")
        launcher.wait_output("got 2 a")
        assert run_cli("signal", "--bus", bus_name, "7").returncode == 0
        launcher.wait_output("seven 2")
        found = status(bus_name)
        assert [each["last_death"] for each in found["mules"]] == ["was replaced by a reload"] * 3
        reload(bus_name)
    assert launcher.code == 0
    assert "Traceback" not in launcher.stderr


def test_what_is_in_hand_is_finished_and_what_is_queued_stays_in_order(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    sender = """
import ipcmules
for n in range(300):
    ipcmules.mule_msg(b"hold second" if n == 150 else b"m%d" % n, 1)
"""
    with start(bus_name, app, mules=1) as launcher:
        send(bus_name, "hold first")
        launcher.wait_output("holding")
        # More than the queue takes alone: packed frames, of which one is left half handed out.
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        background = subprocess.Popen([sys.executable, "-c", sender], env=environment)
        time.sleep(0.5)
        (app / "first").touch()
        launcher.wait_output("got 1 m149")
        write(app, 2)
        outcome = subprocess.Popen([sys.executable, "-m", "ipcmules", "reload", "--bus", bus_name])
        shared = table.open(places(bus_name).table)
        leaving = shared.mule(1) + table.R_LEAVING
        wait_until(lambda: shared.cells[leaving] == table.LEAVES_FOR_RELOAD, what="the word to the mule")
        (app / "second").touch()
        assert outcome.wait(30) == 0
        launcher.wait_output("m299")
        assert background.wait(30) == 0
        got = re.findall(r"got (\d) (.*)", launcher.stdout)
        names = ["hold second" if n == 150 else f"m{n}" for n in range(300)]
        assert [text for _version, text in got] == ["hold first", *names]
        assert [version for version, _text in got] == ["1"] * 152 + ["2"] * 149
    assert kept.listing(places(bus_name)) == []


@pytest.mark.slow
def test_nothing_is_lost_and_a_pool_is_never_without_a_listener(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    source = """
        import ipcmules, os
        from ipcmules.decorators import signal
        count = 0
        @signal(9, target="mules")
        def nine(_):
            os.write(1, b"s")
        def main():
            while True:
                message = ipcmules.mule_get_msg()
                os.write(1, b"\\n" + message + b"\\n")
    """
    scripts.write(app, "counter.py", source)
    driver = """
        import ipcmules, sys, time
        end = time.monotonic() + 3
        n = 0
        while time.monotonic() < end:
            ipcmules.mule_msg(b"p%d" % n, 0); n += 1
            ipcmules.mule_msg(b"o%d" % n, 1); n += 1
            ipcmules.signal(9)
            time.sleep(0.001)
        print(n)
    """
    scripts.write(app, "driver.py", driver)
    with Launcher(
        "--bus", bus_name, "--mule=counter:main", "--mule=counter:main", "--import", "counter", cwd=app
    ) as launcher:
        shared = table.open(places(bus_name).table)
        without = 0
        watching = True

        def watch() -> None:
            nonlocal without
            looks = 0
            while watching:
                listening = any(
                    shared.cells[shared.mule(each) + table.R_READER] & table.READS_SHARED
                    and shared.cells[shared.mule(each) + table.R_STATE] in (table.WAITING, table.BUSY)
                    for each in (1, 2)
                )
                # One look is at one mule after the other: each may have been seen at a moment without.
                looks = 0 if listening else looks + 1
                without += looks == 3
                time.sleep(0.0005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        background = subprocess.Popen(
            [sys.executable, "driver.py"], cwd=app, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3):
            reload(bus_name)
        sent = int(background.communicate(timeout=30)[0])
        assert background.returncode == 0

        def all_there() -> bool:
            return len(re.findall(r"\n[po]\d+\n", launcher.stdout)) >= sent

        wait_until(all_there, what="every message")
        # A raise to "mules" goes to one of them each time, and each counts.
        wait_until(lambda: launcher.stdout.count("s") >= sent // 2, what="every signal")
        watching = False
        watcher.join()
    got = [int(each) for each in re.findall(r"\n[po](\d+)\n", launcher.stdout)]
    assert sorted(got) == list(range(sent))
    assert without == 0
    assert kept.listing(places(bus_name)) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("\nraise RuntimeError('on purpose')", ["RuntimeError: on purpose", "app.py"]),
        ("\nos._exit(3)", ["ended with code 3"]),
        ("\nsyntax error", ["SyntaxError"]),
        ("\nimport time\ntime.sleep(100)", ["was not loaded within 5 s", "app.py", "<module>"]),
    ],
    ids=["raises", "exits", "syntax", "hangs"],
)
def test_code_that_does_not_load_changes_nothing(
    bus_env: BusEnvironment, bus_name: str, app: Path, more: str, words: list[str]
) -> None:
    with start(bus_name, app, "--mule-reload-mercy", "2") as launcher:
        before = pids(bus_name)
        write(app, 2, more)
        text = reload(bus_name, 1)
        assert all(word in text for word in words), text
        for word in words:
            launcher.wait_log(word)
        assert pids(bus_name) == before
        send(bus_name, "still")
        launcher.wait_output("got 1 still")
        write(app, 3)
        reload(bus_name)
        send(bus_name, "now")
        launcher.wait_output("got 3 now")
    assert launcher.code == 0


@pytest.mark.parametrize("lazy", [True, False])
def test_programs_and_lazy_apps_are_tried_first(
    bus_env: BusEnvironment, bus_name: str, app: Path, lazy: bool
) -> None:
    options = ["--import", "app", "--lazy-apps"] if lazy else []
    with Launcher("--bus", bus_name, "--mule=app:main", *options, cwd=app) as launcher:
        before = pids(bus_name)
        write(app, 2, "\nraise RuntimeError('in the mule')")
        assert "RuntimeError: in the mule" in reload(bus_name, 1)
        assert pids(bus_name) == before
        write(app, 3)
        reload(bus_name)
        launcher.wait_output("main 3")
        assert run_cli("signal", "--bus", bus_name, "7").returncode == 0
        launcher.wait_output("seven 3")


def test_a_successor_that_fails_is_rolled_back(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule") as launcher:
        before = pids(bus_name)
        more = """
from ipcmules.decorators import postfork
@postfork
def check():
    if ipcmules.mule_id() == 2:
        os._exit(9)
"""
        write(app, 2, more)
        text = reload(bus_name, 1)
        assert "mule 2 (app:main) ended with code 9 before it was ready" in text
        assert pids(bus_name)[2] == before[2]  # it was not its turn yet
        send(bus_name, "one", 1)
        launcher.wait_output("got 1 one")
        send(bus_name, "two", 2)
        launcher.wait_output("got 1 two")
    assert launcher.code == 0


def test_the_mercy_of_a_reload_ends(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--mule-reload-mercy", "1", mules=1) as launcher:
        send(bus_name, "hold never")
        launcher.wait_output("holding")
        send(bus_name, "next")
        write(app, 2)
        reload(bus_name)
        launcher.wait_output("got 2 next")
        assert "within the mercy of a stop or a reload" in status(bus_name)["mules"][0]["last_death"]
    [path] = kept.listing(places(bus_name))
    found = kept.load(path)
    assert found.data == b"hold never" and "mercy" in found.reason


def test_a_reload_during_a_reload_is_done_after_it(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, mules=1) as launcher:
        shared = table.open(places(bus_name).table)
        send(bus_name, "hold released")
        launcher.wait_output("holding")
        write(app, 2)
        launcher.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shared.cells[table.H_RELOADS] == 1, what="the first reload")
        leaving = shared.mule(1) + table.R_LEAVING
        wait_until(lambda: shared.cells[leaving] == table.LEAVES_FOR_RELOAD, what="the word to the mule")
        write(app, 3)
        second = subprocess.Popen([sys.executable, "-m", "ipcmules", "reload", "--bus", bus_name])
        time.sleep(0.5)
        assert second.poll() is None
        (app / "released").touch()
        assert second.wait(30) == 0
        assert shared.cells[table.H_RELOADED] == 2
        send(bus_name, "x")
        launcher.wait_output("got 3 x")
    assert launcher.code == 0


def test_a_stop_during_a_reload_stops(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app) as launcher:
        write(app, 2, "\nimport time\ntime.sleep(100)")
        waiting = subprocess.Popen(
            [sys.executable, "-m", "ipcmules", "reload", "--bus", bus_name], stderr=subprocess.PIPE, text=True
        )
        shared = table.open(places(bus_name).table)
        wait_until(lambda: shared.cells[table.H_RELOADS] == 1, what="the reload")
        assert launcher.stop() == 0  # waits for less than the code's 100 s
        error = waiting.communicate(timeout=10)[1]
        assert waiting.returncode == 1 and "reload failed" in error


def test_a_touched_file_reloads(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    options = ["--touch-mules-reload", "trigger", "--touch-mules-reload", "other"]
    with start(bus_name, app, *options, mules=1) as launcher:
        launcher.wait_output("main 1")
        write(app, 2)
        (app / "trigger").touch()  # appears
        launcher.wait_output("main 2")
        write(app, 3)
        os.utime(app / "trigger", (1, 1))
        launcher.wait_output("main 3")
        launcher.wait_log("trigger was touched")


def test_the_configuration_is_read_again(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    more = """
from ipcmules.decorators import postfork
@postfork
def tell():
    print("see", os.environ.get("COLOUR"), flush=True)
"""
    write(app, 1, more)
    ini = app / "bus.ini"
    head = f"[ipcmules]\nbus = {bus_name}\nmule = app:main\nimport = app\n"
    ini.write_text(head + "env = COLOUR=red\n")
    with Launcher("--ini", str(ini), cwd=app) as launcher:
        launcher.wait_output("see red")
        ini.write_text(head + "env = COLOUR=blue\nmule-max-msgs = 5\n")
        reload(bus_name)
        launcher.wait_output("see blue")
        ini.write_text(head + "locks = 3\nmule =\n")
        text = reload(bus_name, 1)
        assert "changes mules, locks" in text and "start it again" in text
        ini.write_text(head + "farm = nonsense\n")
        assert "nonsense" in reload(bus_name, 1)
        reload_count = launcher.stdout.count("see")
        assert reload_count == 2
    assert launcher.code == 0


def test_registrations_of_old_code_go_and_numbers_stay(
    bus_env: BusEnvironment, bus_name: str, app: Path
) -> None:
    one = """
from ipcmules.decorators import signal
@signal(20, target="mule1")
def goes(_): pass
@signal(21, target="mule1")
def changes(_): print("changes 1", flush=True)
@signal(target="mule1")
def chosen(_): print("chosen", flush=True)
"""
    two = one.replace("20", "22").replace("goes", "comes").replace("changes", "changed").replace("d 1", "d 2")
    write(app, 1, one)

    def entries() -> dict[str, int]:
        shared = table.open(places(bus_name).table)
        numbers = [each for each in range(256) if shared.cells[shared.entry(each) + table.E_STAMP]]
        return {shared.text(each, table.E_HANDLER): each for each in numbers}

    with start(bus_name, app, mules=1) as launcher:
        assert entries() == {"seven": 7, "goes": 20, "changes": 21, "chosen": 255}
        write(app, 2, two + "\nraise RuntimeError")
        reload(bus_name, 1)
        assert entries() == {"seven": 7, "goes": 20, "changes": 21, "chosen": 255}
        run_cli("signal", "--bus", bus_name, "21")
        launcher.wait_output("changes 1")
        write(app, 3, two)
        reload(bus_name)
        assert entries() == {"seven": 7, "comes": 22, "changed": 21, "chosen": 255}
        run_cli("signal", "--bus", bus_name, "21")
        launcher.wait_output("changed 2")
        run_cli("signal", "--bus", bus_name, "255")
        launcher.wait_output("chosen")
    assert launcher.code == 0


@pytest.mark.slow
def test_a_hangup_of_all_processes_loses_nothing(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """As a terminal does it when it is closed."""
    with start(bus_name, app, "--processes", "1", mules=1) as launcher:
        send(bus_name, "hold released")
        launcher.wait_output("holding")
        send(bus_name, "next")
        write(app, 2)
        shared = table.open(places(bus_name).table)
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        for each in (launcher.pid, *map(int, children)):
            os.kill(each, signal.SIGHUP)
        wait_until(lambda: shared.cells[table.H_RELOADS] == 1, what="the reload")
        (app / "released").touch()
        wait_until(lambda: re.search("got . next", launcher.stdout), what="the next message")
        wait_until(lambda: shared.cells[table.H_RELOADED] == 1, what="the end of the reload")
        launcher.wait_output("main 2")
        launcher.wait_output("got 1 hold released")
    assert launcher.code == 0
    assert kept.listing(places(bus_name)) == []
