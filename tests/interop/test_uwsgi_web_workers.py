"""One application under the real uWSGI and under gunicorn beside ours: order of loading, hooks, reload."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from realuwsgi import Server
from support import run_cli, wait_until
from webservers import SHOP, TASKS, Note, notes, site

#: A programmed mule that says by which signal it was asked to end.
PROGRAM = """
import signal, sys, time
from tasks import note
for name in ("SIGHUP", "SIGTERM", "SIGINT"):
    signal.signal(getattr(signal, name), lambda *_, name=name: (note(name), sys.exit()))
note("program")
while True:
    time.sleep(600)
"""
#: In uWSGI an assignment to post_fork_hook replaces what the decorators have put there.
DECORATED = SHOP.replace('uwsgi.post_fork_hook = lambda: note("hook")', "")


def story(found: list[Note]) -> dict[int, list[tuple[str, int]]]:
    """What happened in each worker, by its number; loading the app first, wherever that was."""
    workers = {each.worker: each.pid for each in found if each.what == "postfork" and each.worker}
    told: dict[int, list[tuple[str, int]]] = {}
    for number, pid in workers.items():
        own = [each for each in found if each.pid == pid]
        loaded = own if any(each.what == "shop" for each in own) else []
        source = loaded or [each for each in found if each.pid == own[0].parent]
        loads = [(each.what, each.worker) for each in source if each.what in ("tasks", "shop")]
        told[number] = [
            *loads,
            *((each.what, each.worker) for each in own if each.what.startswith("postfork")),
        ]
    return told


def test_workers_and_a_reload(bus_env: object, bus_name: str, tmp_path: Path, uwsgi_binary: str) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for each in (there, here):
        each.mkdir()
        (each / "program.py").write_text(PROGRAM)
        (each / "shop.py").write_text(DECORATED)
        (each / "tasks.py").write_text(TASKS)
    options = ("--wsgi-file", "shop.py", "--import", "tasks", "--mule=program.py", "--processes", "2")
    server = Server(uwsgi_binary, there, *options, "--callable", "wsgi", "--enable-threads")
    try:
        wait_until(
            lambda: len([each for each in notes(there, "postfork") if each.worker]) == 2, 30, server.text
        )
        wait_until(lambda: notes(there, "program"), 30, "the program")
        theirs = story(notes(there))
        os.kill(server.process.pid, signal.SIGHUP)
        wait_until(lambda: len(notes(there, "program")) == 2, 30, "the reload")
    finally:
        server.end()
    their_signals = [each.what for each in notes(there, "SIGHUP", "SIGTERM", "SIGINT")]

    with site(here, bus_name, "gunicorn", "--mule=program.py", source=DECORATED) as found:
        wait_until(lambda: len([each for each in found.notes("postfork") if each.worker]) == 2, 30, "workers")
        wait_until(lambda: found.notes("program"), 30, "the program")
        ours = story(notes(here))
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        wait_until(lambda: len(found.notes("program")) == 2, 30, "the reload")
    our_signals = [each.what for each in notes(here, "SIGHUP", "SIGTERM", "SIGINT")]

    assert ours == theirs
    # At the end uWSGI sends SIGINT, ipcmules SIGTERM (docs/uwsgi.md).
    assert (their_signals, our_signals) == (["SIGHUP", "SIGINT"], ["SIGHUP", "SIGTERM"])
