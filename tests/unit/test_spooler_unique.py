"""One task for a key: who else calls gets its name, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from ipcmules.decorators import spool
from ipcmules.errors import SpoolError
from ipcmules.spooler import cancelling, codec, keyed, names, request, unique
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(str(tmp_path / "spool"))


def put(
    writer: Writer, key: str, until: str = "done", function: str = "f", **task: object
) -> tuple[str, bool]:
    return unique.put(writer, request.read(task), function, key, until)


def files(writer: Writer) -> list[str]:
    return sorted(each for each in os.listdir(writer.directory) if names.is_task(each))


def test_a_second_call_meets_the_first_until_that_is_over(writer: Writer) -> None:
    first, is_new = put(writer, "a", number=1)
    assert is_new and put(writer, "a", number=2) == (first, False) and files(writer) == [first]
    assert put(writer, "b")[1] and put(writer, "a", function="g")[1], "another key, another function"
    store = Store(writer.directory)
    task = store.claim(first)
    assert isinstance(task, Task)
    task.done()
    second, is_new = put(writer, "a", number=3)
    assert is_new and second != first


def test_one_that_runs_keeps_others_away_or_not(writer: Writer) -> None:
    done, started = put(writer, "a")[0], put(writer, "b", "started")[0]
    store = Store(writer.directory)
    held = [store.claim(each) for each in (done, started)]
    try:
        assert put(writer, "a") == (done, False)
        waiting, is_new = put(writer, "b", "started")
        assert is_new and waiting != started
        assert put(writer, "b", "started") == (waiting, False), "one waits while one runs"
    finally:
        for each in held:
            assert isinstance(each, Task)
            each.ignore()


def test_one_that_failed_or_is_due_later_waits_and_a_dead_or_cancelled_one_does_not(writer: Writer) -> None:
    later = put(writer, "later", at=4_000_000_000, priority=3)[0]
    assert later.startswith("3/") and put(writer, "later") == (later, False)
    failed = put(writer, "a")[0]
    task = Store(writer.directory).claim(failed)
    assert isinstance(task, Task)
    task.failed("no good")
    assert put(writer, "a") == (failed, False)
    assert cancelling.take(writer.directory, failed)
    again, is_new = put(writer, "a")
    assert is_new
    task = Store(writer.directory).claim(again)
    assert isinstance(task, Task)
    task.bury(task.record)
    assert put(writer, "a")[1]


def test_one_that_is_too_late_to_be_begun_keeps_none_away(writer: Writer) -> None:
    """A spooler that takes it will remove it: whoever called meanwhile would be done by nobody."""

    def again(key: str, expires: float, **task: object) -> bool:
        return unique.put(writer, request.read(task), "f", key, "done", expires)[1]

    now = time.time()
    assert again("new", 60) and not again("new", 60) and again("new", 1e-6)
    assert again("planned", 60, at=now + 600) and not again("planned", 1e-6), "it counts from then on"
    assert again("past", 60, at=now - 600) and not again("past", 60), "it counts from the call on"
    running = unique.put(writer, request.read({}), "f", "runs", "done", 60)[0]
    held = Store(writer.directory).claim(running)
    assert isinstance(held, Task)
    try:
        assert not again("runs", 1e-6), "it was begun"
    finally:
        held.ignore()


@pytest.mark.parametrize("key", ["\udcff", "\ud800", "a\nb", "\0"])
def test_a_key_may_have_any_character(writer: Writer, key: str) -> None:
    first, is_new = put(writer, key)
    assert is_new and put(writer, key) == (first, False) and put(writer, key + "x")[1]


_RACE = """
    import sys
    from ipcmules.spooler import request, unique
    from ipcmules.spooler.enqueue import Writer
    writer = Writer(sys.argv[1])
    print(flush=True)
    input()
    for number in range(60):
        print(*unique.put(writer, request.read({"a": "1"}), "f", f"key-{number}", "done"))
