"""Tasks that come by themselves: when, one at a time, whoever is killed or away meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.decorators import spool
from ipcmules.decorators.periods import Cron, Every
from ipcmules.spooler import calls, keyed, names, schedules
from ipcmules.spooler.schedules import Ticker
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task


@pytest.fixture
def where(tmp_path: Path) -> str:
    tmp_path.chmod(0o700)
    return str(tmp_path)


def function(**period: Any) -> calls.SpoolFunction:
    @spool(pass_arguments=True, name="app.tidy", **period)
    def tidy(more: int = 1) -> None: ...

    return tidy._carried


def tasks(where: str) -> list[str]:
    return sorted(each for each in os.listdir(where) if names.is_task(each))


def finish(where: str) -> None:
    for name in tasks(where):
        task = Store(where).claim(name)
        assert isinstance(task, Task)
        task.done()


def test_they_come_one_at_a_time_and_a_missed_one_once(where: str) -> None:
    ticker = Ticker(where, [function(every=60)])
    assert ticker.tick(1000.0) == [] and ticker.next == 1060.0
    assert ticker.tick(1059.9) == []
    (first,) = ticker.tick(1060.5)
    assert tasks(where) == [first] and ticker.next == 1120.0
    assert ticker.tick(1120.0) == [], "the first is there still"
    finish(where)
    (second,) = ticker.tick(1180.0)
    assert second != first
    finish(where)
    # Nobody is there for a day, and then another process.
    later = Ticker(where, [function(every=60)])
    (missed,) = later.tick(1240.0 + 86400 + 7)
    assert later.next == 1240.0 + 86400 + 60 and tasks(where) == [missed]
    task = Store(where).claim(missed)
    assert isinstance(task, Task) and task.arguments[b"ipcmules_name"] == b"app.tidy"
    task.done()


def test_of_several_processes_one_writes_it(where: str) -> None:
    one, other = (Ticker(where, [function(every=60)]) for _ in range(2))
    one.tick(1000.0)
    assert other.tick(1001.0) == [] and other.next == 1060.0, "the first has said when"
    assert len(one.tick(1060.0)) == 1
    finish(where)
    assert other.tick(1060.0) == [] and other.next == 1120.0


def test_a_file_that_somebody_has_locked_is_tried_again(where: str) -> None:
    ticker = Ticker(where, [function(every=60)])
    ticker.tick(1000.0)
    (path,) = (Path(where) / schedules.DIRECTORY).iterdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, 2); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    holder.stdout.readline()
    try:
        assert ticker.tick(1060.0) == [] and ticker.next == 1060.1
    finally:
        holder.kill()
        holder.communicate()
    assert len(ticker.tick(1060.2)) == 1


def test_code_with_another_schedule_takes_over_when_it_starts(where: str) -> None:
    old = Ticker(where, [function(every=60)])
    old.tick(1000.0)
    new = Ticker(where, [function(cron="*/10 * * * *", tz="UTC")])
    assert new.tick(1030.0) == [] and new.next == 1200.0
    assert old.tick(1060.0) == [] and old.next == 1120.0, "it looks again, and does not take it back"
    assert len(new.tick(1200.0)) == 1


def test_a_clock_that_was_set_back_does_not_hold_it_up(where: str) -> None:
    ticker = Ticker(where, [function(every=60)])
    ticker.tick(1_000_000.0)
    again = Ticker(where, [function(every=60)])
    assert again.tick(1000.0) == [] and again.next == 1060.0
    assert len(again.tick(1060.0)) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"schedule": "every 60 s", "next": "x"}'])
def test_a_file_that_makes_no_sense_begins_anew(where: str, content: bytes) -> None:
    path = Path(where) / schedules.DIRECTORY / f"ipcmules_schedule_{keyed.digest('app.tidy')}"
    path.parent.mkdir()
    path.write_bytes(content)
    ticker = Ticker(where, [function(every=60)])
    assert ticker.tick(1000.0) == [] and ticker.next == 1060.0
    found = json.loads(path.read_bytes())
    assert (found["schedule"], found["next"], found["function"]) == ("every 60 s", 1060.0, "app.tidy")
    assert path.stat().st_size == 2048


_KILLED = """
    import os, signal, sys
    from ipcmules.decorators import spool
    from ipcmules.spooler import schedules
    from ipcmules.spooler.enqueue import Writer
    @spool(pass_arguments=True, name="app.tidy", every=60)
    def tidy(): ...
    ticker = schedules.Ticker(sys.argv[1], [tidy._carried])
    ticker.tick(1000.0)
    count = 0
    def wrap(place, name, at, after):
        real = getattr(place, name)
        def wrapped(*given, **more):
            global count
            count += 1
            if after and count == at:
                real(*given, **more)
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)
        setattr(place, name, wrapped)
    wrap({step})
    ticker.tick(1060.0)
