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

from ipcmules.bus import table
from ipcmules.bus.config import BusConfig, Farm, Program
from ipcmules.bus.description import Description
from ipcmules.bus.layout import SIGNALS, Layout
from ipcmules.bus.places import Places, places
from ipcmules.kernel import processes
from ipcmules.signals import fifos, handles, running
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
        self.layout = Layout(mules, len(self.config.farms))
        os.makedirs(self.where.runtime, mode=0o700)
        self.table = table.create(self.where.table, self.layout, 1)
        self.table.cells[table.H_STATE] = table.READY
        for endpoint, _number in fifos.endpoint_names(self.config):
            fifos.create(self.where.fifo(endpoint))
        self.description = Description(self.config, 1, processes.current(), complete=True)
        self._takers: list[Taker] = []
        self._raisers: list[Raiser] = []

    def close(self) -> None:
        for each in self._takers:
            each.close()
        for raiser in self._raisers:
            raiser.close()
        running.give_back()  # while the counters are there: the next test of this process has others
        posix_ipc.unlink_shared_memory(self.where.table)
        shutil.rmtree(self.where.runtime)

    def registry(self) -> Registry:
        """A registry that is published on this bus, as another process's would be."""
        made = Registry()
        made.publish(self.where, self.table)
        return made

    def raiser(self) -> Raiser:
        made = Raiser(self.where, self.description, self.table)
        self._raisers.append(made)
        return made

    def taker(self, *names: str) -> Taker:
        numbers = dict(fifos.endpoint_names(self.config))
        numbers.update({f"worker{n}": self.layout.worker_endpoint(n) for n in range(1, 9)})
        made = Taker(self.where, self.table, [(name, numbers[name]) for name in names])
        self._takers.append(made)
        return made

    def worker(self, number: int) -> None:
        """Make the calling process worker `number`, as workers.claim does."""
        cells, record, me = self.table.cells, self.table.worker(number), processes.current()
        fifos.create(self.where.fifo(f"worker{number}"))
        handles.tell(self.table, number, range(SIGNALS))
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
            for signum in range(SIGNALS)
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
                begun(found)
                taken.append(found)
    return taken


def begun(number: int) -> None:
    """As whoever calls a signal's handler says, wherever a handler of the test interrupts it."""
    run = running.Run(number)
    try:
        run.begin()
    finally:
        # As Run.end(), which as a call could be interrupted before it has begun (process/dispatch.py).
        if run.begun:
            run.begun = False
            left = running.held[number] = running.held[number] - 1
            running.own_cells[running.own_record + running.CELLS[number]] &= running.KEEP[number][left > 0]


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
            begun(taken)
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
