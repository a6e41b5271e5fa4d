"""Dead letters: how messages become one, the commands for them, and what a bus can do instead."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.messages import kept
from support import Launcher, run_cli, wait_until

APP = """
import os
import ipcmules

def main():
    print("entered", flush=True)
    while True:
        message = ipcmules.mule_get_msg()
        if message.startswith(b"kill"):
            print("killed by", len(message), flush=True)
            os.kill(os.getpid(), 9)
        print("got", len(message), message[:20].decode(), flush=True)

def hook(message):
    print("hook", message.decode(), flush=True)
    if message.startswith(b"bad"):
        raise RuntimeError("on purpose")
"""

HOOKED = "import ipcmules, app\nipcmules.install_mule_msg_hook(app.hook)\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    scripts.write(tmp_path, "app.py", APP)
    scripts.write(tmp_path, "hooked.py", HOOKED)
    return tmp_path


def start(name: str, directory: Path, *more: str) -> Launcher:
    return Launcher("--bus", name, "--mule=app:main", *more, cwd=directory)


def msg(name: str, text: str, *where: str) -> None:
    assert run_cli("msg", "--bus", name, *(where or ("--mule", "1")), "-", text_input=text).returncode == 0


def dead(name: str, *arguments: str) -> tuple[int, str, str]:
    done = run_cli("dead", arguments[0], "--bus", name, *arguments[1:])
    return done.returncode, done.stdout, done.stderr


def letters(name: str) -> list[dict[str, object]]:
    return json.loads(dead(name, "list", "--json")[1])  # type: ignore[no-any-return]


def test_list_show_requeue_and_drop(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    assert dead(bus_name, "list") == (0, "no dead letters\n", "")
    large = "kill" + "y" * 100_000
    with start(bus_name, app, "--farm", "mail:1") as launcher:
        msg(bus_name, "kill me \x1b[31m")
        msg(bus_name, large, "--farm", "mail")
        wait_until(lambda: len(letters(bus_name)) == 2, what="two dead letters")
        first, second = letters(bus_name)
        assert (first["target"], first["mule"], first["attempts"]) == ("mule1", "mule1", 1)
        assert first["length"] == 13 and "SIGKILL" in str(first["reason"])
        assert (second["target"], second["length"]) == ("farm.mail", 100_004)
        code, text, _ = dead(bus_name, "list")
        assert code == 0 and str(first["id"]) in text and "farm.mail" in text and "100004" in text
        code, text, _ = dead(bus_name, "show", str(first["id"]))
        assert code == 0 and "attempts: 1" in text and r"kill me \x1b[31m" in text
        assert dead(bus_name, "show", "--raw", str(second["id"]))[1] == large

        wait_until(lambda: launcher.stdout.count("entered") == 3)
        assert dead(bus_name, "requeue", str(first["id"])) == (0, "1 dead letter sent again\n", "")
        wait_until(lambda: launcher.stdout.count("killed by 13") == 2)
        wait_until(lambda: len(letters(bus_name)) == 2, what="the dead letter that it is again")
        again = next(each for each in letters(bus_name) if each["target"] == "mule1")
        assert again["id"] != first["id"]
        assert dead(bus_name, "drop", str(again["id"]))[:2] == (0, "1 dead letter dropped\n")
        code, _, error = dead(bus_name, "drop", str(again["id"]))
        assert code == 2 and "no dead letter has the ID" in error
        assert dead(bus_name, "drop")[0] == dead(bus_name, "drop", "--all", "1")[0] == 2
        code, _, error = dead(bus_name, "requeue", "--all", "--to", "mule7")
        assert code == 1 and "unknown mule 7" in error and len(letters(bus_name)) == 1
        assert dead(bus_name, "requeue", "--all", "--to", "nonsense")[0] == 2
    code, _, error = dead(bus_name, "requeue", "--all")
    assert code == 1 and "no running bus" in error
    assert dead(bus_name, "drop", "--all")[:2] == (0, "1 dead letter dropped\n")
    assert kept.listing(places(bus_name)) == []


def test_two_commands_at_once_send_a_message_once(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    where = places(bus_name)
    for number in range(5):
        kept.keep(where, b"%d" % number, "mule1", "for the test")
    with start(bus_name, app) as launcher:
        outcomes: list[tuple[int, str, str]] = []
        threads = [
            threading.Thread(target=lambda: outcomes.append(dead(bus_name, "requeue", "--all"))) for _ in "ab"
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        sent = sum(int(found[1]) for _, text, _ in outcomes if (found := re.match(r"(\d+) dead", text)))
        assert sent == 5 and letters(bus_name) == []
        wait_until(lambda: launcher.stdout.count("got 1 ") == 5)
    assert launcher.stdout.count("got 1 ") == 5


@pytest.mark.parametrize("where", ["--mule=1", "--mule=0", "--farm=mail"])
def test_requeue_is_bounded_and_counted_across_deaths(
    bus_env: BusEnvironment, bus_name: str, app: Path, where: str
) -> None:
    with start(
        bus_name, app, "--farm", "mail:1", "--on-mule-death", "requeue", "--max-requeues", "2"
    ) as launcher:
        msg(bus_name, "kill", where)
        msg(bus_name, "after", where)
        [letter] = wait_until(lambda: letters(bus_name), what="the dead letter")
        launcher.wait_for(lambda: launcher.stdout.count("killed by 4") == 3, "three attempts")
        assert letter["attempts"] == 3
        assert letter["target"] == {"--mule=1": "mule1", "--mule=0": "pool"}.get(where, "farm.mail")
        launcher.wait_output("got 5 after")
        assert launcher.stderr.count("queued again (") == 2
    assert launcher.stdout.count("got 5 after") == 1


def test_requeue_counts_across_a_dead_master(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    options = ("--on-mule-death", "requeue", "--max-requeues", "1")
    where = places(bus_name)
    kept.store(where, b"kill", "mule1", "for the test", attempts=1, again=True)
    with start(bus_name, app, *options) as launcher:
        [letter] = wait_until(lambda: letters(bus_name), what="the dead letter")
        assert letter["attempts"] == 2
        assert launcher.stdout.count("killed by") == 1


def test_drop(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    with start(bus_name, app, "--on-mule-death", "drop") as launcher:
        msg(bus_name, "kill")
        msg(bus_name, "after")
        launcher.wait_output("got 5 after")
        launcher.wait_log("a message of 4 bytes to mule1 is dropped")
    assert kept.listing(places(bus_name)) == []


@pytest.mark.parametrize("choice", ["log", "keep"])
def test_a_hook_that_raises(bus_env: BusEnvironment, bus_name: str, app: Path, choice: str) -> None:
    options = ("--mules", "1", "--import", "hooked", "--on-hook-error", choice)
    with Launcher("--bus", bus_name, *options, cwd=app) as launcher:
        msg(bus_name, "bad one")
        msg(bus_name, "good one")
        launcher.wait_output("hook good one")
        launcher.wait_log("RuntimeError: on purpose")
        found = letters(bus_name)
    assert [each["attempts"] for each in found] == ([1] if choice == "keep" else [])
    if found:
        assert "RuntimeError('on purpose')" in str(found[0]["reason"]) and found[0]["mule"] == "mule1"


NARROW = """
import os, resource, threading, time
import ipcmules

