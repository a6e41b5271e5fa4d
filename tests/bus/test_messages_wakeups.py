"""No wake-up is lost: a receiver is stopped at any instruction before it sleeps, a sender at any of its send.

Each time one message is sent, and nothing else stirs: where nobody is woken for it, it is never received.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ipcmules.kernel import processes
from ipcmules.messages.lanes.directory import Q_WAITING, Directory, number_of
from messagebus import MessageBus, message_bus, no_signal
from support import wait_until

TARGETS = pytest.mark.parametrize("target", ["mule1", "pool"])
#: Every instruction, or one of so many.
STEP = 1 if os.environ.get("IPCMULES_TEST_EVERY") else 23
_WITHIN = "/ipcmules/messages/"


class Cells:
    """Numbers that all processes of a test see."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    def __getitem__(self, at: int) -> int:
        return self._cells[at]

    def __setitem__(self, at: int, value: int) -> None:
        self._cells[at] = value


def stop_at(step: int, call: Callable[[], object]) -> bool:
    """Make a call, and stop at its so many-th instruction below messages/. False if it has not so many."""
    left = step

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal left
        if _WITHIN not in frame.f_code.co_filename or not left:
            return None
        frame.f_trace_opcodes = True
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGSTOP)
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return not left


def _stopped(pid: int) -> bool:
    return processes.state_of(pid) == "T"


class Behind:
    """What the parent sees of a queue."""

    def __init__(self, bus: MessageBus, target: str) -> None:
        self._directory = Directory(bus.where)
        self._number = number_of(bus.config, target)

    def by_lane(self) -> None:
        """Something is in the lanes: the kernel's queue is not tried."""
        self._directory.cells[self._directory.record(self._number) + Q_WAITING] = 1

    def asleep(self, pid: int, mule: int = 1) -> bool:
        """True once a mule sleeps there."""
        bell = self._directory.cells[self._directory.bell(self._number, mule)]
        return bool(bell & 1) and processes.state_of(pid) == "S"


@TARGETS
def test_a_receiver_that_is_stopped_anywhere(bus_env: object, bus_name: str, target: str) -> None:
    """The message is published while it stands, be it before or after it has said that it sleeps."""
    with message_bus(bus_name, mules=2, farms=()) as bus:
        cells, behind = Cells(), Behind(bus, target)
        go, got, ended = range(3)

        def mule() -> None:
            inbox = bus.inbox(1)
            step = 1
            while True:
                wait_until(lambda: cells[go] > cells[got], 60, every=0.0002)
                if not stop_at(step, lambda: inbox.get(None, True, True, no_signal)):
                    cells[ended] = 1
                step += STEP
                cells[got] += 1

        send, pid = bus.post().outbox(target).send, bus.fork(mule)
        while not cells[ended]:
            cells[go] += 1
            wait_until(lambda: _stopped(pid) or behind.asleep(pid), every=0.0002)
            behind.by_lane()
            assert send(b"x", 0)

            def received() -> bool:
                if _stopped(pid):
                    os.kill(pid, signal.SIGCONT)
                return cells[got] == cells[go]

            wait_until(received, 20, f"message {cells[go]} to {target}", every=0.0002)
        assert cells[got] > 10


@TARGETS
def test_a_sender_that_is_stopped_anywhere(bus_env: object, bus_name: str, target: str) -> None:
    """The mule is busy when the send begins, and sleeps when it goes on."""
    with message_bus(bus_name, mules=2, farms=()) as bus:
        cells, behind = Cells(), Behind(bus, target)
        got, busy, go, sent, ended = range(5)

        def mule() -> None:
            inbox = bus.inbox(1)
            while True:
                inbox.get(None, True, True, no_signal)
                cells[got] += 1
                while cells[busy]:
                    time.sleep(0.0002)

        def sender() -> None:
            send, step = bus.post().outbox(target).send, 1
            while True:
                behind.by_lane()
                assert send(b"x", 0)  # makes the mule busy
                wait_until(lambda: cells[go] > cells[sent], 60, every=0.0002)
                behind.by_lane()
                if not stop_at(step, lambda: send(b"x", 0)):
                    cells[ended] = 1
                step += STEP
                cells[sent] += 1

        receiver, turn = bus.fork(mule), 0
        cells[busy] = 1
        pid = bus.fork(sender)
        while not cells[ended]:
            turn += 1
            wait_until(lambda turn=turn: cells[got] == 2 * turn - 1, 20, every=0.0002)  # type: ignore[misc]
            cells[go] += 1
            wait_until(lambda turn=turn: _stopped(pid) or cells[sent] == turn, every=0.0002)  # type: ignore[misc]
            cells[busy] = 0
            wait_until(lambda: behind.asleep(receiver), every=0.0002)
            cells[busy] = 1
            if _stopped(pid):
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda turn=turn: cells[got] >= 2 * turn, 20, f"message {turn}", every=0.0002)  # type: ignore[misc]
            cells[busy] = 0
            wait_until(lambda: behind.asleep(receiver), every=0.0002)
            cells[busy] = 1
        assert turn > 5
