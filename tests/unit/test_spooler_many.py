"""Many small tasks, written one after the other: each as a single one is, and none where one fails."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

import ipcmules
from ipcmules.decorators import spool
from ipcmules.errors import SpoolError, SpoolWriteError
from ipcmules.functions import tracing
from ipcmules.spooler import at_once, calls, codec, names, scan
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task
from support import wait_until


@spool(pass_arguments=True)
def many_unit(one: object, two: object = None) -> None:
    """Is enqueued here and never run."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "spool"
    found.mkdir(0o750)
    return found


def _files(place: Path) -> list[str]:
    return [each for each in os.listdir(place) if names.is_task(each)]


def test_each_is_what_a_call_makes(place: Path) -> None:
    given: list[object] = [(1,), {"one": 2, "two": 3}, "x", ("y" * 70_000,), ("z" * 5000,), (1, 2), None]
    tasks = ipcmules.spool_many(many_unit, given * 30, spooler=str(place))
    assert len(set(tasks)) == 7 * 30 == len(_files(place)) and tasks[0].status() == "waiting"
    calls_made = [((1,), {}), ((), {"one": 2, "two": 3}), (("x",), {}), (("y" * 70_000,), {})]
    calls_made += [(("z" * 5000,), {}), ((1, 2), {}), ((None,), {})]
    for task, (args, kwargs) in zip(tasks, calls_made * 30, strict=True):
        single = many_unit(*args, **kwargs, spooler=str(place))
        data = Path(task).read_bytes()
        assert codec.unpack(data)[0] == codec.unpack(Path(single).read_bytes())[0]
        assert stat.S_IMODE(os.stat(task).st_mode) == 0o600
        os.unlink(single)
    # In the order of the calls, whatever the clock's ticks.
    found = [f"{place}/{name}" for name in scan.scan(str(place), False).due]
    assert found == tasks == sorted(tasks, key=names.order_key)
    store, seen = Store(str(place)), []
    for task in tasks[:7]:
        held = store.claim(os.path.basename(task))
        assert isinstance(held, Task)
        function = calls.select(env := calls.environment(held.name, held.arguments, held.body))
        assert function is many_unit.carried
        seen.append(function.unpack(env)[:2])
        held.done()
    assert seen == calls_made


def test_a_priority_and_a_time(place: Path) -> None:
    urgent = ipcmules.spool_many(many_unit, range(100), spooler=str(place), priority=3)
    assert {os.path.dirname(each) for each in urgent} == {f"{place}/3"}
    later = ipcmules.spool_many(many_unit, range(100), spooler=str(place), at=2e9)
    assert {each.status() for each in later} == {"scheduled"}


def test_what_the_function_does_not_take_writes_none(place: Path) -> None:
    with pytest.raises(TypeError, match="cannot be called so"):
        ipcmules.spool_many(many_unit, [(1,)] * 50 + [(1, 2, 3)], spooler=str(place))
    with pytest.raises(SpoolError, match="cannot be enqueued"):
        ipcmules.spool_many(many_unit, [(1,)] * 50 + [(lambda: 1,)], spooler=str(place))
    assert _files(place) == []


def test_each_carries_the_context_of_who_traces(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "carried", lambda: {tracing.KEY: "{}"})
    tasks = ipcmules.spool_many(many_unit, [(1,), {"one": 1}] * 10, spooler=str(place))
    for each in tasks:
        assert codec.unpack(Path(each).read_bytes())[0][tracing.KEY.encode()] == b"{}"


@pytest.mark.parametrize("wrong", ["error", "short"])
def test_a_full_disk_leaves_none(place: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    count = 0

    def write(file: int, data: bytes) -> int:
        nonlocal count
        count += 1
        if count != 100:
            return os.write(file, data)
        if wrong == "short":
            return os.write(file, data[:10])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(at_once, "_write", write)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SpoolWriteError, match="nothing of it is left"):
        ipcmules.spool_many(many_unit, range(200), spooler=str(place))
    assert os.listdir(place) == [] and os.listdir("/proc/self/fd") == before


def test_a_handler_that_raises_leaves_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: int, data: bytes) -> int:
        if len(os.listdir(place)) == 90:
            raise KeyboardInterrupt
        return os.write(file, data)

    monkeypatch.setattr(at_once, "_write", write)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt):
        ipcmules.spool_many(many_unit, range(200), spooler=str(place))
    assert _files(place) == [] and os.listdir("/proc/self/fd") == before


def test_a_killed_writer_leaves_whole_ones_and_an_empty_one_at_most(place: Path) -> None:
    child = os.fork()
    if not child:
        try:
            ipcmules.spool_many(many_unit, range(100_000), spooler=str(place))
        finally:
            os._exit(1)
    wait_until(lambda: len(os.listdir(place)) > 500, what="tasks")
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    empty = 0
    for each in _files(place):
        data = (place / each).read_bytes()
        if data:
            assert codec.unpack(data)[1] == len(data)
        empty += not data
    assert empty <= 1


def test_few_descriptors_do(place: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ipcmules.spool_many(many_unit, range(20), spooler=str(place))  # what is imported first is imported
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        tasks = ipcmules.spool_many(many_unit, range(200), spooler=str(place))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(_files(place)) == 220 and {each.status() for each in tasks} == {"waiting"}


def test_one_that_was_taken_for_a_dead_writers_is_written_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def write(file: int, data: bytes) -> int:
        nonlocal count
        count += 1
        if count == 5:  # as a sweeper does, of one that was stopped between its open and its write
            (name,) = [each for each in _files(place) if not (place / each).stat().st_size]
            assert at_once.sweep(str(place / name), file, os.fstat(file))
        return os.write(file, data)

    ipcmules.spool_many(many_unit, range(20), spooler=str(place))
    monkeypatch.setattr(at_once, "_write", write)
    monkeypatch.setattr(at_once, "_PROMPT", 0.0)
    tasks = ipcmules.spool_many(many_unit, range(20), spooler=str(place))
    assert len(set(tasks)) == 20 and len(_files(place)) == 40
    assert {each.status() for each in tasks} == {"waiting"}


def test_a_directory_of_a_priority_that_went_is_made_again(place: Path) -> None:
    ipcmules.spool_many(many_unit, range(20), spooler=str(place), priority=1)
    for each in (place / "1").iterdir():
        each.unlink()
    (place / "1").rmdir()
    tasks = ipcmules.spool_many(many_unit, range(20), spooler=str(place), priority=1)
    assert {each.status() for each in tasks} == {"waiting"}


def test_a_directory_that_goes_in_between_is_an_error_and_none_is_written_twice(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0

    def open_(path: str, flags: int, mode: int, *, dir_fd: int) -> int:
        nonlocal opened
        opened += 1
        if opened == 30:  # all before it were run
            raise FileNotFoundError(errno.ENOENT, "gone", path)
        return os.open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(at_once, "_open", open_)
    with pytest.raises(SpoolWriteError):
        ipcmules.spool_many(many_unit, range(50), spooler=str(place))
    assert opened == 30 and _files(place) == []
