"""A small task that is written under its own name: who reads it meanwhile, and what is left of it."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipcmules.errors import SpoolWriteError
from ipcmules.spooler import at_once, claim, codec, names, request
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task

HEAD = codec.pack({"a": "1"})


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    writer = Writer(str(tmp_path / "spool"))
    writer.prepare()
    return writer


@pytest.fixture
def store(writer: Writer) -> Store:
    return Store(writer.directory)


def _meanwhile(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> None:
    """Have something done between the open and the write."""

    def write(file: int, data: bytes) -> int:
        call()
        return os.write(file, data)

    monkeypatch.setattr(at_once, "_write", write)


def _why(store: Store, name: str) -> str:
    found = store.claim(name)
    assert isinstance(found, Refusal)
    return found.why


def test_it_is_a_task_as_any_other(writer: Writer, store: Store) -> None:
    name = writer.put_at_once(request.read({"a": "1"}))
    assert names.is_task(name)
    assert (Path(writer.directory) / name).read_bytes() == HEAD
    assert stat.S_IMODE(os.stat(f"{writer.directory}/{name}").st_mode) == 0o600
    task = store.claim(name)
    assert isinstance(task, Task)
    task.done()
    assert os.listdir(writer.directory) == []


@pytest.mark.parametrize(
    "more", [{"body": b"x"}, {"at": 2_000_000_000}, {"priority": 5}, {"value": "x" * at_once.LONGEST}]
)
def test_what_is_written_otherwise(writer: Writer, more: dict[str, Any]) -> None:
    assert writer.put_at_once(request.read({"a": "1", **more})) == ""
    assert os.listdir(writer.directory) == []


def test_nor_is_what_must_be_on_the_disk(writer: Writer) -> None:
    writer.fsync = True
    assert writer.put_at_once(request.read({"a": "1"})) == ""


def test_a_directory_that_is_gone(writer: Writer) -> None:
    os.rmdir(writer.directory)
    assert writer.put_at_once(request.read({"a": "1"})) == ""


def test_who_looks_between_open_and_write_leaves_it_alone(
    writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Refusal] = []

    def look() -> None:
        (name,) = store.scan().due
        found = store.claim(name)
        assert isinstance(found, Refusal)
        seen.append(found)

    _meanwhile(monkeypatch, look)
    name = writer.put_at_once(request.read({"a": "1"}))
    (refusal,) = seen
    assert refusal.why == claim.YOUNG
    assert refusal.when - time.time() < 1  # it is whole in a moment
    assert isinstance(store.claim(name), Task)


def test_what_a_killed_writer_left_is_removed(
    writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = names.new_name()
    (Path(writer.directory) / name).touch(0o600)
    assert _why(store, name) == claim.YOUNG
    monkeypatch.setattr(claim, "YOUTH", -1.0)
    store = Store(writer.directory)
    assert _why(store, name) == claim.EMPTY
    assert os.listdir(writer.directory) == []


def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is set by a minute while a task is written."""
    times = iter((0.0, 60.0))
    monkeypatch.setattr(at_once, "_now", lambda: next(times))


def test_a_writer_that_was_taken_for_dead_writes_again(
    writer: Writer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "YOUTH", -1.0)
    _late(monkeypatch)
    _meanwhile(monkeypatch, lambda: _why(store, store.scan().due[0]))
    assert writer.put_at_once(request.read({"a": "1"})) == ""
    assert os.listdir(writer.directory) == []


def test_a_writer_that_is_late_and_was_not(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    _late(monkeypatch)
    name = writer.put_at_once(request.read({"a": "1"}))
    assert os.listdir(writer.directory) == [name]


def test_a_task_that_has_run_meanwhile_is_not_written_again(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _late(monkeypatch)

    def write(file: int, data: bytes) -> int:
        done = os.write(file, data)
        (name,) = os.listdir(writer.directory)
        os.unlink(f"{writer.directory}/{name}")  # as who ran it does
        return done

    monkeypatch.setattr(at_once, "_write", write)
    assert names.is_task(writer.put_at_once(request.read({"a": "1"})))


def test_a_sweeper_that_sees_it_whole_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    empty = os.stat(path)
    path.write_bytes(HEAD)
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert not at_once.sweep(str(path), file.fileno(), empty)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_disk_that_is_full_leaves_nothing(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "_write", lambda file, data: os.write(file, data[:5]))
    with pytest.raises(SpoolWriteError, match="make room"):
        writer.put_at_once(request.read({"a": "1"}))
    assert os.listdir(writer.directory) == []


def test_a_handler_that_raises_in_between_leaves_nothing(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.listdir("/proc/self/fd")

    def interrupt() -> None:
        raise KeyboardInterrupt

    _meanwhile(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.put_at_once(request.read({"a": "1"}))
    assert os.listdir(writer.directory) == []
    assert os.listdir("/proc/self/fd") == before


def test_who_tells_of_it_says_so_in_its_name(tmp_path: Path) -> None:
    mark = names.mark_of(1 << 40 | 12345)
    writer = Writer(str(tmp_path / "spool"), mark=mark)
    writer.prepare()
    name = writer.put_at_once(request.read({"a": "1"}))
    assert mark == "_12345_" and mark in name and names.fifo_key(name) is not None
    assert mark not in writer.put(HEAD)
