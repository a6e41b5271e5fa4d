"""Peers that are an object shared by two processes: multiprocessing.Queue and Pipe, faster-fifo, pyzmq.

Each peer is a function that builds the two ends and gives a pair of loops, written as its user would
write them: one call a message on each side.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Any

from benchmarks.programs.channel import serve
from benchmarks.workspace import BenchError, Skip, Workspace, die_with_driver

#: send(size, count) gives the time of the first send, receive(count) the time after the last receive.
Send = Callable[[int, int], float]
Receive = Callable[[int], float]
#: Called in each process for the loops, so that what cannot be inherited is made there.
Ends = Callable[[str], tuple[Callable[[], Send], Callable[[], Receive]]]

_context = multiprocessing.get_context("fork")


def queue_ends(directory: str) -> tuple[Callable[[], Send], Callable[[], Receive]]:
    """multiprocessing.Queue."""
    queue: Any = _context.Queue()

    def send(size: int, count: int) -> float:
        payload = bytes(size)
        start = time.monotonic()
        for _ in range(count):
            queue.put(payload)
        return start

    def receive(count: int) -> float:
        for _ in range(count):
            queue.get()
        return time.monotonic()

    return lambda: send, lambda: receive


def pipe_ends(directory: str) -> tuple[Callable[[], Send], Callable[[], Receive]]:
    """multiprocessing.Pipe with send_bytes."""
    reader, writer = _context.Pipe(duplex=False)

    def send(size: int, count: int) -> float:
        payload = bytes(size)
        start = time.monotonic()
        for _ in range(count):
            writer.send_bytes(payload)
        return start

    def receive(count: int) -> float:
        for _ in range(count):
            reader.recv_bytes()
        return time.monotonic()

    return lambda: send, lambda: receive


def fifo_ends(directory: str) -> tuple[Callable[[], Send], Callable[[], Receive]]:
    """faster-fifo, with its default buffer."""
    try:
        queue = importlib.import_module("faster_fifo").Queue()
    except ImportError:
        raise Skip("faster-fifo is not installed") from None

    def send(size: int, count: int) -> float:
        payload = bytes(size)
        start = time.monotonic()
        for _ in range(count):
            queue.put(payload)
        return start

    def receive(count: int) -> float:
        for _ in range(count):
            queue.get()
        return time.monotonic()

    return lambda: send, lambda: receive


def zmq_ends(directory: str) -> tuple[Callable[[], Send], Callable[[], Receive]]:
    """pyzmq: PUSH and PULL over ipc://."""
    try:
        zmq = importlib.import_module("zmq")
    except ImportError:
        raise Skip("pyzmq is not installed") from None
    address = f"ipc://{directory}/zmq"

    def make_send() -> Send:
        socket = zmq.Context().socket(zmq.PUSH)
        socket.connect(address)

        def send(size: int, count: int) -> float:
            payload = bytes(size)
            start = time.monotonic()
            for _ in range(count):
                socket.send(payload)
            return start

        return send

    def make_receive() -> Receive:
        socket = zmq.Context().socket(zmq.PULL)
        socket.bind(address)

        def receive(count: int) -> float:
            for _ in range(count):
                socket.recv()
            return time.monotonic()

        return receive

    return make_send, make_receive


def _child(action: str, make: Callable[[], Any], directory: str) -> None:
    die_with_driver()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        serve(action, {action: make()}, directory)
    # Straight out: pyzmq and a queue's feeder would wait for what nobody takes any more.
    os._exit(0)


class Pair:
    """Two processes and the object between them."""

    def __init__(self, label: str, ends: Ends) -> None:
        self.label = label
        self._ends = ends
        self._work = Workspace("pair")
        self._processes: list[ForkProcess] = []

    def __enter__(self) -> Pair:
        try:
            self._start()
        except BaseException:
            self.__exit__(BenchError, None, None)
            raise
        return self

    def _start(self) -> None:
        makers = zip(("send", "receive"), self._ends(self._work.directory), strict=True)
        agents = {}
        for action, make in makers:
            agents[action] = self._work.agent(action)
            process = _context.Process(target=_child, args=(action, make, self._work.directory), daemon=True)
            process.start()
            self._processes.append(process)
        for agent in agents.values():
            agent.wait_started()
        self._sender, self._receiver = agents["send"], agents["receive"]

    def stream(self, size: int, count: int) -> float:
        """Messages a second, from the first send to the last receive."""
        self._receiver.ask("receive", count)
        self._sender.ask("send", size, count)
        start = self._sender.answer(60)
        return float(count / (self._receiver.answer(60) - start))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.join(5)
        self._work.__exit__(kind, error, trace)
