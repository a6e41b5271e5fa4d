"""Decorators: what they record, what they refuse, and how mules and workers run what was recorded."""

from __future__ import annotations

import importlib.util
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ipcmules import decorators, errors
from ipcmules.decorators import farm, lock, mule, mulefunc, muleloop, mulemsg, mules, postfork, thread
from ipcmules.errors import ConfigError, MessageTypeError, SignalError, UnknownTarget
from ipcmules.locks import locks as system_locks
from ipcmules.member import membership
from ipcmules.process import dispatch, hooks
from ipcmules.process.hooks import Services
from ipcmules.signals.registry import Registry
from minibus import until


@pytest.fixture(autouse=True)
def nothing_recorded(monkeypatch: pytest.MonkeyPatch, bus_env: object) -> Iterator[None]:
    """Each test with records of its own, in a process that is on no bus."""
    for name, empty in (
        ("post_fork_hooks", []),
        ("mule_bodies", []),
        ("message_hooks", []),
        ("_carrier", None),
    ):
        monkeypatch.setattr(hooks, name, empty)
    monkeypatch.setattr(hooks, "_places", {})
    monkeypatch.setattr(membership, "registry", Registry())
    monkeypatch.setattr(mules, "_functions", {})
    yield


class FakeMule:
    """The services of a mule, fed by the test; ends the bodies with SystemExit when it is out of messages."""

    def __init__(self, *messages: bytes | None, farm_messages: dict[str, list[bytes]] | None = None) -> None:
        self.messages = list(messages)
        self.farm_messages = farm_messages or {}
        self.rounds = 0
        self.pauses: list[float] = []

    def services(self) -> Services:
        return Services(self.get, self.get_farm, self.serve, dispatch.run)

    def get(self) -> bytes | None:
        if not self.messages:
            raise SystemExit(0)
        return self.messages.pop(0)

    def get_farm(self, name: str) -> bytes | None:
        if not self.farm_messages[name]:
            raise SystemExit(0)
        return self.farm_messages[name].pop(0)

    def serve(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.rounds += 1
        if self.rounds >= 3:
            raise SystemExit(0)


def run_bodies(number: int, services: Services, *farms: str) -> None:
    with pytest.raises(SystemExit):
        hooks.run_bodies(number, lambda name: name in farms, services)


# Signals


def test_signal_records_and_returns_the_function() -> None:
    def function(number: int) -> None:
        """A handler."""

    assert decorators.signal(17, target="mule1")(function) is function
    record = membership.registry.registrations()[0]
    assert (record.number, record.target, record.handler) == (17, "mule1", function)
    assert decorators.signal_number(function) == 17


def test_signal_without_a_number_has_one_when_the_process_joins() -> None:
    @decorators.signal(target="mule")
    def function(number: int) -> None:
        """A handler."""

    with pytest.raises(SignalError, match="has no number yet"):
        decorators.signal_number(function)
    with pytest.raises(SignalError, match="handles no signal in this process"):
        decorators.signal_number(print)


def test_signal_needs_parentheses() -> None:
    with pytest.raises(TypeError, match=r"@signal needs parentheses"):
        decorators.signal(print)  # type: ignore[arg-type]


# @postfork


def test_postfork_runs_in_order_in_every_mule_and_worker(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    @postfork
    def first() -> None:
        ran.append("first")
        raise ValueError("a bad hook")

    @postfork(1)
    def in_worker_one() -> None:
        ran.append("worker 1")

    @postfork
    def last() -> None:
        ran.append("last")

    assert ran == []
    assert callable(first) and callable(in_worker_one)
    hooks.run_post_fork("mule", 1)
    assert ran == ["first", "last"]
    assert "a bad hook" in caplog.text and "Traceback" in caplog.text
    ran.clear()
    hooks.run_post_fork("worker", 1, dispatch.run)
    assert ran == ["first", "worker 1", "last"]
    ran.clear()
    hooks.run_post_fork("worker", 2)
    assert ran == ["first", "last"]


# Bodies


def test_mule_functions_run_once_and_leave_a_signal_only_mule(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[int] = []

    @mule(1)
    def one() -> None:
        ran.append(1)
        raise ValueError("oh")

    @mule(1)
    def two() -> None:
        ran.append(2)

    @mule(2)
    def elsewhere() -> None:
        ran.append(99)

    hooks.run_bodies(1, lambda _name: False, FakeMule().services())
    assert ran == [1, 2]
    assert "the @mule function of mule 1" in caplog.text
    assert hooks.reads_pool(1), "they may receive"
    assert not hooks.reads_pool(3) and not hooks.reads_farm(1, lambda _name: True)


def test_muleloop_calls_for_ever_and_serves_signals_between() -> None:
    ran: list[int] = []

    @muleloop(1)
    def again() -> None:
        ran.append(1)

    fake = FakeMule()
    run_bodies(1, fake.services())
    assert (len(ran), fake.rounds) == (3, 3)


def test_a_loop_that_raises_at_once_does_not_burn_a_core(caplog: pytest.LogCaptureFixture) -> None:
    @muleloop(1)
    def broken() -> None:
        raise ValueError("always")

    mule = FakeMule()
    run_bodies(1, mule.services())
    assert mule.pauses == [0.05, 0.1, 0.2]
    assert caplog.text.count("broken, raised:") == 3 or caplog.text.count("ValueError: always") == 3


def test_mulemsg_gets_each_message(caplog: pytest.LogCaptureFixture) -> None:
    got: list[bytes] = []

    @mulemsg(3)
    def take(message: bytes) -> None:
        got.append(message)
        if message == b"bad":
            raise ValueError("a bad message")

    run_bodies(3, FakeMule(b"a", None, b"bad", b"", b"c").services())
    assert got == [b"a", b"bad", b"", b"c"]
    assert "a bad message" in caplog.text
    assert hooks.reads_pool(3) and not hooks.reads_pool(1)
    assert hooks.reads_farm(3, lambda _name: False)


def test_farm_gets_its_messages_in_the_mules_of_the_farm() -> None:
    got: list[bytes] = []

    @farm("mail")
    def take(message: bytes) -> None:
        got.append(message)

    hooks.run_bodies(1, lambda _name: False, FakeMule().services())
    run_bodies(1, FakeMule(farm_messages={"mail": [b"x", b"y"]}).services(), "mail")
    assert got == [b"x", b"y"]
    assert hooks.reads_farm(1, lambda name: name == "mail") and not hooks.reads_pool(1)


def test_several_loops_of_a_mule_all_run() -> None:
    got: list[object] = []

    @muleloop(1)
    def loop() -> None:
        got.append(threading.current_thread())
        time.sleep(0.01)

    @farm("mail")
    def take(message: bytes) -> None:
        got.append(message)

    run_bodies(1, FakeMule(farm_messages={"mail": [b"x", b"y"]}).services(), "mail")
    assert [each for each in got if isinstance(each, bytes)] == [b"x", b"y"]
    assert {each for each in got if isinstance(each, threading.Thread)} == {threading.current_thread()}


@pytest.mark.parametrize("decorator", [mule, muleloop, mulemsg, postfork])
def test_numbers_of_bodies(decorator: Callable[[Any], Any]) -> None:
    for wrong in ("1", None, True, 1.0):
        with pytest.raises(TypeError, match=r"takes the number of a (mule|worker)"):
            decorator(wrong)
    for wrong in (0, -1):
        with pytest.raises(UnknownTarget, match="have numbers from 1"):
            decorator(wrong)
    with pytest.raises(ConfigError, match="farm name"):
        farm("../x")


def test_an_app_that_is_loaded_again_is_recorded_once(tmp_path: Any) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "from ipcmules.decorators import mule, postfork\n"
        "@postfork\ndef a(): pass\n"
        "@mule(1)\ndef b(): pass\n"
        "for i in range(2):\n    postfork(lambda i=i: i)\n"
    )
    modules = []
    for name in ("app", "__mp_main__"):
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    assert len(hooks.post_fork_hooks) == 3
    assert [each.function for each in hooks.mule_bodies] == [modules[1].b]
    assert hooks.post_fork_hooks[0].function is modules[1].a


# @mulefunc


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, object]]:
    """What mule_msg was called with."""
    calls: list[tuple[bytes, object]] = []

    def mule_msg(message: bytes, target: object) -> bool:
        calls.append((message, target))
        return True

    monkeypatch.setattr(mules.messages, "mule_msg", mule_msg)
    return calls


