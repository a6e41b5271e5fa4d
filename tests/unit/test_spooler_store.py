"""Taking tasks out of a directory: who gets one, what is refused, in which order they come."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipcmules.spooler import claim, codec, names, request
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task


class Spool:
    """A directory with both sides of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = Writer(str(path))
        self.store = Store(str(path))
        self.store.prepare()

    def put(self, **arguments: object) -> str:
        return self.writer.put(*request.read(arguments)[:4])

    def take(self, name: str) -> Task:
        task = self.store.claim(name)
        assert isinstance(task, Task), task
        return task

    def refused(self, name: str) -> Refusal:
        refusal = self.store.claim(name)
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def drop_in(self, name: str, data: bytes, age: float = 0) -> str:
        path = self.path / name
        path.write_bytes(data)
        if age:
            os.utime(path, (time.time() - age,) * 2)
        return name


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


class Holder:
    """Another process that has a file of the directory locked."""

    def __init__(self, path: Path) -> None:
        code = (
            "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, 2); print(flush=True); input()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout
        self.process.stdout.readline()

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_task_is_taken_run_and_gone(spool: Spool) -> None:
    name = spool.put(a=1, body=b"x" * 100_000)
    task = spool.take(name)
    assert (task.name, task.bare, task.arguments, len(task.body)) == (name, name, {b"a": b"1"}, 100_000)
    task.done()
    assert os.listdir(spool.path) == []
    assert spool.refused(name).why == claim.GONE


def test_a_task_is_taken_once_by_one_process(spool: Spool) -> None:
    name = spool.put(a=1)
    task = spool.take(name)
    assert spool.refused(name).why == claim.BUSY, "to take it again would drop the lock"
    assert claim.running(str(spool.path / name)) == os.getpid()
    task.ignore()
    with Holder(spool.path / name) as holder:
        for _ in range(2):
            assert spool.refused(name).why == claim.BUSY
        assert claim.running(str(spool.path / name)) == holder.process.pid
    spool.take(name).done()


def test_a_refused_task_makes_no_event(spool: Spool) -> None:
    """Else whoever watches the directory would have it looked at again, without end."""
    import inotify_simple

    later, busy, left = spool.put(at=time.time() + 1000), spool.put(), spool.put()
    young = spool.drop_in("uwsgi_spoolfile_on_young", b"x")
    with Holder(spool.path / busy):
        spool.refused(busy)
        spool.refused(young)
        spool.store.leave(spool.take(left), time.time() + 1000)
        with inotify_simple.INotify() as watch:
            flags = inotify_simple.flags
            watch.add_watch(str(spool.path), flags.CLOSE_WRITE | flags.MOVED_TO | flags.ATTRIB)
            whys = [spool.refused(name).why for name in (later, busy, left, young)]
            assert watch.read(timeout=0) == []
    assert whys == [claim.LATER, claim.BUSY, claim.LATER, claim.LATER]
    spool.take(busy).done()


def test_what_is_left_comes_back_in_time_or_when_it_changes(spool: Spool) -> None:
    name = spool.put(a=1)
    until = time.time() + 1000
    spool.store.leave(spool.take(name), until)
    assert spool.refused(name) == Refusal(claim.LATER, until)
    (spool.path / name).write_bytes(codec.pack({"a": "2"}))
    task = spool.take(name)
    assert task.arguments == {b"a": b"2"}
    spool.store.leave(task, time.time() - 1)
    spool.take(name).done()


_RACE = """
    import os, sys
    from ipcmules.spooler.store import Store, is_task
    store = Store(sys.argv[1])
    print(flush=True)
    input()
    ran = []
    while names := store.scan().due:
        for name in names:
            task = store.claim(name)
            if is_task(task):
                ran.append(task.arguments[b"n"].decode())
                task.done()
    print(" ".join(ran))
"""


def test_many_processes_take_every_task_once(spool: Spool) -> None:
    for number in range(1500):
        spool.put(n=number)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_RACE), str(spool.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in racers:
        assert each.stdout
        each.stdout.readline()
    for each in racers:
        assert each.stdin
        each.stdin.write("\n")
        each.stdin.flush()
    ran = [word for each in racers for word in each.communicate(timeout=60)[0].split()]
    assert sorted(map(int, ran)) == list(range(1500))
    assert os.listdir(spool.path) == []


# Moved, removed, replaced by hand


def test_moved_or_removed_while_it_runs(spool: Spool) -> None:
    for action in (os.unlink, lambda path: os.rename(path, path.with_name("elsewhere"))):
        name = spool.put(a=1)
        task = spool.take(name)
        action(spool.path / name)
        task.done()
        other = spool.put(a=2)
        task = spool.take(other)
        action(spool.path / other)
        assert task.failed("it failed").due
        (spool.path / "elsewhere").unlink(missing_ok=True)
        assert [each for each in os.listdir(spool.path) if names.is_task(each)] == []


def test_renamed_between_looking_and_locking(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    name = spool.put(a=1)
    look = claim.look

    def move_afterwards(path: str) -> object:
        found = look(path)
        monkeypatch.setattr(claim, "look", look)
        os.rename(path, f"{path}.moved")
        Path(path).write_bytes(codec.pack({"a": "other"}))
        return found

    monkeypatch.setattr(claim, "look", move_afterwards)
    assert spool.take(name).arguments == {b"a": b"other"}, "what has the name now is taken"


def test_the_directory_is_removed_and_made_again(spool: Spool) -> None:
    spool.put(a=1)
    shutil.rmtree(spool.path)
    with pytest.raises(FileNotFoundError):
        spool.store.scan()
    assert spool.refused("uwsgi_spoolfile_on_x").why == claim.GONE
    assert spool.store.deaths() == []
    name = spool.put(a=2)
    assert spool.store.scan().due == [name]
    spool.take(name).done()


def test_what_is_no_file_or_not_ours_is_left(spool: Spool) -> None:
    (spool.path / "uwsgi_spoolfile_on_directory").mkdir()
    os.mkfifo(spool.path / "uwsgi_spoolfile_on_fifo")
    (spool.path / "uwsgi_spoolfile_on_link").symlink_to(spool.path / spool.put(a=1))
    for name in ("directory", "fifo", "link"):
        assert spool.refused(f"uwsgi_spoolfile_on_{name}").why == claim.FOREIGN, name
    assert len(os.listdir(spool.path)) == 4


# Malformed files


def test_a_file_that_is_being_written_is_left_alone(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    name = spool.drop_in("uwsgi_spoolfile_on_new", b"\x11\x05", age=1000)  # who writes can set the time
    refusal = spool.refused(name)
    assert refusal.why == claim.YOUNG
    assert refusal.when <= time.time() + 60
    (spool.path / name).write_bytes(codec.pack({"a": "1"}))
    spool.take(name).done()
    locked = spool.drop_in("uwsgi_spoolfile_on_locked", b"")
    monkeypatch.setattr(claim, "YOUTH", -1.0)
    with Holder(spool.path / locked):
        assert spool.refused(locked).why == claim.BUSY


def test_an_old_one_goes_to_dead(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "YOUTH", -1.0)
    name = spool.drop_in("uwsgi_spoolfile_on_old", b"\x11\x05\x00\x00abc")
    refusal = spool.refused(name)
    assert refusal.why == claim.MALFORMED
    assert "promises 5 bytes" in refusal.reason
    assert os.listdir(spool.path) == ["dead"]
    assert (spool.path / "dead" / name).read_bytes() == b"\x11\x05\x00\x00abc"


@pytest.fixture
def quick_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.setattr(claim, "YOUTH", -1.0)
    yield Spool(tmp_path / "spool")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300), st.binary(max_size=60).map(lambda rest: b"\x11\x20\x00\x00" + rest)
    )
)
def test_any_file_is_a_task_or_dead(quick_spool: Spool, data: bytes) -> None:
    name = quick_spool.drop_in(names.new_name(), data)
    good = quick_spool.put(a=1)
    found = quick_spool.store.claim(name)
    if isinstance(found, Task):
        assert data.endswith(found.body)
        found.done()
    elif not data:
        assert found.why == claim.EMPTY
    else:
        assert found.why == claim.MALFORMED
        assert (quick_spool.path / "dead" / name).read_bytes() == data
    quick_spool.take(good).done()
    assert not (quick_spool.path / name).exists()