def give_back(usual):
    while not os.path.exists("enough"):
        time.sleep(0.05)
    resource.setrlimit(resource.RLIMIT_NOFILE, usual)

def hook(message):
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    threading.Thread(target=give_back, args=(usual,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    raise RuntimeError("on purpose")

ipcmules.install_mule_msg_hook(hook)
"""


def test_a_letter_that_there_is_no_descriptor_for(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    """The mule waits with the message in hand."""
    scripts.write(app, "narrowed.py", NARROW)
    options = ("--mules", "1", "--import", "narrowed", "--on-hook-error", "keep")
    with Launcher("--bus", bus_name, *options, cwd=app) as launcher:
        msg(bus_name, "bad one")
        launcher.wait_log("this mule waits until it can, with the message in hand")
        assert letters(bus_name) == []
        (app / "enough").touch()
        wait_until(lambda: letters(bus_name) != [], what="the dead letter")
        assert [each["attempts"] for each in letters(bus_name)] == [1]


def test_priorities_of_leftovers_are_given_again(bus_env: BusEnvironment, bus_name: str, app: Path) -> None:
    where = places(bus_name)
    for data, priority in ((b"low 1", 0), (b"low 2", 0), (b"high 1", 7), (b"high 2", 7)):
        kept.store(where, data, "mule1", "for the test", priority=priority, again=True)
    scripts.write(
        app,
        "stuck.py",
        """
        import time
        def main():
            print("stuck", flush=True)
            while True:
                time.sleep(1)
        """,
    )
    # The first bus takes them into its queue and saves them again when it ends.
    with Launcher("--bus", bus_name, "--mule=stuck:main", "--mule-reload-mercy", "0", cwd=app):
        pass
    saved = [kept.header(path) for path in kept.listing(where)]
    assert [(each.priority, each.again) for each in saved] == [(7, True), (7, True), (0, True), (0, True)]
    assert letters(bus_name) == []
    with start(bus_name, app) as launcher:
        launcher.wait_output("low 2")
        assert re.findall(r"(low|high) (\d)", launcher.stdout) == [
            ("high", "1"),
            ("high", "2"),
            ("low", "1"),
            ("low", "2"),
        ]


@pytest.mark.parametrize("choice", ["requeue", "dead-letter"])
def test_in_hand_when_master_and_mule_are_killed(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, choice: str
) -> None:
    scripts.write(
        tmp_path,
        "app.py",
        """
        import os, time, ipcmules
        def main():
            message = ipcmules.mule_get_msg().decode()
            print("got", message, os.getpid(), flush=True)
            time.sleep(600)
        """,
    )
    options = ("--on-mule-death", choice, "--mule-reload-mercy", "0")
    with start(bus_name, tmp_path, *options) as launcher:
        msg(bus_name, "y" * 50_000, "--mule", "0")
        [pid] = wait_until(lambda: re.findall(r"got y+ (\d+)", launcher.stdout), what="the message")
        os.kill(launcher.pid, signal.SIGKILL)
        os.kill(int(pid), signal.SIGKILL)
        launcher.wait()
    with start(bus_name, tmp_path, *options) as launcher:
        if choice == "requeue":
            launcher.wait_output("got yyy")
            assert letters(bus_name) == []
        else:
            [letter] = letters(bus_name)
            assert (letter["target"], letter["length"], letter["attempts"]) == ("pool", 50_000, 1)
    found = letters(bus_name) if choice == "dead-letter" else []
    waiting = [kept.header(path) for path in kept.listing(places(bus_name))]
    # The second bus ended with it in hand again.
    assert [each.attempts for each in waiting] == ([1] if found else [2])
