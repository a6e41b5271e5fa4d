"""The flat functions given what they cannot take: the kind of error, and what its text says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import ipcmules
from ipcmules import (
    BusRunning,
    ConfigError,
    Lock,
    LockError,
    MessageTypeError,
    NotAMule,
    NotAttached,
    SignalError,
    UnknownTarget,
    attach,
    farm_get_msg,
    farm_msg,
    install_mule_msg_hook,
    is_locked,
    lock,
    mule_get_msg,
    mule_msg,
    register_signal,
    signal,
    signal_wait,
    unlock,
)
from support import wait_until


@dataclass(frozen=True)
class Case:
    """A call, and what it must raise: an error of one of the kinds, with a text that the pattern finds."""

    kind: type[Exception] | tuple[type[Exception], ...]
    pattern: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)

    def failure(self) -> str | None:
        """What went otherwise."""
        call = f"{self.function.__qualname__}{self.arguments}{self.keywords or ''}"
        try:
            result = self.function(*self.arguments, **self.keywords)
        except Exception as error:
            if not isinstance(error, self.kind):
                return f"{call} raised {error!r}"
            if not re.search(self.pattern, str(error), re.DOTALL):
                return f"{call} said {error}"
            return None
        return f"{call} returned {result!r}"


def case(kind: Any, pattern: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Case:
    return Case(kind, pattern, function, arguments, keywords)


def failures(cases: list[Case]) -> str:
    return "\n".join(filter(None, [each.failure() for each in cases]))


def handler(_signum: int) -> None:
    """A handler to register."""


def other(_signum: int) -> None:
    """Another one."""


def lock_twice() -> None:
    lock(0)
    lock(0)


#: On a bus with mules 1 and 2, farm f, locks 0 and 1, and signal 21 registered by handler().
ON_A_BUS = [
    # Messages: targets.
    case(UnknownTarget, "unknown mule 3: this bus has mules 1 to 2, and 0 is", mule_msg, b"x", 3),
    case(UnknownTarget, "unknown mule -1: this bus has mules 1 to 2", mule_msg, b"x", -1),
    case(UnknownTarget, "unknown farm 'mail': this bus has f; add --farm mail:", mule_msg, b"x", "mail"),
    case(UnknownTarget, "unknown farm 'mail'", mule_msg, b"x", b"mail"),
    case(UnknownTarget, "mule 1.5 cannot be: give a mule's number or a farm's name", mule_msg, b"x", 1.5),
    case(UnknownTarget, "mule None cannot be", mule_msg, b"x", None),
    case(UnknownTarget, "mule True cannot be", mule_msg, b"x", True),
    case(UnknownTarget, r"mule \[1\] cannot be", mule_msg, b"x", [1]),
    case(UnknownTarget, "unknown farm 'mail': this bus has f", farm_msg, "mail", b"x"),
    case(UnknownTarget, "b'xxx.* can be no farm's name: .* give the farm first", farm_msg, b"x" * 999, "f"),
    case(UnknownTarget, "'{}' can be no farm's name", farm_msg, "{}", b"x"),
    case(UnknownTarget, r"farm_msg\(\) takes the name of a farm first, not 1", farm_msg, 1, b"x"),
    # Messages: what they are, and how they are sent.
    case(MessageTypeError, "str, not dict: serialise it first, .*json.dumps", mule_msg, {"a": 1}),
    case(MessageTypeError, "not NoneType", mule_msg, None),
    case(MessageTypeError, "not int", mule_msg, 7),
    case(MessageTypeError, "not object", farm_msg, "f", object()),
    case(ValueError, "priority=-1: .*0 to 32767", mule_msg, b"x", priority=-1),
    case(ValueError, "priority=32768: .*0 to 32767", mule_msg, b"x", priority=32768),
    # Receiving outside a mule.
    case(NotAMule, r"mule_get_msg\(\) works in a mule; this is .*attached", mule_get_msg),
    case(NotAMule, r"farm_get_msg\(\) works in a mule", farm_get_msg),
    case(TypeError, "takes a function, not b'x'", install_mule_msg_hook, b"x"),
    # Signals.
    case(SignalError, "256.*0 to 255", register_signal, 256, "mule", handler),
    case(SignalError, "-1.*0 to 255", register_signal, -1, "mule", handler),
    case((TypeError, SignalError), "'1'", register_signal, "1", "mule", handler),
    case(TypeError, "5|int", register_signal, 20, 5, handler),
    case(TypeError, "b'mule'|bytes", register_signal, 20, b"mule", handler),
    case(SignalError, "63", register_signal, 20, "farm_" + "x" * 60, handler),
    case(TypeError, "'handler'", register_signal, 20, "mule", "handler"),
    case(SignalError, "21", register_signal, 21, "mules", other),
    case(SignalError, "256.*0 to 255", signal, 256),
    case(SignalError, "-1.*0 to 255", signal, -1),
    case((TypeError, SignalError), "'7'", signal, "7"),
    case((TypeError, SignalError), "None", signal, None),
    case(SignalError, "256.*0 to 255", signal_wait, 256, 0),
    case(ValueError, "timeout=-1: give seconds, 0 or more, or None", signal_wait, timeout=-1),
    # Locks.
    case(UnknownTarget, "2.*--locks", lock, 2),
    case(UnknownTarget, "-1", lock, -1),
    case(TypeError, "'name'|str", lock, "name"),
    case(LockError, "lock 1", unlock, 1),
    case(UnknownTarget, "2.*--locks", unlock, 2),
    case(UnknownTarget, "2.*--locks", is_locked, 2),
    case(UnknownTarget, "2.*--locks", Lock(2).__enter__),
    case(LockError, "lock 0", lock_twice),
    case(LockError, "lock 0", Lock(0).__enter__),
    # Joining.
    case(BusRunning, "on bus '.*' already, .*before joining 'elsewhere'", attach, "elsewhere"),
    case(ConfigError, "bus name 'a/b' is not allowed", attach, "a/b"),
]


def test_bad_input_on_a_bus(bus_env: object) -> None:
    with ipcmules.Bus(mules=2, farms={"f": [1, 2]}, locks=1) as bus:
        bus.register_signal(21, "mules", handler)
        wrong = failures(ON_A_BUS)
        bus.unlock(0)
    assert not wrong, wrong


def test_bad_input_is_refused_also_where_sends_went_before(bus_env: object) -> None:
    """What mule_msg remembers for the next call answers for nothing else."""

    def take() -> None:
        while True:
            ipcmules.mule_get_msg()

    with ipcmules.Bus(mules=[take] * 2, farms={"f": [1, 2]}) as bus:
        for target in (0, 1, 2, "f", b"f"):
            assert bus.mule_msg(b"x", target)
        wrong = failures([each for each in ON_A_BUS if _sends(each)])
    assert not wrong, wrong


def _sends(case: Case) -> bool:
    # True is 1 to a dict, so where mule 1 is known already True means mule 1.
    return case.function in (mule_msg, farm_msg) and True not in case.arguments


def test_a_target_that_names_nothing_is_said_once_when_it_is_raised(
    bus_env: object, caplog: pytest.LogCaptureFixture
) -> None:
    with ipcmules.Bus(mules=1) as bus:
        for number, target in enumerate(["nobody", "mule2", "farm_f", "farm1", "worker9"], 30):
            bus.register_signal(number, target, handler)
            for _ in range(3):
                bus.signal(number)
            said = [record.getMessage() for record in caplog.records if repr(target) in record.getMessage()]
            assert len(said) == 1 and str(number) in said[0], caplog.text


def test_bad_input_on_a_bus_without_mules(bus_env: object) -> None:
    with ipcmules.Bus() as bus:
        wrong = failures(
            [
                case(UnknownTarget, "no mule configured: .* has none; start it with --mule", mule_msg, b"x"),
                case(UnknownTarget, "no mule configured", mule_msg, b"x", 1),
                case(UnknownTarget, "no mule configured", farm_msg, "f", b"x"),
            ]
        )
        # A target that names nothing here is no error: one code base runs with and without mules.
        bus.register_signal(1, "mule3", handler)
        bus.register_signal(2, "farm_none", handler)
        bus.signal(1)
        bus.signal(2)
        bus.signal(99)
        assert bus.lock(0)
        bus.unlock(0)
    assert not wrong, wrong


def test_without_a_bus(bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_no_bus = "this process is on no bus.*ipcmules run.*attach.*Bus"
    not_running = f"bus '{bus_name}' is not running .*ipcmules run --bus {bus_name}"
    wrong = failures(
        [
            case(NotAttached, on_no_bus, mule_msg, b"x"),
            case(NotAttached, on_no_bus, farm_msg, "f", b"x"),
            case(NotAMule, "on no bus", mule_get_msg),
            case(NotAMule, "on no bus", farm_get_msg),
            case(NotAttached, on_no_bus, signal, 1),
            case(NotAttached, on_no_bus, signal_wait, 1, 0),
            case(NotAttached, on_no_bus, lock),
            case(NotAttached, on_no_bus, unlock),
            case(NotAttached, on_no_bus, is_locked),
            case(NotAttached, on_no_bus, attach),
            case(NotAttached, not_running, attach, bus_name),
        ]
    )
    assert not wrong, wrong
    assert (ipcmules.mule_id(), ipcmules.worker_id(), ipcmules.masterpid()) == (0, 0, 0)
    assert ipcmules.in_farm() is None and ipcmules.in_farm("f") is None
    assert ipcmules.signal_received() == 0
    assert ipcmules.flush(0)
    monkeypatch.setenv("IPCMULES_BUS", bus_name)
    wrong = failures([case(NotAttached, not_running, mule_msg, b"x")])
    assert not wrong, wrong
    assert ipcmules.masterpid() == 0


def test_farm_get_msg_in_a_mule_of_no_farm(bus_env: object, capfd: pytest.CaptureFixture[str]) -> None:
    def lonely() -> None:
        try:
            ipcmules.farm_get_msg()
        except NotAMule as error:
            print("lonely:", error, flush=True)
        ipcmules.mule_get_msg()

    with ipcmules.Bus(mules=[lonely]):
        pass
    printed = capfd.readouterr().out
    assert "lonely: mule 1 is in no farm, so farm_get_msg() would never return: add it to one" in printed


def test_a_full_queue_refuses_after_the_timeout(bus_env: object, capfd: pytest.CaptureFixture[str]) -> None:
    """Backpressure as a result: False means that the message was not sent."""

    def stuck() -> None:
        ipcmules.mule_get_msg()
        ipcmules.lock(0)
        ipcmules.lock(1)
        count = 0
        while ipcmules.mule_get_msg() != b"count":
            count += 1
        print(f"received {count}.", flush=True)
        ipcmules.mule_get_msg()

    with ipcmules.Bus(mules=[stuck], locks=1, mercy=20) as bus:
        assert bus.lock(1)
        bus.mule_msg(b"begin", 1)
        wait_until(lambda: bus.is_locked(0), what="the mule holding the first message")
        accepted = 0
        while bus.mule_msg(bytes(4096), 1, timeout=0):
            accepted += 1
            assert accepted < 100_000, "the buffer has no end"
        assert accepted > 0
        assert not bus.mule_msg(bytes(4096), 1, timeout=0.2)
        assert bus.flush(0.05)  # what was accepted is safe
        bus.unlock(1)
        assert bus.mule_msg(b"count", 1)
    assert f"received {accepted}." in capfd.readouterr().out
