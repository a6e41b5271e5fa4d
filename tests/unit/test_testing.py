"""inline() and the pytest fixture: what would go to other processes runs here, at once, without a bus."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from ipcmules import decorators
from ipcmules.errors import LockError, NotAttached, SpoolError, UnknownTarget
from ipcmules.member import membership
from ipcmules.process import hooks
from ipcmules.spooler import calls
from ipcmules.testing import Inline, Message, Signal, inline

CHECKOUT = Path(__file__).resolve().parents[2]
BIG = b"x" * 100_000


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inline]:
    """inline() in a process that has registered nothing yet and is on no bus."""
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    monkeypatch.setattr(hooks, "mule_bodies", [])
    monkeypatch.setattr(hooks, "message_hooks", [] if hooks._carrier is None else [hooks._carrier])
    with inline() as ran:
        yield ran
    calls.assign(None)


# Messages


def test_a_message_goes_to_the_hooks(ran: Inline) -> None:
    seen: list[bytes] = []
    ipcmules.install_mule_msg_hook(seen.append)
    assert ipcmules.mule_msg("text") is True
    assert ipcmules.mule_msg(bytearray(b"two"), 2, timeout=0, priority=3) is True
    assert ipcmules.farm_msg("any", BIG)
    assert seen == [b"text", b"two", BIG]
    assert ran.messages == [Message(b"text", 0, True), Message(b"two", 2, True), Message(BIG, "any", True)]


def test_a_message_goes_to_the_function_of_its_target(ran: Inline) -> None:
    seen: list[tuple[str, bytes]] = []
    ipcmules.install_mule_msg_hook(lambda message: seen.append(("hook", message)))
    decorators.mulemsg(2)(lambda message: seen.append(("mule 2", message)))
    decorators.farm("writers")(lambda message: seen.append(("farm", message)))
    ipcmules.mule_msg(b"a")
    ipcmules.mule_msg(b"b", 1)
    ipcmules.mule_msg(b"c", 2)
    ipcmules.farm_msg("writers", b"d")
    ipcmules.mule_msg(b"e", b"writers")
    assert seen == [("hook", b"a"), ("hook", b"b"), ("mule 2", b"c"), ("farm", b"d"), ("farm", b"e")]


def test_a_message_that_nobody_takes_is_recorded(ran: Inline) -> None:
    assert ipcmules.mule_msg(b"for a program", 3)
    assert ran.messages == [Message(b"for a program", 3, False)]


def test_targets_and_types_are_checked(ran: Inline) -> None:
    for target in (True, -1, 1.5):
        with pytest.raises(UnknownTarget):
            ipcmules.mule_msg(b"", target)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ipcmules.mule_msg({})  # type: ignore[arg-type]


def test_a_mulefunc_call_runs_at_once_and_raises_what_the_function_raises(ran: Inline) -> None:
    seen: list[Any] = []

    @decorators.mulefunc(2)
    def work(number: int, *, word: str) -> None:
        seen.append((number, word))
        if number < 0:
            raise ValueError(f"negative: {number}")

    assert work(1, word="x") is True
    with pytest.raises(ValueError, match="negative: -1"):
        work(-1, word="y")
    assert seen == [(1, "x"), (-1, "y")]
    assert [each.target for each in ran.messages] == [2, 2]


# Signals


def test_a_signal_calls_its_handler(ran: Inline) -> None:
    seen: list[int] = []

    @decorators.signal(131, target="workers")
    def by_number(signum: int) -> None:
        seen.append(signum)

    @decorators.signal()
    def chosen(signum: int) -> None:
        seen.append(signum)

    @decorators.signal()
    def another(signum: int) -> None:
        raise RuntimeError("from a handler")

    ipcmules.signal(131)
    number = decorators.signal_number(chosen)
    ipcmules.signal(number)
    assert seen == [131, number] and ipcmules.signal_received() == number
    ipcmules.signal(132)
    assert ran.signals == [Signal(131, True), Signal(number, True), Signal(132, False)]
    assert decorators.signal_number(another) != number
    with pytest.raises(RuntimeError, match="from a handler"):
        ipcmules.signal(decorators.signal_number(another))
    with pytest.raises(ValueError, match="256"):
        ipcmules.signal(256)


def test_a_coroutine_function_runs(ran: Inline) -> None:
    seen = []

    async def hook(message: bytes) -> None:
        seen.append(message)

    ipcmules.install_mule_msg_hook(hook)
    ipcmules.mule_msg(b"x")
    assert seen == [b"x"]


# Tasks


def test_decorated_functions_run_as_in_a_spooler(ran: Inline) -> None:
    seen: list[Any] = []

    @decorators.spool
    def plain(task: dict[str, Any]) -> str:
        seen.append(task)
        return "dropped"

    @decorators.spool(pass_arguments=True, retries=3)
    def with_arguments(first: int, *, second: bytes = b"") -> None:
        seen.append((first, second))

    @decorators.spoolraw
    def raw(task: dict[str, Any]) -> int:
        return int(task["result"])

    @decorators.spoolforever(pass_arguments=True)
    def for_ever() -> None:
        seen.append("again")

    path = plain({"key": "value"}, number=7, body=b"\xff")
    assert isinstance(path, str) and os.path.basename(path) == seen[0].pop("spooler_task_name")
    assert seen.pop().items() >= {"key": "value", "number": "7", "body": b"\xff"}.items()
    with_arguments(1, second=BIG)
    with_arguments.spool(2, at=4_000_000_000, priority=3)
    raw(result=0)
    for_ever()
    assert seen == [(1, BIG), (2, b""), "again"]
    assert [(each.name, each.result) for each in ran.tasks] == [
        ("plain", -2),
        ("with_arguments", -2),
        ("with_arguments", -2),
        ("raw", 0),
        ("for_ever", -1),
    ]
    assert with_arguments.call(3) is None and seen[-1] == (3, b"")
    assert len(ran.tasks) == 5, "call() enqueues nothing"


def test_set_spooler_gets_the_dict_as_uwsgi_gives_it(ran: Inline) -> None:
    seen: list[dict[Any, Any]] = []

    def handler(task: dict[Any, Any]) -> int:
        seen.append(task)
        return ipcmules.SPOOL_OK

    ipcmules.spool({b"key": "ä", "n": 1.5, "body": "text"})  # nobody takes it
    ipcmules.set_spooler(handler)
    ipcmules.send_to_spooler(key=b"\x00", at="4000000000")
    (task,) = seen
    assert set(task) == {"spooler_task_name", b"key", b"at"}
    assert task[b"key"] == b"\x00" and task[b"at"] == b"4000000000"
    assert [each.result for each in ran.tasks] == [None, -2]
    assert ran.tasks[0].arguments["body"] == b"text" and ran.tasks[0].arguments[b"key"] == "ä".encode()


def test_what_a_task_raises_is_raised_and_what_cannot_be_enqueued_too(ran: Inline) -> None:
    @decorators.spool(pass_arguments=True)
    def failing(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        failing(0)
    assert ran.tasks[0].result is None
    with pytest.raises(SpoolError, match="body"):
        ipcmules.spool(key=BIG)
    for wrong in ({"at": "tomorrow"}, {"priority": "../x"}, {"key": object()}, {5: "x"}):
        with pytest.raises(SpoolError):
            ipcmules.spool(wrong)  # type: ignore[dict-item]
    assert len(ran.tasks) == 1


def test_one_thing_leads_to_another(ran: Inline) -> None:
    seen: list[str] = []

    @decorators.spool(pass_arguments=True)
    def mail(to: str) -> None:
        seen.append(to)
        ipcmules.signal(133)

    @decorators.signal(133)
    def sent(signum: int) -> None:
        seen.append("signal")

    @decorators.mulefunc
    def register(name: str) -> None:
        mail(name)

    register("someone")
    assert seen == ["someone", "signal"]
    assert (len(ran.messages), len(ran.tasks), len(ran.signals)) == (1, 1, 1)


# Locks, and the switch itself


def test_locks_are_of_this_process(ran: Inline) -> None:
    with ipcmules.Lock(3):
        assert ipcmules.is_locked(3) and not ipcmules.is_locked(0)
        with pytest.raises(LockError):
            ipcmules.lock(3)
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(ipcmules.lock(3, timeout=0)))
        thread.start()
        thread.join()
        assert results == [False]
    assert not ipcmules.is_locked(3)
    with pytest.raises(LockError):
        ipcmules.unlock(3)


def test_afterwards_everything_is_as_before(monkeypatch: pytest.MonkeyPatch, bus_env: object) -> None:
    monkeypatch.setattr(hooks, "message_hooks", [])
    with inline() as outer:
        ipcmules.mule_msg(b"outer")
        with inline() as inner:
            ipcmules.mule_msg(b"inner")
        ipcmules.mule_msg(b"outer again")
    assert [each.message for each in outer.messages] == [b"outer", b"outer again"]
    assert [each.message for each in inner.messages] == [b"inner"]
    with pytest.raises(NotAttached):
        ipcmules.mule_msg(b"")
    with pytest.raises(NotAttached):
        ipcmules.signal(131)
    with pytest.raises(NotAttached):
        ipcmules.lock()
    assert membership.peek() is None


# The fixture (docs/howto/testing.md is run with the other pages)


def test_the_plugin_imports_nothing_of_ours() -> None:
    code = "import sys, pytest_ipcmules; sys.exit(any(n.split('.')[0] == 'ipcmules' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, timeout=60, check=False).returncode == 0
