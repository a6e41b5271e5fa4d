"""uWSGI's queue of slots: against a model, and with several processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ipcmules
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import places
from ipcmules.compat import queueing, uwsgi
from ipcmules.errors import AccessError, LockError
from ipcmules.kernel import unpatched
from ipcmules.rings import ring
from ipcmules.rings.ring import Ring
from minibus import child, ended
from support import Launcher

SLOTS, SIZE = 4, 32


def opened(path: Path) -> Ring:
    ring.make(places("x"), BusConfig(queue=SLOTS, queue_blocksize=SIZE, queue_store=str(path)))
    return Ring(str(path), SLOTS, SIZE)


calls = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.binary(max_size=18)),
        st.tuples(st.just("set"), st.integers(-1, SLOTS), st.binary(max_size=18)),
        st.tuples(st.sampled_from(["pull", "pop"])),
        st.tuples(st.sampled_from(["get", "last"]), st.integers(0, SLOTS + 1)),
    ),
    max_size=40,
)


@given(calls)
def test_it_does_what_uwsgis_does(tmp_path_factory: pytest.TempPathFactory, todo: list[tuple]) -> None:  # type: ignore[type-arg]
    found = opened(tmp_path_factory.mktemp("ring") / "q")
    slots: list[bytes] = [b""] * SLOTS
    position = pull = 0
    for name, *arguments in todo:
        expected: object = None
        if name == "push":
            expected = 0 < len(arguments[0]) <= SIZE - 16
            if expected:
                slots[position], position = arguments[0], (position + 1) % SLOTS
        elif name == "set":
            expected = 0 <= arguments[0] < SLOTS and 0 < len(arguments[1]) <= SIZE - 16
            if expected:
                slots[arguments[0]] = arguments[1]
        elif name == "pull":
            expected = slots[pull] or None
            if expected:
                slots[pull], pull = b"", (pull + 1) % SLOTS
        elif name == "pop":
            position = (position - 1) % SLOTS
            expected, slots[position] = slots[position] or None, b""
        elif name == "get":
            expected = (arguments[0] < SLOTS and slots[arguments[0]]) or None
        else:
            newest = range(min(arguments[0], SLOTS))
            expected = [slots[(position - 1 - back) % SLOTS] or None for back in newest]
        assert getattr(found, name)(*arguments) == expected, name
        assert (found.position, found.pull_position) == (position, pull)
    found.close()


def test_processes_pull_each_once(tmp_path: Path) -> None:
    ring.make(places("x"), BusConfig(queue=1000, queue_blocksize=64, queue_store=str(tmp_path / "q")))
    found = Ring(str(tmp_path / "q"), 1000, 64)

    def push() -> None:
        for number in range(100):
            assert found.push(f"{os.getpid()}.{number}".encode())

    def churn() -> None:
        while True:
            found.set(999, b"x" * 40)

    victims = [child(churn) for _ in range(3)]
    assert [ended(each) for each in [child(push) for _ in range(4)]] == [0] * 4
    for each in victims:
        time.sleep(0.002)
        os.kill(each, signal.SIGKILL)
        ended(each)
    pulled = [found.pull() for _ in range(400)]
    assert len(set(pulled)) == 400 and None not in pulled and found.pull() is None
    assert found.get(999) in (b"x" * 40, None)
    found.close()


def test_what_is_refused(tmp_path: Path) -> None:
    found = opened(tmp_path / "q")
    found._owner = unpatched.get_ident()
    with pytest.raises(LockError, match="signal handler"):
        found.push(b"x")
    found.after_fork()
    assert found.push(b"x")
    found.close()
    with pytest.raises(AccessError, match="no queue of 5 slots"):
        Ring(str(tmp_path / "q"), 5, SIZE)


def test_on_a_bus(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    assert not hasattr(uwsgi, "queue_push")
    for store in ("", "q"):
        options = ("--bus", bus_name, "--queue", "4", "--queue-blocksize", "1024")
        options = (*options, "--queue-store", store) if store else options
        with Launcher(*options, cwd=tmp_path), ipcmules.attach(bus_name):
            assert {*queueing.CALLS, "queue_size"} <= set(dir(uwsgi)) and uwsgi.queue_size == 4
            assert uwsgi.queue_push("one") is True and uwsgi.queue_push(b"x" * 1009) is None
            assert ended(child(lambda: uwsgi.queue_push("two"))) == 0
            assert uwsgi.queue_pull() == b"one" and uwsgi.queue_last() == b"two"
            with pytest.raises(TypeError):
                uwsgi.queue_push(5)
        assert (tmp_path / "q").exists() is bool(store)
        assert not os.path.exists(f"/dev/shm{places(bus_name).kernel}ring")
