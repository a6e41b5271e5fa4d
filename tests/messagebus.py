"""A bus without a master for the message tests: real queues, table, slots and FIFOs, real processes.

Not tests but what they share; `from messagebus import MessageBus, read_line`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator

import posix_ipc

from ipcmules.bus import description as descriptions
from ipcmules.bus import table
from ipcmules.bus.config import BusConfig, Program, farm
from ipcmules.bus.description import Description
from ipcmules.bus.layout import Layout
from ipcmules.bus.places import places, private_directory
from ipcmules.kernel import processes
from ipcmules.messages import kept, large, queues, slots
from ipcmules.messages.lanes import directory as lanes
from ipcmules.messages.lanes import saving
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.messages.send import post
from ipcmules.messages.send.post import Post
from ipcmules.signals import fifos, running
from ipcmules.signals.taker import Taken, Taker
from minibus import begun


def no_signal(number: int) -> None:
    raise AssertionError(f"signal {number} came")


class _Handled(Taker):
    """For a receive whose dispatch is a test's own: what it takes counts as handled at once."""

    def take(self, descriptor: int) -> Taken:
        taken = super().take(descriptor)
        if isinstance(taken, int):
            begun(taken)
        return taken


class MessageBus:
    """The kernel objects of a bus, as the master makes them. Build it with message_bus()."""

    def __init__(
        self,
        name: str,
        mules: int,
        farms: tuple[str, ...],
        share: float,
        named: bool,
        messages: int,
        size: int,
    ) -> None:
        self.where = where = places(name)
        for directory in (os.path.dirname(where.runtime), where.runtime):
            private_directory(directory)
        self.config = BusConfig(
            name=name,
            named=named,
            mules=(Program(),) * mules,
            farms=tuple(farm(each) for each in farms),
            queue_share=share,
            queue_messages=messages,
            queue_bytes=size,
        )
        self.layout = Layout(mules, len(farms))
        self.specs = queues.create_all(where, self.config)
        self.table = table.create(where.table, self.layout, 7)
        self.table.cells[table.H_STATE] = table.READY
        slots.create(where, mules, max(each.size for each in self.specs))
        lanes.create(where, self.config, 7)
        self.description = Description(self.config, 7, processes.current(), self.specs, (), True)
        descriptions.write(where, self.description)
        for endpoint in self.endpoints():
            fifos.create(where.fifo(endpoint))
        self.children: list[int] = []
        #: What this process opened: it is charged against RLIMIT_MSGQUEUE even when the name is gone.
        self._opened: list[Post | Inbox] = []

    def endpoints(self) -> list[str]:
        mules = [f"mule{number}" for number in range(len(self.config.mules) + 1)]
        return [*mules, *(f"farm.{each.name}" for each in self.config.farms)]

    def post(self) -> Post:
        post = Post(self.where, self.description, self.table)
        self._opened.append(post)
        return post

    def inbox(self, number: int, shared: bool = True) -> Inbox:
        layout = self.layout
        endpoints = [(f"mule{number}", layout.mule_endpoint(number)), ("mule0", layout.mule_pool)]
        for index, each in enumerate(self.config.farms, 1):
            if number in each.mules:
                endpoints.append((f"farm.{each.name}", layout.farm_endpoint(index)))
        inbox = Inbox(
            self.where, self.description, self.table, number, _Handled(self.where, self.table, endpoints)
        )
        self._opened.append(inbox)
        inbox.set_shared(shared)
        return inbox

    def close_inbox(self, inbox: Inbox) -> None:
        """Before the bus ends: for tests that open many."""
        self._opened.remove(inbox)
        _close(inbox)

    def raise_signal(self, number: int, mule: int) -> None:
        """As the raiser does: count, then byte."""
        from ipcmules.kernel import atomics

        atomics.increment(self.table.counter(self.layout.mule_endpoint(mule), number))
        self.nudge(f"mule{mule}", number)

    def nudge(self, endpoint: str, byte: int = 0) -> None:
        descriptor = fifos.open_fifo(self.where.fifo(endpoint))
        os.write(descriptor, bytes([byte]))
        os.close(descriptor)

    def fork(self, body: Callable[..., object], *arguments: object) -> int:
        """Run body in a forked process, which ends like a multiprocessing child."""
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return pid
        code = 1
        try:
            body(*arguments)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            post.finish_all()
            os._exit(code)

    def wait(self, pid: int, seconds: float = 15) -> int:
        """The exit code of a child (negative: the signal that killed it)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.children.remove(pid)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        raise AssertionError(f"process {pid} did not end within {seconds} s")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.children.remove(pid)

    def kept(self) -> list[bytes]:
        return [kept.load(path).data for path in kept.listing(self.where)]

    def queued(self, endpoint: str) -> int:
        """How many frames lie in a queue."""
        spec = self.description.queue(endpoint)
        assert spec is not None
        queue = queues.open_queue(spec)
        try:
            return int(queue.current_messages)
        finally:
            queue.close()

    def waiting(self, endpoint: str) -> int:
        """How many frames lie in a queue, and messages in the lanes behind it."""
        number = lanes.number_of(self.config, endpoint)
        return self.queued(endpoint) + saving.count(lanes.Directory(self.where), number)

    def close(self) -> None:
        running.give_back()  # while the counters are there: the next test of this process has others
        self.table.cells[table.H_STATE] = table.STOPPED
        for each in self._opened:
            _close(each)
        for pid in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                self.kill(pid)
        queues.remove_all(self.specs)
        large.sweep(self.where)
        slots.remove(self.where)
        lanes.remove(self.where)
        posix_ipc.unlink_shared_memory(self.where.table)
        for endpoint in self.endpoints():
            os.unlink(self.where.fifo(endpoint))
        os.unlink(self.where.description)
        os.rmdir(self.where.runtime)


def _close(opened: Post | Inbox) -> None:
    opened.close()
    if isinstance(opened, Inbox):
        opened._taker.close()


@contextlib.contextmanager
def message_bus(
    name: str,
    mules: int = 2,
    farms: tuple[str, ...] = ("mail:1,2",),
    share: float = 0.05,
    named: bool = True,
    messages: int = 16384,
    size: int = 16 << 20,
) -> Iterator[MessageBus]:
    """messages, size: as the bus's queue_messages and queue_bytes."""
    bus = MessageBus(name, mules, farms, share, named, messages, size)
    try:
        yield bus
    finally:
        bus.close()


class Lines:
    """A pipe on which children report lines."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._rest = b""

    def say(self, text: object) -> None:
        os.write(self._write, f"{text}\n".encode())

    def next(self, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            poller = select.poll()  # select(2) takes no descriptor above 1023
            poller.register(self._read, select.POLLIN)
            if not poller.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"no line within {seconds} s")
            self._rest += os.read(self._read, 65536)
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
