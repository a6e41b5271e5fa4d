"""One spool directory for both: tasks of either side run on the other, and ordered spooling is in one
order."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from ipcmules.wire import packets as wire
from scripts import write
from support import Launcher, wait_until

#: The same for both: what it writes is compared.
APP = """
    import os, uwsgi
    from uwsgidecorators import *

    def say(*words):
        with open(os.environ["SAID"], "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")

    @spool
    def plain(arguments):
        said = {key: value for key, value in arguments.items() if not key.startswith("spooler")}
        say("plain", sorted(said.items()))

    @spool(pass_arguments=True)
    def called(*args, **kwargs):
        say("called", args, sorted(kwargs.items()))

    @spoolraw
    def raw(arguments):
        say("raw", arguments["body"], sorted(arguments)[:1])
        return uwsgi.SPOOL_OK
"""

SEND = """
    import app
    app.plain({"a": "b", "c": "d"})
    app.called(1, "two", three=[3])
    app.raw({"key": "value", "body": "the body"})
"""


def expected(said: Path) -> list[str]:
    """What the tasks said, once all three did."""
    wait_until(lambda: said.exists() and len(said.read_text().splitlines()) >= 3, 60, "three tasks")
    return sorted(said.read_text().splitlines())


def ours(tmp_path: Path, bus: str, said: Path, *options: str, command: list[str] | None = None) -> Launcher:
    environment = {**os.environ, "SAID": str(said)}
    return Launcher(
        *("--bus", bus, "--compat", "--import", "app", "--spooler", "spool", *options),
        command=command or (),
        cwd=tmp_path,
        env=environment,
    )


def test_tasks_of_uwsgi_run_here(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    write(tmp_path, "app.py", APP)
    write(tmp_path, "send.py", SEND)
    # Its own spooler has no function for them, so they stay.
    write(tmp_path, "theirs.py", "import send, uwsgi\ndel uwsgi.spooler\nprint('SENT', flush=True)\n")
    os.mkdir(tmp_path / "spool")
    server = start_uwsgi("--import", "theirs.py", "--spooler", "spool", "--pythonpath", str(tmp_path))
    server.wait_for("SENT")
    server.end()
    said = tmp_path / "said"
    with ours(tmp_path, bus_name, said):
        assert expected(said) == [
            "called (1, 'two') [('three', [3])]",
            "plain [('a', 'b'), ('c', 'd'), ('ud_spool_func', 'plain'), ('ud_spool_ret', '-2')]",
            "raw the body ['body']",
        ]


def test_a_file_of_uwsgi_is_a_packet_for_us(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    """2.0.31 itself has no way to send one."""
    write(tmp_path, "app.py", APP)
    write(
        tmp_path,
        "theirs.py",
        """
        import app, uwsgi
        for number in range(3):
            app.plain({"n": str(number)})
        del uwsgi.spooler
        print("SENT", flush=True)
        """,
    )
    other = tmp_path / "other"
    other.mkdir()
    server = start_uwsgi("--import", "theirs.py", "--spooler", "other")
    server.wait_for("SENT")
    server.end()
    packets = [path.read_bytes() for path in other.glob("uwsgi_spoolfile_on_*")]
    assert len(packets) == 3
    said = tmp_path / "said"
    with ours(tmp_path, bus_name, said, "--socket", "127.0.0.1:0") as launcher:
        found = wait_until(lambda: re.search(r"packets at (127.0.0.1:\d+)", launcher.stderr))
        for packet in packets:
            with wire.connect(found[1]) as connection:
                connection.sendall(packet)
                assert connection.recv(10) == b"\xff\x00\x00\x01"
        assert [each[:14] for each in expected(said)] == ["plain [('n', '"] * 3


def test_tasks_of_ours_run_there(
    start_uwsgi: Callable[..., Any],
    bus_env: object,
    bus_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path, "app.py", APP)
    said = tmp_path / "said"
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o750)
    calls = [
        {"ud_spool_func": "plain", "ud_spool_ret": "-2", "a": "b", "c": "d"},
        {
            **{"ud_spool_func": "called", "ud_spool_ret": "-2"},
            **{"args": pickle.dumps((1, "two")), "kwargs": pickle.dumps({"three": [3]})},
        },
        {"ud_spool_func": "raw", "key": "value", "body": "the body"},
    ]
    for task in calls:
        ipcmules.spool(task, spooler=str(directory))
    monkeypatch.setenv("SAID", str(said))
    start_uwsgi("--import", "app.py", "--spooler", "spool", "--spooler-frequency", "1")
    assert expected(said) == [
        "called (1, 'two') [('three', [3])]",
        "plain [('a', 'b'), ('c', 'd'), ('ud_spool_func', 'plain'), ('ud_spool_ret', '-2')]",
        "raw the body ['body']",
    ]
    wait_until(lambda: not [each for each in os.listdir(directory) if each.startswith("uwsgi_")])


ORDER = """
    import os, uwsgi

    def task(env):
        with open(os.environ["SAID"], "a") as file:
            file.write(env[b"n"].decode() + "\\n")
        return uwsgi.SPOOL_OK

    uwsgi.spooler = task
"""


def test_ordered_spooling_is_in_one_order(
    start_uwsgi: Callable[..., Any],
    bus_env: object,
    bus_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path, "app.py", ORDER)
    orders = []
    for which in ("theirs", "ours"):
        directory = tmp_path / "spool"
        directory.mkdir()
        for number, (priority, name) in enumerate(_names()):
            where = directory / priority if priority else directory
            where.mkdir(exist_ok=True)
            value = f"{number}".encode()
            packed = b"\x01\x00n" + bytes([len(value), 0]) + value
            (where / f"uwsgi_spoolfile_on_{name}").write_bytes(b"\x11" + bytes([len(packed), 0, 0]) + packed)
        said = tmp_path / which
        monkeypatch.setenv("SAID", str(said))
        options = ("--spooler", "spool", "--spooler-ordered", "--spooler-frequency", "1")
        if which == "theirs":
            server = start_uwsgi("--import", "app.py", *options)
        else:
            launcher = ours(tmp_path, bus_name, said, *options[2:])
        wait_until(lambda said=said: said.exists() and len(said.read_text().split()) == len(_names()), 60)  # type: ignore[misc]
        if which == "theirs":
            server.end()
        else:
            launcher.stop()
            launcher.__exit__(None)
        orders.append(said.read_text().split())
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()
    assert orders[0] == orders[1]


def _names() -> list[tuple[str, str]]:
    """Priorities and ends of names, in no order."""
    return [
        *[("", f"host_{pid}_{count}_77_1700000000_{pid}") for pid in (9, 100, 20) for count in (10, 9, 1)],
        *[
            (priority, f"host_5_{count}_1_1700000000_5")
            for priority in ("10", "9", "100")
            for count in (3, 12)
        ],
    ]
