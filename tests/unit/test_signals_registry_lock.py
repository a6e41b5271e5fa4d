"""The registry lock: one process, one thread, whoever is killed, stopped or interrupted meanwhile."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import interruptions
from interruptions import Interruption, every, interrupt
from ipcmules.errors import LimitError, SignalError
from ipcmules.signals.registry_lock import registry_lock
from ipcmules.signals.threads import threads
from minibus import MiniBus, child, ended, mini_bus

exact = pytest.mark.skipif(not interruptions.EXACT, reason="the places are known for 3.11 and later")


@pytest.fixture
def bus(bus_name: str, bus_env: object) -> Iterator[MiniBus]:
    with mini_bus(bus_name) as made:
        yield made


def test_the_registry_lock_is_free_after_its_holder_was_killed(bus: MiniBus) -> None:
    def hold() -> None:
        with threads(), registry_lock(bus.where), threads(), registry_lock(bus.where):
            os.kill(os.getpid(), 9)

    assert ended(child(hold)) == -9
    with threads(), registry_lock(bus.where):
        pass


def test_a_stopped_writer_is_named(bus: MiniBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipcmules.signals.registry_lock.PATIENCE", 0.2)
    read, write = os.pipe()

    def hold() -> None:
        with threads(), registry_lock(bus.where):
            os.write(write, b"x")
            os.kill(os.getpid(), 19)

    pid = child(hold)
    os.read(read, 1)
    with pytest.raises(SignalError, match=r"registry\.lock for over 0 s: it was stopped"):
        bus.registry().register(1, "", print)
    os.kill(pid, 18)
    assert ended(pid) == 0


def _is_free(bus: MiniBus) -> bool:
    """True if another thread, and another process, could have it."""
    got: list[bool] = []

    def try_threads() -> None:
        got.append(threads().acquire(blocking=False))  # type: ignore[attr-defined]
        if got[0]:
            threads().__exit__(None, None, None)

    thread = threading.Thread(target=try_threads)
    thread.start()
    thread.join()

    def try_process() -> None:
        file = os.open(bus.where.registry_lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    return got == [True] and ended(child(try_process)) == 0


@exact
@pytest.mark.parametrize("nested", [False, True])
def test_it_is_free_where_a_handler_raised_and_the_app_keeps_the_exception(
    bus: MiniBus, nested: bool
) -> None:
    def once() -> None:
        with threads(), registry_lock(bus.where):
            pass

    def twice() -> None:
        with threads(), registry_lock(bus.where):
            once()

    call: Callable[[], None] = twice if nested else once
    call()
    gc.collect()  # what other tests have left in circles
    opened = len(os.listdir("/proc/self/fd"))
    kept = []
    for where, result in every(call, interrupt):
        assert isinstance(result, Interruption), where
        assert result.__traceback__ is not None
        kept.append(result)
        assert _is_free(bus), where
        assert len(os.listdir("/proc/self/fd")) <= opened, where  # others' may go with a collection
    assert len(kept) >= 5  # places differ from Python to Python


def test_without_a_descriptor_the_remedy_is_said(bus: MiniBus) -> None:
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    with threads():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
        try:
            with pytest.raises(LimitError, match=r"registry lock cannot be opened .*ulimit -n"):
                registry_lock(bus.where)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)


@exact
def test_a_handler_that_takes_it_too_leaves_it_to_whom_it_interrupts(bus: MiniBus) -> None:
    taken = []

    def once() -> None:
        with threads(), registry_lock(bus.where):
            pass

    def call() -> None:
        with threads(), registry_lock(bus.where):
            tracing = sys.gettrace()
            sys.settrace(None)
            taken.append(not _is_free(bus))
            sys.settrace(tracing)

    for where, result in every(call, once):
        assert result is None, where
        assert _is_free(bus), where
    assert len(taken) >= 5 and all(taken)  # places differ from Python to Python
