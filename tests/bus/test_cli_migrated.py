"""What `ipcmules migrate` prints runs as it is, for each of the three servers: Unix socket, paths, hooks."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from ipcmules.cli import migration
from scripts import write
from support import Launcher, run_cli, wait_until
from webservers import free_port, program

INI = """\
[uwsgi]
chdir = %dhere
wsgi-file = project/wsgi.py
pythonpath = %dlib
http-socket = %drun/site.sock
chmod-socket = 660
umask = 027
processes = 2
mule = worker.py
locks = 1
env = COLOUR=light blue
hook-pre-app = write:../before pre
hook-post-app = write:../after post
hook-post-fork = append:../forked one.
mule-reload-mercy = 8
hook-as-user-atexit = write:../end exit
exec-asap = exit 0
cache2 = name=x,items=10
vacuum = true
logto = site.log
"""

APP = """
    import json, os, helper, uwsgi

    def application(environ, start_response):
        uwsgi.mule_msg(b"hello", 1)
        start_response("200 OK", [("Content-Type", "application/json")])
        answer = {"helper": helper.NAME, "colour": os.environ["COLOUR"], "opt": sorted(uwsgi.opt)}
        answer["umask"] = os.umask(0o27)
        return [json.dumps(answer).encode()]
"""

WORKER = """
    import uwsgi
    while True:
        print("mule", uwsgi.mule_get_msg(), flush=True)
"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("site", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def ask(path: Path) -> dict[str, object]:
    connection = _Connection(path)
    try:
        connection.request("GET", "/")
        found: dict[str, object] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


