"""A bus without a master for the message tests: real queues, table, slots and FIFOs, real processes.

Not tests but what they share; `from test_messages_support import MessageBus, read_line`.
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

from ipcmules import description as descriptions
from ipcmules import processes, table
from ipcmules.config import BusConfig, Program, farm
from ipcmules.description import Description
from ipcmules.messages import inflight, kept, large, post, queues
from ipcmules.messages.inbox import Inbox
from ipcmules.messages.post import Post
from ipcmules.places import places, private_directory
from ipcmules.signals import fifos
from ipcmules.signals.taker import Taker


def no_signal(number: int) -> None:
    raise AssertionError(f"signal {number} came")


class MessageBus:
    """The kernel objects of a bus, as the master makes them. Build it with message_bus()."""

    def __init__(self, name: str, mules: int, farms: tuple[str, ...], share: float, named: bool) -> None:
        self.where = where = places(name)
        for directory in (os.path.dirname(where.runtime), where.runtime):
            private_directory(directory)
        self.config = BusConfig(
            name=name,
            named=named,
            mules=(Program(),) * mules,
            farms=tuple(farm(each) for each in farms),
            queue_share=share,
        )
        self.layout = table.Layout(mules, len(farms))
        self.specs = queues.create_all(where, self.config)
        self.table = table.create(where.table, self.layout, 7)
        self.table.cells[table.H_STATE] = table.READY
        inflight.create(where, mules)
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
            self.where, self.description, self.table, number, Taker(self.where, self.table, endpoints)
        )
        self._opened.append(inbox)
        inbox.set_shared(shared)
        return inbox

    def raise_signal(self, number: int, mule: int) -> None:
        """As the raiser does: count, then byte."""
        from ipcmules import atomics

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

    def close(self) -> None:
        self.table.cells[table.H_STATE] = table.STOPPED
        for each in self._opened:
            each.close()
        for pid in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                self.kill(pid)
        queues.remove_all(self.specs)
        large.sweep(self.where)
        inflight.remove(self.where)
        posix_ipc.unlink_shared_memory(self.where.table)
        for endpoint in self.endpoints():
            os.unlink(self.where.fifo(endpoint))
        os.unlink(self.where.description)
        os.rmdir(self.where.runtime)


@contextlib.contextmanager
def message_bus(
    name: str, mules: int = 2, farms: tuple[str, ...] = ("mail:1,2",), share: float = 0.05, named: bool = True
) -> Iterator[MessageBus]:
    bus = MessageBus(name, mules, farms, share, named)
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
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no line within {seconds} s")
            self._rest += os.read(self._read, 65536)
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
