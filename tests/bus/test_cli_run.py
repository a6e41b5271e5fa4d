"""`ipcmules run`, the real one: what it starts, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

ECHO = """
import sys
from ipcmules import mule_get_msg, mule_id
print("mule", mule_id(), sys.argv[1:], __name__, flush=True)
while True:
    print(mule_id(), "got", mule_get_msg(), flush=True)
"""


@pytest.fixture
def program(bus_env: BusEnvironment) -> str:
    """A directory of the test's own with a mule program in it; its path."""
    path = bus_env.directory / "echo.py"
    path.write_text(ECHO)
    return str(path)


def test_the_ready_line_and_a_stop(bus_env: BusEnvironment, bus_name: str, program: str) -> None:
    options = ["--bus", bus_name, f"--mule={program}", "--mule", "--farm", "f:1,2", "--locks", "1"]
    with Launcher(*options) as launcher:
        ready = re.search(
            rf"^ipcmules: bus {bus_name} ready: 2 mules, 1 farm, 0 workers, 2 locks, "
            r"in (\d+\.\d\d) s \(pid (\d+)\)$",
            launcher.stderr,
            re.MULTILINE,
        )
        assert ready and int(ready[2]) == launcher.pid
        launcher.wait_output("mule 1 [] __main__\n")
    assert launcher.code == 0


def test_a_relative_program_its_arguments_and_directory(
    bus_env: BusEnvironment, bus_name: str, program: str
) -> None:
    (bus_env.directory / "helper.py").write_text("WORD = 'helped'\n")
    (bus_env.directory / "sub").mkdir()
    (bus_env.directory / "sub" / "deep.py").write_text(
        "import os, sys, near\nprint(near.WORD, os.getcwd(), sys.argv, flush=True)\n" + ECHO
    )
    (bus_env.directory / "sub" / "near.py").write_text("from helper import WORD\n")
    options = ["--bus", bus_name, "--chdir", str(bus_env.directory), "--mule=sub/deep.py", "--pyargv", "-a b"]
    with Launcher(*options) as launcher:
        where = bus_env.directory
        launcher.wait_output(f"helped {where} ['{where}/sub/deep.py', '-a', 'b']\n")