def test_mulefunc_sends_calls_and_the_hook_runs_them(sent: list[tuple[bytes, object]]) -> None:
    ran: list[object] = []

    @mulefunc
    def anywhere(*args: object, **kwargs: object) -> None:
        ran.append((args, kwargs))

    @mulefunc(2)
    def in_two() -> None:
        ran.append("two")

    @mulefunc("mail")
    def in_farm(what: str) -> None:
        ran.append(what)

    assert anywhere(1, b"x", key=[2]) is True
    assert in_two() and in_farm("letter")
    assert [target for _message, target in sent] == [0, 2, "mail"]
    assert ran == []
    for message, _target in sent:
        (hook,) = hooks.hooks_for(message)
        hook(message)
    assert ran == [((1, b"x"), {"key": [2]}), "two", "letter"]
    anywhere.__wrapped__("directly")  # type: ignore[attr-defined]
    assert ran[-1] == (("directly",), {})


def test_mulefunc_messages_and_others_go_to_different_hooks(sent: list[tuple[bytes, object]]) -> None:
    @mulefunc
    def function() -> None:
        """Runs in a mule."""

    got: list[bytes] = []
    hooks.install(got.append)
    hooks.install(got.append)
    function()
    assert hooks.hooks_for(sent[0][0]) == [mules._run_carried]
    assert hooks.hooks_for(b"text") == [got.append]
    assert hooks.hooks_for(b"") == [got.append]