@pytest.mark.parametrize("server", ["gunicorn", "granian", "uvicorn"])
def test_the_printed_command(
    bus_env: object, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    pytest.importorskip(server)
    for each in ("here/project", "lib", "run"):
        (tmp_path / each).mkdir(parents=True)
    write(tmp_path / "here" / "project", "wsgi.py", APP)
    write(tmp_path / "here", "worker.py", WORKER)
    write(tmp_path / "lib", "helper.py", 'NAME = "helps"')
    (tmp_path / "site.ini").write_text(INI)
    done = run_cli("migrate", "site.ini", "--server", server, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("    ipcmules run ")]
    words = shlex.split(line)
    assert words[:4] == ["ipcmules", "run", "--config", "site.toml"]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = words[words.index("--") + 1 :]
    options = ("--bus", bus_name, "--config", "site.toml")
    with Launcher(*options, command=command, cwd=tmp_path, ready=False) as launcher:
        path, log = tmp_path / "run" / "site.sock", tmp_path / "site.log"
        wait_until(path.exists, 30, "the socket")

        def answer() -> dict[str, object] | None:
            try:
                return ask(path)
            except (OSError, http.client.HTTPException):
                return None

        found = wait_until(answer, 30, "an answer")
        assert (found["helper"], found["colour"]) == ("helps", "light blue")
        assert found["umask"] == 0o27 and (server == "uvicorn" or path.stat().st_mode & 0o060 == 0o060)
        logged = ("mule b'hello'\n", " ready: ", "GET /")
        wait_until(lambda: all(each in log.read_text() for each in logged), 30, "all of the log file")
        assert (tmp_path / "before").read_text() == "pre"
        assert (tmp_path / "forked").read_text() in ("one.", "one.one.")  # a worker each
        wait_until(lambda: (tmp_path / "after").exists() and (tmp_path / "after").read_text() == "post")
        assert not (tmp_path / "end").exists()
        launcher.stop()
    assert (tmp_path / "end").read_text() == "exit"


def test_a_reload_keeps_the_module_where_the_file_sets_the_python_path(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "jobs.py").write_text("import uwsgi, os\nprint('path', os.environ['PYTHONPATH'], flush=True)")
    (tmp_path / "site.toml").write_text(
        'compat = true\nimport = "jobs"\nmule = [""]\nenv = ["PYTHONPATH=lib:."]\n'
    )
    with Launcher("--bus", bus_name, "--config", "site.toml", command=["sleep", "60"], cwd=tmp_path) as bus:
        bus.wait_ready()
        done = run_cli("reload", "--bus", bus_name)
        assert done.returncode == 0, done.stderr
        first, second = (each for each in bus.stdout.splitlines() if each.startswith("path "))
    assert first == second and first.endswith(":lib:.")


def test_what_will_be_missing_is_said_when_it_starts(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "u.ini").write_text("[uwsgi]\nsnmp = :0\nchroot = /jail\nmule\n")
    with Launcher("--bus", bus_name, "--ini", "u.ini", command=["true"], cwd=tmp_path) as launcher:
        assert launcher.wait() == 0, launcher.output()
    (line,) = [each for each in launcher.stderr.splitlines() if "not done here" in each]
    assert "snmp (" in line and "chroot (the jail" in line


def test_a_hook_before_the_app_that_fails_stops_the_start(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "u.ini").write_text(
        "[uwsgi]\nmule\nexec-pre-app = exit 3\nhook-as-user-atexit = write:end x\n"
    )
    done = run_cli("run", "--bus", bus_name, "--ini", "u.ini", "--", "true", cwd=tmp_path)
    assert done.returncode == 2 and "the command ended with code 3" in done.stderr, done.stderr
    assert not (tmp_path / "end").exists()


def test_a_umask_that_is_no_mode(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    for word in ("9", "1000", "-1", "u=rw"):
        (tmp_path / "u.ini").write_text(f"[uwsgi]\nmule\numask = {word}\n")
        done = run_cli("run", "--bus", bus_name, "--ini", "u.ini", "--", "true", cwd=tmp_path)
        assert done.returncode == 2 and f"umask {word!r} is no mode" in done.stderr, done.stderr


def test_a_daemon_with_a_pid_file_is_started_once_and_outlives_the_bus(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "u.ini").write_text("[uwsgi]\nmule\nsmart-attach-daemon2 = %dpid sleep 60\n")
    pids: list[int] = []

    def alive() -> int:
        try:
            pid = int((tmp_path / "pid").read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return 0
        return pid

    try:
        for _ in range(2):
            with Launcher("--bus", bus_name, "--ini", "u.ini", command=["sleep", "60"], cwd=tmp_path) as bus:
                bus.wait_ready()
                pids.append(wait_until(alive, 20, "the daemon"))
                bus.stop()
            assert alive() == pids[0]
        assert pids[0] == pids[1]
    finally:
        for pid in set(pids):
            os.kill(pid, 9)


FACTORY = """
    import os

    def note(text):
        descriptor = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{text}\\n".encode())
        os.close(descriptor)

    made = []

    def create():
        import uwsgi
        made.append(uwsgi.masterpid())
        note(f"made {os.getpid()}")
        uwsgi.register_signal(7, "mules", lambda number: note(f"mule has {len(made)}"))
        uwsgi.register_signal(8, "workers", lambda number: note(f"worker has {len(made)}"))
        uwsgi.register_signal(9, "", lambda number: None)
        uwsgi.add_timer(9, 60)

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]

        return application
"""


@pytest.mark.parametrize(
    ("server", "lines"),
    [
        ("gunicorn", "module = site_app:create()"),
        ("granian", "module = site_app\ncallable = create()"),
        ("uvicorn", "module = site_app:create()"),
    ],
)
def test_an_applications_factory_is_called_where_uwsgi_calls_it(
    bus_env: object, bus_name: str, tmp_path: Path, server: str, lines: str
) -> None:
    """Django's get_wsgi_application() sets Django up, for mules and spoolers too.

    And what a factory registers is the same in every process: there is one timer.
    """
    write(tmp_path, "site_app.py", FACTORY)
    (tmp_path / "site.ini").write_text(
        f"[uwsgi]\n{lines}\nhttp-socket = 127.0.0.1:{free_port()}\nmule =\nprocesses = 2\n"
    )
    found = migration.read(str(tmp_path / "site.ini"), server).command
    command = program(*found[found.index("--") + 1 :])
    options = ("--bus", bus_name, "--compat", "--ini", "site.ini")

    def said(text: str, times: int) -> bool:
        notes = tmp_path / "notes"
        return notes.exists() and notes.read_text().splitlines().count(text) == times

    with Launcher(*options, command=command, cwd=tmp_path):
        wait_until(lambda: _workers(bus_name) == 2, 30, "the web workers")
        for number in ("7", "8"):
            assert run_cli("signal", "--bus", bus_name, number).returncode == 0
        wait_until(lambda: said("mule has 1", 1) and said("worker has 1", 2), 30, "both signals")
        events = json.loads(run_cli("events", "--bus", bus_name, "--json").stdout)
        assert [each["signal"] for each in events] == [9]


def _workers(bus: str) -> int:
    return len(json.loads(run_cli("status", "--bus", bus, "--json").stdout)["workers"])
