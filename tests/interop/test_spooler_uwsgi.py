"""Side by side with the real uWSGI on one spool directory: its tasks run here, ours run there, each once.

Skipped where there is no uwsgi executable: on PATH, beside this interpreter, or what UWSGI names.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import Launcher, wait_until

COUNT = 100
BIG = 200_000


def executable() -> str | None:
    beside = str(Path(sys.executable).with_name("uwsgi"))
    return os.environ.get("UWSGI") or shutil.which("uwsgi") or shutil.which(beside)


pytestmark = pytest.mark.skipif(executable() is None, reason="there is no uwsgi executable")

#: The app of both sides: each task leaves a line that says what ran, on which side, with what.
APP = """
    import os

    try:
        import uwsgi
        uwsgi.opt["spooler"] = b"declared"  # uwsgidecorators does not count --spooler-external
        from uwsgidecorators import spool, spoolraw
        side = "theirs"
    except ImportError:
        from ipcmules.decorators import spool, spoolraw
        side = "ours"


    def line(*words):
        with open(os.environ["RAN"], "ab", buffering=0) as file:
            file.write(" ".join(map(str, (side, *words))).encode() + b"\\n")


    @spool
    def plain(task):
        line("plain", task["number"], type(task["number"]).__name__, len(task.get("body", "")))


    @spool(pass_arguments=True)
    def given(number, word=None):
        line("given", number, type(number).__name__, word)


    @spoolraw(pass_arguments=True)
    def again(number):
        line("again", number)
        return -2


    def enqueue(first, count):
        for number in range(first, first + count):
            body = {"body": "x" * 70_000} if number % 10 == 0 else {}
            plain({"number": str(number), **body})
            given(number, word="two words")
            again(number)
"""

#: A mule that enqueues what the file ENQUEUE asks for, once it is there.
MULE = """
    import os, time
    import app

    while not os.path.exists(os.environ["ENQUEUE"]):
        time.sleep(0.02)
    app.enqueue(*map(int, open(os.environ["ENQUEUE"]).read().split()))
    open(os.environ["ENQUEUE"] + ".done", "w").close()
    time.sleep(600)
"""


class Uwsgi:
    """A uWSGI server with the app loaded, and a mule that enqueues when it is asked to."""

    def __init__(self, directory: Path, *options: str) -> None:
        program = executable()
        assert program is not None
        self.log = directory / "uwsgi.log"
        self._ask = directory / "enqueue-there"
        environment = {**os.environ, "RAN": str(directory / "ran"), "ENQUEUE": str(self._ask)}
        environment.pop("PYTHONPATH", None)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    program, "--master", "--no-orphans", "--die-on-term", "--processes", "1",
                    "--socket", str(directory / "socket"), "--home", str(Path(program).parent.parent),
                    "--pythonpath", str(directory), "--shared-import", "app", "--mule=enqueuer.py",
                    *options,
                ],
                cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._wait_log("spawned uWSGI mule 1")

    def _wait_log(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            return text in self.log.read_text(errors="replace")

        wait_until(there, 60, f"{text!r} in uWSGI's log")

    def enqueue(self, first: int, count: int) -> None:
        """Have its mule enqueue, and wait until it has."""
        partial = self._ask.with_suffix(".new")
        partial.write_text(f"{first} {count}")
        partial.rename(self._ask)
        done = Path(f"{self._ask}.done")
        wait_until(done.exists, 60, "uWSGI's enqueueing")

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Place:
    """A directory with the app, what has run, and the spool directory."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.spool = directory / "tasks"
        self.ran = directory / "ran"
        self._servers: list[Uwsgi] = []
        self.spool.mkdir(mode=0o750)
        self.ran.touch()
        (directory / "app.py").write_text(textwrap.dedent(APP))
        (directory / "enqueuer.py").write_text(textwrap.dedent(MULE))
        patch.setenv("RAN", str(self.ran))

    def uwsgi(self, *options: str) -> Uwsgi:
        server = Uwsgi(self.directory, *options)
        self._servers.append(server)
        return server

    def close(self) -> None:
        for each in self._servers:
            each.close()

    def ours(self, *options: str) -> Launcher:
        """Our bus with the app; a Python process on it enqueues with enqueue_here()."""
        return Launcher(*options, "--import", "app", cwd=self.directory, timeout=60)

    def enqueue_here(self, first: int, count: int, bus: str | None = None) -> None:
        """Enqueue from a process of ours: on the bus of that name, or on none with the directory named."""
        call = f"app.enqueue({first}, {count})"
        if bus is None:
            call = f"from ipcmules.api import tasks; tasks.default_directory = {str(self.spool)!r}; {call}"
        environment = {**os.environ, **({"IPCMULES_BUS": bus} if bus else {})}
        subprocess.run(
            [sys.executable, "-c", f"import app; {call}"],
            cwd=self.directory,
            env=environment,
            timeout=60,
            check=True,
        )

    def lines(self) -> list[str]:
        return self.ran.read_text().splitlines()

    def wait(self, count: int) -> None:
        """Until so many tasks have run and no file is left."""
        wait_until(lambda: len(self.lines()) >= count, 90, f"{count} tasks")
        wait_until(lambda: not self.files(), 30, "an empty directory")

    def files(self) -> list[str]:
        return [each.name for each in self.spool.iterdir() if each.name.startswith("uwsgi_spoolfile_on_")]