def test_mulefunc_of_a_mulemsg_mule_runs_too(sent: list[tuple[bytes, object]]) -> None:
    ran: list[object] = []

    @mulefunc
    def function(value: int) -> None:
        ran.append(value)

    @mulemsg(1)
    def take(message: bytes) -> None:
        ran.append(message)

    function(5)
    run_bodies(1, FakeMule(sent[0][0], b"text").services())
    assert ran == [5, b"text"]


def test_mulefunc_errors(sent: list[tuple[bytes, object]]) -> None:
    @mulefunc
    def function(value: object) -> None:
        """Runs in a mule."""

    with pytest.raises(MessageTypeError, match=r"a call of @mulefunc .*function\(\) cannot be sent"):
        function(threading.Lock())
    unknown = mules.MULEFUNC + pickle.dumps((b"?" * 16, "gone", (), {}))
    with pytest.raises(LookupError, match=r"@mulefunc gone\(\) is not known in this mule"):
        mules._run_carried(unknown)


def test_a_callback_hears_of_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_on_install", [])
    heard: list[int] = []
    hooks.on_install(lambda: heard.append(1))
    hooks.install(print)
    hooks.install(print)
    assert heard == [1]
    assert hooks.any_recorded()


# @thread and @lock


def test_thread_starts_a_daemon_thread() -> None:
    ran: list[object] = []

    @thread
    def function(*args: int) -> None:
        ran.append((args, threading.current_thread()))

    started = function(1, 2)
    until(lambda: ran, "the thread")
    assert ran == [((1, 2), started)]
    assert started.daemon and "function" in started.name


def test_lock_holds_while_the_function_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = system_locks.create_new(3, lambda _keys: None)
    mine = system_locks.Locks(keys)
    monkeypatch.setattr(mules.locks.membership, "current", lambda: SimpleNamespace(locks=mine))
    did: list[str] = []

    def held() -> list[int]:
        return [number for number in range(3) if mine.is_locked(number)]

    @lock
    def plain(value: int) -> int:
        did.append(f"plain {held()}")
        return value

    @lock(2)
    def numbered() -> None:
        did.append(f"numbered {held()}")
        raise ValueError("inside")

    try:
        assert plain(7) == 7
        assert held() == []
        with pytest.raises(ValueError, match="inside"):
            numbered()
        assert held() == []
    finally:
        system_locks.remove(keys)
    assert did == ["plain [0]", "numbered [2]"]
    with pytest.raises(TypeError, match="@lock takes the number of a lock"):
        lock("name")  # type: ignore[call-overload]


def test_decorators_work_before_there_is_a_bus() -> None:
    @mulefunc
    def function() -> None:
        """Runs in a mule."""

    with pytest.raises(errors.NotAttached):
        function()


def test_systemexit_in_a_loop_of_its_own_thread_asks_the_mule_to_end() -> None:
    terms: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: terms.append(number))

    @muleloop(1)
    def loop() -> None:
        until(lambda: terms, "SIGTERM")

    @farm("mail")
    def take(message: bytes) -> None:
        raise SystemExit(1)

    try:
        run_bodies(1, FakeMule(farm_messages={"mail": [b"x", b"y"]}).services(), "mail")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert terms == [signal.SIGTERM]


def test_a_coroutine_function_runs_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def later(_message: bytes) -> None:
        raise ValueError("it did run")

    dispatch.run(later, "a message hook", b"x")
    assert "it did run" in caplog.text
