"""Signals, calls and tasks over sockets: uWSGI to us and us to uWSGI."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from ipcmules.wire import packets
from scripts import write
from support import Launcher, wait_until

#: A uWSGI that handles signals, calls and tasks, and says so.
APP = """
    import sys, uwsgi

    def say(*words):
        print("SAID", *words, flush=True)

    uwsgi.register_signal(9, "worker", lambda number: say("signal", number))
    uwsgi.register_rpc("join", lambda *words: b"+".join(words))

    def task(env):
        say("task", sorted((key, value) for key, value in env.items() if isinstance(key, bytes)))
        return uwsgi.SPOOL_OK

    uwsgi.spooler = task
"""


def test_from_us_to_uwsgi(start_uwsgi: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, "app.py", APP)
    server = start_uwsgi("--import", "app.py", "--spooler", "spool", "--spooler-frequency", "1")
    ipcmules.signal(9, server.address)
    server.wait_for("SAID signal 9")
    assert ipcmules.rpc(server.address, "join", b"a", b"b") == b"a+b"
    assert ipcmules.rpc(server.address, "join", b"x" * 3000, b"y") == b"x" * 3000 + b"+y"
    assert ipcmules.rpc(server.address, "nothing") is None
    assert ipcmules.send_message(server.address, 17, 0, {"key": "value", b"n": 5}, 5) is True
    server.wait_for("SAID task [(b'key', b'value'), (b'n', b'5')]")


def test_from_uwsgi_to_us(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        "ours.py",
        """
        import uwsgi
        uwsgi.register_signal(9, "mule", lambda number: print("signal", number, flush=True))
        uwsgi.register_rpc("join", lambda *words: b"+".join(words))
        uwsgi.register_rpc("long", lambda: b"y" * 100000)
        """,
    )
    options = ("--bus", bus_name, "--compat", "--mules", "1", "--import", "ours", "--socket", "127.0.0.1:0")
    with Launcher(*options, cwd=tmp_path) as launcher:
        found = wait_until(lambda: re.search(r"packets at (127.0.0.1:\d+)", launcher.stderr))
        write(
            tmp_path,
            "theirs.py",
            f"""
            import uwsgi
            node = "{found[1]}"
            print("SAID", uwsgi.signal(9, node), uwsgi.signal(77, node), flush=True)
            print("SAID", uwsgi.rpc(node, b"join", b"a", b"b"), uwsgi.rpc(node, b"nothing"), flush=True)
            print("SAID", len(uwsgi.rpc(node, b"long")), flush=True)
            """,
        )
        server = start_uwsgi("--import", "theirs.py")
        launcher.wait_output("signal 9\n")
        for words in ("SAID None None", "SAID b'a+b' None", "SAID 100000"):
            server.wait_for(words)
        with pytest.raises(ValueError):
            packets.send_task({b"key": b"value"}, found[1])  # there is no spooler here
