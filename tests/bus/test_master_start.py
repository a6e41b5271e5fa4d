"""Starting a bus: what is an error then, with which text, and that nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import scripts
from conftest import BusEnvironment
from support import Launcher, run_cli


def fails(directory: Path, name: str, *arguments: str) -> str:
    done = run_cli("run", "--bus", name, *arguments, cwd=directory)
    assert done.returncode in (1, 2), done.stderr
    return done.stderr


def test_an_app_that_raises(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", "def broken():\n    raise KeyError('why')\nbroken()\n")
    text = fails(tmp_path, bus_name, "--mule", "--import", "app")
    assert "the app could not be loaded:\nTraceback" in text
    assert text.rstrip().endswith("KeyError: 'why'") and "ipcmules/mule" not in text
    text = fails(tmp_path, bus_name, "--mule", "--import", "app", "--lazy-apps")
    assert "mule 1 (signal-only) ended with code 1 before it was ready:\nTraceback" in text
    assert "KeyError: 'why'" in text


def test_errors_before_the_apps_first_line_are_short(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    """A file that cannot be compiled, a module that is not there: our own frames would say nothing."""
    (tmp_path / "bad.py").write_text("x = 1\ndef main(:\n")
    for arguments in (
        ["--import", "bad.py"],
        ["--mule=bad.py"],
        ["--import", "nothing"],
        ["--mule=nothing:f"],
    ):
        done = run_cli("run", "--bus", bus_name, *arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert "bad.py" not in arguments[-1] or 'bad.py", line 2' in done.stderr
        assert "ipcmules/mule" not in done.stderr and len(done.stderr.splitlines()) <= 5, done.stderr


def test_an_app_that_is_missing(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    assert "ModuleNotFoundError: No module named 'nothing'" in fails(
        tmp_path, bus_name, "--import", "nothing"
    )
    assert "does not exist" in fails(tmp_path, bus_name, "--import", "nothing.py")


@pytest.mark.parametrize(
    ("source", "program", "word"),
    [
        ("import nothing", "program.py", "ModuleNotFoundError: No module named 'nothing'"),
        ("def main(:", "program.py", "SyntaxError"),
        ("raise SystemExit(3)", "program.py", "mule 1 (program.py) ended with code 3"),
        ("", "absent.py", "'absent.py' does not exist"),
        ("", "program:main", "has no 'main'"),
        ("main = 3", "program:main", "'main' is a int, not callable"),
        ("", "absent:main", "ModuleNotFoundError: No module named 'absent'"),
        ("def main(): raise OSError('no')", "program:main", "OSError: no"),
        ("import os; os.kill(os.getpid(), 9)", "program.py", "was killed by SIGKILL before it was ready"),
    ],
)
def test_a_program_that_cannot_start(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, source: str, program: str, word: str
) -> None:
    scripts.write(tmp_path, "program.py", source + "\n")
    assert word in fails(tmp_path, bus_name, f"--mule={program}", "--mule")


def test_a_program_that_returns_at_once_is_no_failed_start(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "once.py", "print('ran')\n")
    with Launcher("--bus", bus_name, "--mule=once.py", cwd=tmp_path) as launcher:
        launcher.wait_output("ran\nran\nran\n")
    assert launcher.code == 0 and "ended with code 0: starting it again" in launcher.stderr


def test_a_command_that_cannot_be_run(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    text = fails(tmp_path, bus_name, "--mule", "--", "/nonexistent/command")
    assert "'/nonexistent/command'" in text


def test_a_bus_that_runs_is_not_started_again(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    with Launcher("--bus", bus_name, "--mule") as launcher:
        done = run_cli("run", "--bus", bus_name, "--mule")
        assert done.returncode == 1 and f"pid {launcher.pid}" in done.stderr


def test_a_start_that_hangs_can_be_stopped(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", "print('loading', flush=True)\nimport time; time.sleep(600)\n")
    with Launcher("--bus", bus_name, "--mule", "--import", "app", ready=False, cwd=tmp_path) as launcher:
        launcher.wait_output("loading")
        assert launcher.stop() == 0


def test_a_hundred_mules_start_within_two_seconds_and_stay_small(
    bus_env: BusEnvironment, large_bus: None, bus_name: str
) -> None:
    with Launcher("--bus", bus_name, "--mules", "100", "--import", "json") as launcher:
        seconds = float(launcher.stderr.rpartition("in ")[2].partition(" s")[0])
        assert seconds < 2, launcher.stderr
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        shares = [_pss(int(each)) for each in children]
        assert len(shares) == 101 and sorted(shares)[-2] < 4096
    assert launcher.code == 0


def _pss(pid: int) -> int:
    """Proportional set size in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def test_the_order_of_a_new_process(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(
        tmp_path,
        "app.py",
        """
        import os, ipcmules
        from ipcmules.decorators import postfork
        print("app", ipcmules.mule_id(), flush=True)

        @postfork
        def hook():
            print("hook", ipcmules.mule_id(), ipcmules.worker_id(), flush=True)

        def main():
            print("program", ipcmules.mule_id(), os.environ["IPCMULES_BUS"], flush=True)
            ipcmules.mule_get_msg()
        """,
    )
    arguments = ["--bus", bus_name, "--mule=app:main", "--import", "app"]
    with Launcher(*arguments, cwd=tmp_path) as launcher:
        launcher.wait_output("program")
    assert launcher.stdout.splitlines() == ["app 0", "hook 1 0", f"program 1 {bus_name}"]
    with Launcher(*arguments, "--lazy-apps", cwd=tmp_path) as launcher:
        launcher.wait_output("program")
    assert launcher.stdout.splitlines() == ["app 1", "hook 1 0", f"program 1 {bus_name}"]


def test_a_file_runs_as_main(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    scripts.write(tmp_path / "sub", "neighbour.py", "word = 'found'\n")
    scripts.write(
        tmp_path / "sub",
        "program.py",
        """
        import atexit, pickle, sys, ipcmules, neighbour
        class Thing: pass
        def bye(): print("bye", Thing.__name__)
        atexit.register(bye)
        if __name__ == "__main__":
            pickle.loads(pickle.dumps(Thing()))
            print(neighbour.word, sys.argv, flush=True)
            ipcmules.mule_get_msg()
        """,
    )
    with Launcher("--bus", bus_name, "--mule=sub/program.py", "--pyargv", "a b", cwd=tmp_path) as launcher:
        launcher.wait_output("found")
    assert launcher.stdout.splitlines() == [f"found ['{tmp_path}/sub/program.py', 'a', 'b']", "bye Thing"]