# When a task is due


def test_a_time_in_the_future(spool: Spool) -> None:
    due = time.time() + 0.3
    soon, late = spool.put(at=due), spool.put(at=time.time() + 1000)
    assert abs(spool.refused(soon).when - due) < 0.001
    found = spool.store.scan()
    assert found.due == []
    assert {name for _when, name in found.later} == {soon, late}
    while isinstance(task := spool.store.claim(soon), Refusal):
        assert task.why == claim.LATER
    assert time.time() >= due
    task.done()
    by_hand = spool.put(a=1)
    os.utime(spool.path / by_hand, (time.time() + 500,) * 2)
    assert spool.refused(by_hand).why == claim.LATER
    os.utime(spool.path / late)
    spool.take(late).done()


def test_the_clock_is_set_back(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now, planned, failed = spool.put(a=1), spool.put(at=time.time() + 10), spool.put(a=2)
    verdict = spool.take(failed).failed("it failed")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert verdict.due > time.time() + 3600
    found = spool.store.scan()
    assert found.due == [now], "it was not for later, only the clock was ahead"
    spool.take(now).done()
    assert spool.refused(planned).when > time.time() + 3600, "what was planned is planned by the clock"
    assert spool.refused(failed).when <= time.time() + 2.1, "a wait is no longer than it was"


# Order


def test_first_in_first_out_and_by_priority_where_there_is_one(spool: Spool) -> None:
    plain = [spool.put(n=number) for number in range(10)]
    assert spool.store.scan().due == plain and not spool.store.scan().numbered
    given = [spool.put(n=number, priority=number % 3) for number in range(30)]
    by_priority = [given[number] for rest in range(3) for number in range(rest, 30, 3)]
    found = spool.store.scan()
    assert found.due == by_priority + plain and found.numbered
    assert spool.store.scan(limit=15).due == by_priority[:15], "the urgent ones, if not all are brought"


def test_foreign_names_come_by_the_time_of_the_file(spool: Spool) -> None:
    old = spool.drop_in("uwsgi_spoolfile_on_b", codec.pack({}), age=100)
    between = spool.put(a=1)
    older = spool.drop_in("uwsgi_spoolfile_on_c", codec.pack({}), age=200)
    assert spool.store.scan().due == [older, old, between]


def test_ordered_takes_numbers_first_then_versions(spool: Spool) -> None:
    store = Store(str(spool.path), ordered=True)
    paths = ["2/2", "2/10", "10/1", "2/7/5", "9", "10", "1"]
    random.Random(4).shuffle(paths)
    for path in paths:
        where, _slash, name = path.rpartition("/")
        (spool.path / where).mkdir(parents=True, exist_ok=True)
        (spool.path / where / f"uwsgi_spoolfile_on_{name}").write_bytes(codec.pack({}))
    (spool.path / "word").mkdir()
    (spool.path / "word" / "uwsgi_spoolfile_on_1").write_bytes(codec.pack({}))
    (spool.path / "3").write_bytes(codec.pack({}))
    found = [name.replace("uwsgi_spoolfile_on_", "") for name in store.scan().due]
    assert found == ["2/7/5", "2/2", "2/10", "10/1", "1", "9", "10"]


@pytest.mark.parametrize("ordered", [False, True])
def test_more_than_a_scan_brings(spool: Spool, ordered: bool) -> None:
    store = Store(str(spool.path), ordered)
    given = [spool.put(n=number) for number in range(300)]
    ran: list[str] = []
    while True:
        found = store.scan(limit=40)
        assert len(found.due) <= 40
        assert found.more == (len(ran) + len(found.due) < 300)
        for name in found.due:
            ran.append(name)
            spool.take(name).done()
        if not found.more:
            break
    assert ran == given


def test_many_that_are_due_later_do_not_hide_one_that_is_due(spool: Spool) -> None:
    for _ in range(200):
        spool.put(at=time.time() + 1000)
    now = spool.put(a=1)
    found = spool.store.scan(limit=40)
    assert found.due == [now]
    assert len(found.later) == 40
    known = {name for _when, name in found.later}
    again = spool.store.scan(skip=known, limit=40)
    assert again.due == [now]
    assert not known & {name for _when, name in again.later}
