"""spool() from everywhere: on a bus, off it, over its restart, in forked children; what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ipcmules
import scripts
from ipcmules.errors import NotAttached, SpoolError, UnknownTarget
from ipcmules.spooler import codec
from support import Launcher, run_cli, wait_until

APP = """
    import os
    from ipcmules import set_spooler
    from ipcmules.decorators import spool

    def line(*words):
        with open(os.environ["RAN"], "ab", buffering=0) as file:
            file.write(" ".join(map(str, words)).encode() + b"\\n")

    @spool(pass_arguments=True)
    def work(number):
        line("work", number)

    def plain(task):
        line("plain", task[b"number"].decode(), os.path.basename(os.getcwd()))
        return -2

    set_spooler(plain)
"""


@pytest.fixture
def place(bus_env: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scripts.write(tmp_path, "app.py", APP)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    (tmp_path / "ran").touch()
    return tmp_path


def ran(place: Path) -> list[str]:
    return sorted((place / "ran").read_text().splitlines())


def wait_ran(place: Path, lines: list[str]) -> None:
    wait_until(lambda: len(ran(place)) >= len(lines), 30, f"{len(lines)} tasks")
    assert ran(place) == sorted(lines)


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("uwsgi_spoolfile_on_*"))


def test_off_the_bus_a_directory_is_named(place: Path) -> None:
    with pytest.raises(NotAttached, match="spooler="):
        ipcmules.spool(key="value")
    tasks = place / "tasks"
    task = {"key": "value", "spooler": str(tasks), b"n": 7}
    with pytest.raises(SpoolError, match="does not exist"):
        ipcmules.spool(task)
    tasks.mkdir(mode=0o750)
    first = ipcmules.spool(task, body="äöü")
    assert task == {"key": "value", "spooler": str(tasks), b"n": 7}, "the caller's dict is untouched"
    assert os.path.dirname(first) == str(tasks)
    data = Path(first).read_bytes()
    arguments, end = codec.unpack(data)
    assert arguments == {b"key": b"value", b"n": b"7", b"spooler": str(tasks).encode()}
    assert data[end:] == "äöü".encode()
    second = ipcmules.send_to_spooler(spooler=str(tasks).encode(), priority=5, at="4000000000")
    assert os.path.dirname(second) == str(tasks / "5")
    assert os.stat(second).st_mtime == 4e9
    with pytest.raises(SpoolError, match="body"):
        ipcmules.spool(spooler=str(tasks), key=b"x" * 70_000)
    assert len(files(tasks)) == 2


def test_on_the_bus_by_any_path_and_only_declared_ones(place: Path, bus_name: str) -> None:
    (place / "link").symlink_to("one")
    program = scripts.write(
        place,
        "enqueue.py",
        """
        import os, ipcmules
        print(os.path.relpath(ipcmules.spool(number=1)))
        print(os.path.relpath(ipcmules.spool(number=2, spooler="two")))
        print(os.path.relpath(ipcmules.spool(number=3, spooler=os.fsencode(os.path.abspath("link")))))
        if os.fork() == 0:
            ipcmules.spool(number=4)
            os._exit(0)
        os.wait()
        try:
            ipcmules.spool(number=5, spooler="three")
        except ipcmules.UnknownTarget as error:
            print(error)
        """,
    )
    options = ["--spooler", "one", "--spooler", "two", "--spooler-frequency", "600", "--import", "app"]
    command = [sys.executable, str(program)]
    with Launcher("--bus", bus_name, *options, cwd=place) as launcher:
        done = subprocess.run(
            command, cwd=place, env={**os.environ, "IPCMULES_BUS": bus_name}, capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        wait_ran(place, ["plain 1 one", "plain 2 two", "plain 3 one", "plain 4 one"])
    first, second, third, error = done.stdout.splitlines()
    assert [os.path.dirname(each) for each in (first, second, third)] == ["one", "two", "one"]
    assert "three" in error and "--spooler" in error
    assert "Traceback" not in launcher.stderr


def test_what_is_enqueued_off_the_bus_starts_at_once(place: Path, bus_name: str) -> None:
    options = ["--spooler", "tasks", "--spooler-frequency", "600", "--import", "app"]
    with Launcher("--bus", bus_name, *options, cwd=place):
        code = "import app; [app.work(n, spooler='tasks') for n in range(20)]"
        subprocess.run([sys.executable, "-c", code], cwd=place, timeout=60, check=True)
        wait_ran(place, [f"work {number}" for number in range(20)])


def test_a_process_that_outlives_its_bus_goes_on_enqueueing(place: Path, bus_name: str) -> None:
    """Tasks of a stopped bus wait in its directory; when it is back, it is told of new ones again."""
    program = scripts.write(
        place,
        "server.py",
        """
        import sys, app
        for line in sys.stdin:
            app.work(int(line))
            print("enqueued", flush=True)
        """,
    )
    options = ["--bus", bus_name, "--spooler", "tasks", "--spooler-frequency", "600", "--import", "app"]
    with subprocess.Popen(
        [sys.executable, str(program)], cwd=place, env={**os.environ, "IPCMULES_BUS": bus_name},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip

        def ask(number: int) -> None:
            assert server.stdin and server.stdout
            print(number, file=server.stdin, flush=True)
            assert server.stdout.readline() == "enqueued\n"

        with Launcher(*options, cwd=place):
            ask(1)
            wait_ran(place, ["work 1"])
        ask(2)
        assert len(files(place / "tasks")) == 1
        with Launcher(*options, cwd=place):
            wait_ran(place, ["work 1", "work 2"])
            ask(3)
            wait_ran(place, ["work 1", "work 2", "work 3"])
        assert server.stdin
        server.stdin.close()
    assert server.returncode == 0


def test_an_external_directory_is_run_by_another_bus(place: Path, bus_name: str) -> None:
    common = ["--spooler-frequency", "600", "--import", "app"]
    with (
        Launcher("--bus", f"{bus_name}a", "--spooler", "tasks", *common, cwd=place),
        Launcher("--bus", f"{bus_name}b", "--spooler-external", "tasks", *common, cwd=place),
    ):
        environment = {**os.environ, "IPCMULES_BUS": f"{bus_name}b"}
        code = "import app; [app.work(n) for n in range(10)]"
        subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, timeout=60, check=True)
        assert run_cli("spool", "--bus", f"{bus_name}b", "number=7", cwd=place).returncode == 0
        wait_ran(place, [*(f"work {number}" for number in range(10)), "plain 7 tasks"])


def test_a_bus_without_a_spooler_says_so(place: Path, bus_name: str) -> None:
    code = "import ipcmules; ipcmules.spool(key='value')"
    with Launcher("--bus", bus_name, cwd=place):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=place, env={**os.environ, "IPCMULES_BUS": bus_name},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode and "has no spooler" in done.stderr and UnknownTarget.__name__ in done.stderr
