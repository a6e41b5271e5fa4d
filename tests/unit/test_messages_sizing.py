"""Depths and sizes: every bus fits under the limits, and what cannot fit says what to do."""

from __future__ import annotations

import os
import stat

import posix_ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.bus.config import BusConfig, Program
from ipcmules.bus.description import QueueSpec
from ipcmules.bus.places import places
from ipcmules.errors import LimitError
from ipcmules.messages import frames, kept, large, queues, sizing
from ipcmules.messages.sizing import Limits
from messagebus import message_bus

DEFAULT = Limits(depth=10, size=8192, queues=256, bytes=819200)


@given(
    mules=st.integers(1, 200),
    shared=st.integers(1, 30),
    budget=st.integers(0, 819200),
    depth=st.integers(1, 2000),
    size=st.integers(256, 1 << 20),
)
def test_a_plan_keeps_the_budget_and_the_limits(
    mules: int, shared: int, budget: int, depth: int, size: int
) -> None:
    limit = Limits(depth, size, 256, 819200)
    found = sizing.plan(mules, shared, budget, limit)
    if found is None:
        assert sizing.MINIMAL.total(mules, shared) > budget
        return
    assert found.total(mules, shared) <= budget
    for shape in (found.private, found.shared):
        assert 1 <= shape.depth <= depth
        assert sizing.NARROWEST <= shape.size <= min(size, sizing.WIDEST)


@pytest.mark.parametrize("mules", range(1, 201))
def test_half_of_the_default_limit_is_enough_for_200_mules(mules: int) -> None:
    found = sizing.plan(mules, 1, DEFAULT.bytes // 2, DEFAULT)
    assert found is not None
    assert found.private.size >= 1024
    assert found.shared.depth == 10


def test_few_mules_get_wide_queues_and_do_not_take_the_whole_budget() -> None:
    found = sizing.plan(4, 1, DEFAULT.bytes // 2, DEFAULT)
    assert found is not None
    assert found.private == sizing.Shape(4, 8192)
    assert found.total(4, 1) < DEFAULT.bytes // 4


def test_the_kernel_charges_what_the_arithmetic_says(bus_env: object, bus_name: str) -> None:
    shape = sizing.Shape(1, DEFAULT.size)
    limit = sizing.limits()
    if limit.bytes > 1 << 30:
        pytest.skip("RLIMIT_MSGQUEUE is raised here")
    count = limit.bytes // shape.charge + 1
    made = []
    try:
        with pytest.raises(OSError, match="files"):
            for number in range(count):
                name = f"/ipcmules-test-{bus_name}-{number}"
                queue = posix_ipc.MessageQueue(
                    name, posix_ipc.O_CREX, max_messages=shape.depth, max_message_size=shape.size
                )
                made.append(queue)
    finally:
        for queue in made:
            queue.close()
            queue.unlink()


def test_queues_are_private_whatever_the_umask(bus_env: object, bus_name: str) -> None:
    before = os.umask(0)
    try:
        with message_bus(bus_name) as bus:
            queue = queues.open_queue(bus.specs[0])
            assert stat.S_IMODE(os.fstat(queue.mqd).st_mode) == 0o600
            queue.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize("mules", [4, 40, 100])
def test_two_buses_side_by_side_at_the_defaults(
    mules: int, bus_env: object, bus_name: str, large_bus: None
) -> None:
    config = BusConfig(name=bus_name, mules=(Program(),) * mules)
    second = BusConfig(name=bus_name + "b", mules=(Program(),) * mules)
    made = queues.create_all(places(bus_name), config)
    try:
        other = queues.create_all(places(second.name), second)
        queues.remove_all(other)
        assert len(other) == len(made) == mules + 1
    finally:
        queues.remove_all(made)


@pytest.mark.parametrize("named", [True, False])
def test_a_queue_whose_description_is_gone_is_emptied_and_made_anew(
    bus_env: object, bus_name: str, named: bool
) -> None:
    where = places(bus_name)
    config = BusConfig(name=bus_name, named=named, mules=(Program(),), queue_share=0.05)
    old = queues.create_all(where, config)
    sent = [b"one", b"two", b"three" * 40_000]
    queue = queues.open_queue(old[1])
    queue.send(frames.pack(sent[:2]))
    queue.send(frames.large(large.store(where, sent[2])))
    queue.send(b"no frame of ours")
    queue.close()
    inode = _inode(old[1])
    made = queues.create_all(where, config)
    try:
        assert made == old
        assert _inode(made[1]) != inode
        found = [kept.load(path) for path in kept.listing(where)]
        assert [each.data for each in found] == ([*sent, b"no frame of ours"] if named else [])
        assert all(each.endpoint == "mule1" for each in found)
    finally:
        queues.remove_all(made)
        large.sweep(where)


def _inode(spec: QueueSpec) -> int:
    queue = queues.open_queue(spec)
    try:
        return os.fstat(queue.mqd).st_ino
    finally:
        queue.close()


def test_too_many_queues_is_an_error_with_the_remedy() -> None:
    with pytest.raises(
        LimitError, match=r"needs 302 message queues.*queues_max.*sysctl -w fs.mqueue.queues_max="
    ):
        queues.check_fits(BusConfig(mules=(Program(),) * 301))


def test_too_small_a_limit_is_an_error_with_need_limit_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "limits", lambda: Limits(10, 8192, 256, 1000))
    with pytest.raises(LimitError, match=r"5 message queues.*at least 1760 bytes.*1000.*ulimit -q \d+"):
        queues.check_fits(BusConfig(mules=(Program(),) * 4))