def test_the_exit_code_of_the_command(bus_env: BusEnvironment, bus_name: str) -> None:
    for script, expected in (("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)):
        ended = run_cli("run", "--bus", bus_name, "--mules", "1", "--", "sh", "-c", script)
        assert ended.returncode == expected, ended.stderr
        assert f"bus {bus_name} ready" in ended.stderr


def test_the_command_is_on_the_bus(bus_env: BusEnvironment, bus_name: str, program: str) -> None:
    code = (
        "import os, ipcmules\n"
        "print(os.environ['IPCMULES_BUS'], os.environ['IPCMULES_RUNTIME_DIR'], flush=True)\n"
        "assert ipcmules.mule_msg(b'from the command', 1)\n"
    )
    ended = run_cli("run", "--bus", bus_name, f"--mule={program}", "--", sys.executable, "-c", code)
    assert ended.returncode == 0, ended.stderr
    assert f"{bus_name} {os.path.realpath(bus_env.runtime)}\n" in ended.stdout
    assert "1 got b'from the command'\n" in ended.stdout  # drained before the end


def test_the_environment_names_the_bus(
    bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPCMULES_BUS", bus_name)
    ended = run_cli("run", "--mules", "1", "--", "true")
    assert (ended.returncode, f"bus {bus_name} ready" in ended.stderr) == (0, True)


def test_a_bus_from_files(bus_env: BusEnvironment, bus_name: str, program: str) -> None:
    (bus_env.directory / "bus.ini").write_text(
        f"[uwsgi]\nbase = %d\nmule = %(base)echo.py\nmule\nfarm = f:1\nprocesses = 4\nsocket = :1\n"
        f"home = /nowhere\npyargv = from-ini\n[ipcmules]\nbus = {bus_name}\n"
    )
    (bus_env.directory / "bus.toml").write_text("locks = 3\n[ipcmules]\nmules = 1\nfarm = {g = [2, 3]}\n")
    options = [f"--ini={bus_env.directory}/bus.ini", f"--config={bus_env.directory}/bus.toml"]
    with Launcher(*options) as launcher:
        launcher.wait_output("mule 1 ['from-ini'] __main__\n")
        launcher.wait_log("ready: 3 mules, 2 farms, 0 workers, 4 locks")
        assert launcher.stderr.count("options that have no meaning here") == 1
        launcher.wait_log("bus.ini: base")


def test_the_app_is_loaded_from_the_current_directory(bus_env: BusEnvironment, bus_name: str) -> None:
    # One write(2) a line, so that two processes that load at once cannot mix theirs.
    (bus_env.directory / "app.py").write_text("import os\nos.write(1, f'app {os.getpid()}\\n'.encode())\n")
    for lazy, expected in (([], 1), (["--lazy-apps"], 2)):
        options = ["run", "--bus", bus_name, "--mules", "2", "--import", "app", *lazy, "--", "true"]
        ended = run_cli(*options, cwd=bus_env.directory)
        assert ended.returncode == 0, ended.stderr
        assert len(re.findall(r"^app \d+$", ended.stdout, re.MULTILINE)) == expected


def test_modules_of_the_current_directory_do_not_reach_the_master(
    bus_env: BusEnvironment, bus_name: str
) -> None:
    # The app's own processes may find these names there; the launcher, which imports them too, must not.
    for name in ("click", "rich"):
        (bus_env.directory / f"{name}.py").write_text("print('not for the launcher', flush=True)\n")
    ended = run_cli("run", "--bus", bus_name, "--mules", "1", "--", "true", cwd=bus_env.directory)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_workers(bus_env: BusEnvironment, bus_name: str) -> None:
    (bus_env.directory / "app.py").write_text(
        "from ipcmules.decorators import postfork\nfrom ipcmules import worker_id\n"
        "@postfork\ndef say():\n    print('worker', worker_id(), flush=True)\n"
    )
    options = ["--bus", bus_name, "-p", "2", "--import", "app"]
    with Launcher(*options, cwd=bus_env.directory) as launcher:
        launcher.wait_log("0 mules, 0 farms, 2 workers, 1 lock")
        launcher.wait_output("worker 1\n")
        launcher.wait_output("worker 2\n")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_stop_it(bus_env: BusEnvironment, bus_name: str, signum: int) -> None:
    with Launcher("--bus", bus_name, "--mules", "2") as launcher:
        assert launcher.stop(signum) == 0
        assert "Traceback" not in launcher.stderr


def test_a_second_bus_of_the_name_is_refused(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1") as launcher:
        second = run_cli("run", "--bus", bus_name, "--mules", "1")
        assert second.returncode == 1
        assert second.stderr.startswith(f"ipcmules: error: bus '{bus_name}' is running already")
        assert f"pid {launcher.pid}" in second.stderr
        assert run_cli("status", "--bus", bus_name).returncode == 0


@pytest.mark.parametrize(
    ("options", "source", "words"),
    [
        (["--import", "app"], "1/0\n", ["ZeroDivisionError", "app.py"]),
        (["--import", "no_such_module"], "", ["No module named 'no_such_module'"]),
        (["--mule=app.py"], "raise RuntimeError('early')\n", ["RuntimeError: early", "app.py"]),
        (["--mule=app:missing"], "", ["missing"]),
    ],
)
def test_an_app_or_program_that_fails_fails_the_start(
    bus_env: BusEnvironment, bus_name: str, options: list[str], source: str, words: list[str]
) -> None:
    (bus_env.directory / "app.py").write_text(source)
    ended = run_cli("run", "--bus", bus_name, *options, cwd=bus_env.directory)
    assert ended.returncode == 1
    assert "ipcmules: error: " in ended.stderr
    assert "ready" not in ended.stderr.partition("ipcmules: error: ")[0]
    for word in words:
        assert word in ended.stderr


def test_wrong_input_starts_nothing(bus_env: BusEnvironment, bus_name: str) -> None:
    ended = run_cli("run", "--bus", bus_name, "--mule=missing.py")
    assert ended.returncode == 2
    assert ended.stderr.startswith("ipcmules: error: mule program 'missing.py' does not exist in ")
    assert ended.stderr.count("\n") == 1
    assert not bus_env.runtime.exists()


def test_titles_name_bus_role_and_number(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "2", "-p", "1"):
        found = json.loads(run_cli("status", "--json", "--bus", bus_name).stdout)

        def title(pid: int) -> str:
            return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()

        assert title(found["mules"][1]["pid"]) == f"ipcmules: {bus_name} mule 2"
        assert title(found["workers"][0]["pid"]) == f"ipcmules: {bus_name} worker 1"
        wait_until(lambda: bus_name in title(found["master"]["pid"]), 5, "the master's title")
