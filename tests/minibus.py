"""What the signal tests share: a bus without a master, and children that do one thing.

The table, the FIFOs and the description are real and belong to the test; nobody supervises.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator

import posix_ipc

from ipcmules import processes, table
from ipcmules.config import BusConfig, Farm, Program
from ipcmules.description import Description
from ipcmules.places import Places, places
from ipcmules.signals import fifos
from ipcmules.signals.raiser import Raiser
from ipcmules.signals.registry import Registry
from ipcmules.signals.taker import NUDGE, Taker

PATIENCE = 30.0


class MiniBus:
    """A bus of `mules` mules; the farms are given as {name: mules}."""

    def __init__(self, name: str, mules: int = 2, farms: dict[str, tuple[int, ...]] | None = None) -> None:
        self.config = BusConfig(
            name=name,
            mules=(Program(),) * mules,
            farms=tuple(Farm(each, members) for each, members in (farms or {}).items()),
        )
        self.where: Places = places(name)
        self.layout = table.Layout(mules, len(self.config.farms))
        os.makedirs(self.where.runtime, mode=0o700)
        self.table = table.create(self.where.table, self.layout, 1)
        self.table.cells[table.H_STATE] = table.READY
        for endpoint, _number in fifos.endpoint_names(self.config):
            fifos.create(self.where.fifo(endpoint))
        self.description = Description(self.config, 1, processes.current(), complete=True)

    def close(self) -> None:
        posix_ipc.unlink_shared_memory(self.where.table)
        shutil.rmtree(self.where.runtime)

    def registry(self) -> Registry:
        """A registry that is published on this bus, as another process's would be."""
        made = Registry()
        made.publish(self.where, self.table)
        return made

    def raiser(self) -> Raiser:
        return Raiser(self.where, self.description, self.table)

    def taker(self, *names: str) -> Taker:
        numbers = dict(fifos.endpoint_names(self.config))
        numbers.update({f"worker{n}": self.layout.worker_endpoint(n) for n in range(1, 9)})
        return Taker(self.where, self.table, [(name, numbers[name]) for name in names])

    def worker(self, number: int) -> None:
        """Make the calling process worker `number`, as workers.claim does."""
        cells, record, me = self.table.cells, self.table.worker(number), processes.current()
        fifos.create(self.where.fifo(f"worker{number}"))
        cells[record + table.R_START], cells[record + table.R_PID] = me.start, me.pid
        cells[table.H_WORKERS_VERSION] += 1

    def counted(self) -> int:
        """Everything pending, at every endpoint."""
        memory, layout = self.table.memory, self.layout
        return sum(
            memory[layout.counter_offset(endpoint, signum)]
            + 256 * memory[layout.counter_offset(endpoint, signum) + 1]
            + 65536 * memory[layout.counter_offset(endpoint, signum) + 2]
            for endpoint in range(2 + layout.farms + layout.mules)
            for signum in range(table.SIGNALS)
        )


@contextlib.contextmanager
def mini_bus(name: str, mules: int = 2, farms: dict[str, tuple[int, ...]] | None = None) -> Iterator[MiniBus]:
    bus = MiniBus(name, mules, farms)
    try:
        yield bus
    finally:
        bus.close()


def drain(taker: Taker) -> list[int]:
    """Everything there is to take, without waiting."""
    taken: list[int] = []
    for descriptor, _shared in taker.sources:
        while (found := taker.take(descriptor)) is not None:
            if found is not NUDGE:
                taken.append(found)
    return taken


def serve(taker: Taker, handle: Callable[[int], object], wake: int = -1) -> None:
    """Wait as the processes of a bus do, exclusively on shared endpoints; ends when `wake` is readable."""
    waiting = select.epoll()
    for descriptor, shared in taker.sources:
        waiting.register(descriptor, select.EPOLLIN | (select.EPOLLEXCLUSIVE if shared else 0))
    if wake >= 0:
        waiting.register(wake, select.EPOLLIN)
    while True:
        ready = waiting.poll(-1, 1)
        if not ready or ready[0][0] == wake:
            return
        taken = taker.take(ready[0][0])
        if taken is not None and taken is not NUDGE:
            handle(taken)


def child(function: Callable[[], object]) -> int:
    """Fork a child that runs function and exits; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError(f"child {pid} did not end within {PATIENCE} s")


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until condition() is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.001)