"""


def test_of_several_processes_one_writes_each_key(writer: Writer) -> None:
    writer.prepare()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_RACE), writer.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for each in racers:
        assert each.stdout
        each.stdout.readline()
    told = [each.communicate("\n", timeout=60)[0].split("\n")[:60] for each in racers]
    for lines in zip(*told, strict=True):
        assert len({line.split()[0] for line in lines}) == 1
        assert Counter(line.split()[1] for line in lines) == {"True": 1, "False": 2}
    assert len(files(writer)) == 60


_KILLED = """
    import os, signal, sys
    from ipcmules.spooler import request, unique
    from ipcmules.spooler.enqueue import Writer
    def die(*_given, **_more):
        os.kill(os.getpid(), signal.SIGKILL)
    writer = Writer(sys.argv[1])
    writer.prepare()
    place, name, after = {step}
    real = getattr(place, name)
    setattr(place, name, (lambda *a, **k: (real(*a, **k), die())) if after else die)
    unique.put(writer, request.read({{"a": "1"}}), "f", "a", "done")
"""
#: Where a writer dies, and whether there is a task then.
_STEPS = {
    "it has the lock": ("os, 'pwrite', False", False),
    "the name is half written": ("os, 'ftruncate', False", False),
    "the task is not there": ("writer, 'put', False", False),
    "the task is there": ("writer, 'put', True", True),
}


@pytest.mark.parametrize("step", _STEPS)
def test_a_writer_is_killed(writer: Writer, step: str) -> None:
    where, there = _STEPS[step]
    program = textwrap.dedent(_KILLED).format(step=where)
    done = subprocess.run([sys.executable, "-c", program, writer.directory], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(files(writer)) == there
    _name, is_new = put(writer, "a")
    assert is_new is not there and len(files(writer)) == 1


def test_keys_whose_tasks_are_over_are_swept(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    name = put(writer, "a")[0]
    directory = Path(writer.directory)
    (key,) = (directory / unique.DIRECTORY).iterdir()
    assert key.read_text() == f"{name}\nf\na\n" and key.stat().st_mode == 0o100600
    monkeypatch.setattr(unique, "_YOUTH", -1.0)
    assert unique.sweep(writer.directory) == 0, "its task waits"
    (directory / name).unlink()
    assert unique.sweep(writer.directory) == 1 and put(writer, "a")[1]


def test_a_lock_that_somebody_keeps_is_waited_for_not_for_ever(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(writer, "a")
    (key,) = (Path(writer.directory) / unique.DIRECTORY).iterdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, 2); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    holder.stdout.readline()
    monkeypatch.setattr(unique, "_PATIENCE", 0.05)
    try:
        with pytest.raises(SpoolError, match="'a' could not be enqueued: another process keeps"):
            put(writer, "a")
    finally:
        holder.kill()
        holder.communicate()
    assert put(writer, "a")[1] is False


def test_keys_are_made_of_arguments() -> None:
    @spool(pass_arguments=True, unique="mail-{user}-{kind}")
    def mail(user: str, kind: str = "plain", **more: int) -> None: ...

    @spool(unique="{user}")
    def dictated(task: dict[str, str]) -> None: ...

    key = keyed.key_of("mail-{user}-{kind}", mail._carried, ("me",), {"spooler": "/x"}, "unique")
    assert key == "mail-me-plain"
    assert keyed.key_of("{user}", dictated._carried, ({"user": b"a"},), {"b": 1}, "unique") == "a"
    assert keyed.key_of("{a}", mail._carried, ("x",), {"a": 1}, "unique") == "1"
    with pytest.raises(SpoolError, match=r"dictated.. has unique='.user.', and of this call .* no 'user'"):
        dictated({"other": "1"})
    with pytest.raises(SpoolError, match="another server"):
        mail("me", spooler="127.0.0.1:9999")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"unique": "{nobody}"}, "has no parameter 'nobody'"),
        ({"unique": "{}"}, "must have names"),
        ({"unique": "{user"}, "unique='{user' is no key"),
        ({"unique": "{user}", "unique_until": "ever"}, "give 'done' or 'started'"),
        ({"concurrency": -1}, "give how many run at once"),
        ({"rate": "10"}, "as '10/m'"),
        ({"rate": "0/m"}, "as '10/m'"),
        ({"rate": "5/2d"}, "at most a day"),
        ({"key": "{user}"}, "give one of them, too"),
        ({"key": "{who}", "concurrency": 1}, "has no parameter 'who'"),
    ],
)
def test_what_cannot_be_is_refused_when_decorated(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):

        @spool(pass_arguments=True, **given)  # type: ignore[call-overload]
        def refused(user: str) -> None: ...


def test_arguments_of_a_task_with_a_key_are_as_ever(writer: Writer) -> None:
    name = put(writer, "a", number=7)[0]
    data = (Path(writer.directory) / name).read_bytes()
    assert codec.unpack(data)[0] == {b"number": b"7"}