"""
#: Where the process is killed, and how many tasks there are then.
_STEPS = {
    "before anything": ("schedules, '_write', 1, False", 0),
    "the name is there": ("schedules, '_write', 1, True", 0),
    "the task is not there": ("Writer, 'put', 1, False", 0),
    "the task is there": ("Writer, 'put', 1, True", 1),
    "it is not said": ("schedules, '_write', 2, False", 1),
    "it is said": ("schedules, '_write', 2, True", 1),
}


@pytest.mark.parametrize("step", _STEPS)
def test_who_writes_it_is_killed_and_there_is_one(where: str, step: str) -> None:
    place, there = _STEPS[step]
    program = textwrap.dedent(_KILLED).format(step=place)
    done = subprocess.run([sys.executable, "-c", program, where], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(tasks(where)) == there
    ticker = Ticker(where, [function(every=60)])
    ticker.tick(1061.0)
    assert len(tasks(where)) == 1 and ticker.next == 1120.0


def test_a_full_disk_is_said_once_and_tried_again(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = Ticker(where, [function(every=60)])
    ticker.tick(1000.0)

    def full(*_given: Any, **_more: Any) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ticker._writer, "put", full)
        assert ticker.tick(1060.0) == [] and ticker.next == 1065.0
        assert ticker.tick(1065.0) == [] and ticker.next == 1070.0
    assert len(ticker.tick(1070.0)) == 1
    assert caplog.text.count("app.tidy cannot be written, it is tried again: ") == 1


@given(st.floats(0.1, 1e6), st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_next_is_later_and_in_step(seconds: float, last: float, now: float) -> None:
    every = Every(seconds)
    found = every.following(last, now)
    assert found > last and found > now - 1e-3
    assert found <= max(now, last) + seconds * (1 + 1e-6) + 1e-3
    steps = (found - last) / seconds
    assert steps == pytest.approx(round(steps), rel=1e-6)


def test_crons_follow_their_zone() -> None:
    cron = Cron("0 3 * * *", "Europe/Rome")
    assert cron.first(1_700_000_000) == 1_700_013_600  # 2023-11-15 03:00 +01:00
    assert cron.following(1_700_013_600, 1_700_013_600) == 1_700_013_600 + 86400


@pytest.mark.parametrize(
    ("period", "error", "says"),
    [
        ({"every": 60, "cron": "* * * * *"}, ValueError, "give one of them"),
        ({"every": 0.01}, ValueError, "0.1 to"),
        ({"every": "60"}, TypeError, "give seconds"),
        ({"tz": "UTC"}, ValueError, "give cron, too"),
        ({"cron": "61 * * * *"}, ValueError, "61"),
        ({"cron": "0 0 30 2 *"}, ValueError, "no such day|no time|never"),
        ({"cron": "* * * * *", "tz": "Nowhere/Town"}, ValueError, "Nowhere/Town"),
        ({"cron": 5}, TypeError, "give an expression"),
    ],
)
def test_periods_that_cannot_be_are_refused(period: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        function(**period)


def test_a_function_that_needs_arguments_cannot_come_by_itself() -> None:
    with pytest.raises(TypeError, match=r"needs.. cannot be called so"):

        @spool(pass_arguments=True, every=60)
        def needs(user: str) -> None: ...