def expected(first: int, count: int) -> list[str]:
    """What the tasks of enqueue(first, count) leave, but for the side."""
    lines = []
    for number in range(first, first + count):
        lines.append(f"plain {number} str {70_000 if number % 10 == 0 else 0}")
        lines.append(f"given {number} int two words")
        lines.append(f"again {number}")
    return sorted(lines)


@pytest.fixture
def place(bus_env: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path, monkeypatch)
    yield place
    place.close()


def test_our_tasks_run_there(place: Place) -> None:
    """Enqueued from a process that is on no bus: uWSGI finds them at its next look."""
    place.uwsgi("--spooler", str(place.spool), "--spooler-frequency", "1")
    place.enqueue_here(0, COUNT)
    place.wait(3 * COUNT)
    assert sorted(place.lines()) == sorted(f"theirs {each}" for each in expected(0, COUNT))


def test_their_tasks_run_here(place: Place, bus_name: str) -> None:
    """uWSGI only enqueues (--spooler-external), our spoolers see each file when it is written."""
    with place.ours(
        "--bus",
        bus_name,
        "--spooler",
        str(place.spool),
        "--spooler-processes",
        "2",
        "--spooler-frequency",
        "600",
    ):
        uwsgi = place.uwsgi("--spooler-external", str(place.spool))
        uwsgi.enqueue(0, COUNT)
        place.wait(3 * COUNT)
    assert sorted(place.lines()) == sorted(f"ours {each}" for each in expected(0, COUNT))


def test_both_at_once_and_each_task_once(place: Place, bus_name: str) -> None:
    """Two spoolers of each side on one directory, while both sides enqueue."""
    options = ("--spooler", str(place.spool), "--spooler-processes", "2", "--spooler-frequency", "1")
    with place.ours("--bus", bus_name, *options) as launcher:
        uwsgi = place.uwsgi(*options)
        here = subprocess.Popen(
            [sys.executable, "-c", f"import app; app.enqueue(0, {COUNT})"],
            cwd=place.directory,
            env={**os.environ, "IPCMULES_BUS": bus_name},
        )
        uwsgi.enqueue(COUNT, COUNT)
        assert here.wait(60) == 0
        place.wait(6 * COUNT)
        assert "Traceback" not in launcher.stderr, launcher.output()
    ran = [line.split(" ", 1) for line in place.lines()]
    assert sorted(rest for _side, rest in ran) == sorted(expected(0, COUNT) + expected(COUNT, COUNT))
    assert {side for side, _rest in ran} == {"ours", "theirs"}


def test_a_large_call_waits_for_a_spooler_of_ours(place: Place, bus_name: str) -> None:
    """Arguments that went into the body: uWSGI keeps the task, and our spooler runs it."""
    uwsgi = place.uwsgi("--spooler", str(place.spool), "--spooler-frequency", "1")
    subprocess.run(
        [sys.executable, "-c", f"import app; app.given('x' * {BIG}, spooler={str(place.spool)!r})"],
        cwd=place.directory,
        timeout=60,
        check=True,
    )
    wait_until(lambda: "ipcmules" in uwsgi.log.read_text(errors="replace"), 60, "the error there")
    assert place.files() and not place.lines()
    uwsgi.close()
    with place.ours("--bus", bus_name, "--spooler", str(place.spool)):
        place.wait(1)
    assert place.lines() == [f"ours given {'x' * BIG} str None"]
