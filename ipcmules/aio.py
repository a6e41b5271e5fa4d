"""Messages, signals, tasks, locks and calls in an asyncio program: nothing here holds the loop up.

For a programmed mule that runs an event loop: `await mule_get_msg()`, `async for message in messages()`,
`await signal_wait()`. The mule's sources are one descriptor in the loop's selector. Handlers of signals
run in the loop, between other callbacks; a handler that is a coroutine function becomes a task, which
--mule-harakiri guards from its start to its end.
For any process with a loop: `await mule_msg()`, `farm_msg()`, `flush()`, `spool()`, `rpc()`, `async with
Lock(n)`. A full queue or a lock that is taken is tried again, at most 50 ms later; what may wait for a disk
or another process (spool, rpc) runs on a thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from ipcmules.api import awaited, finding, locks, presence, tasks, threads
from ipcmules.api import messages as sending
from ipcmules.api import rpc as calls
from ipcmules.api.async_handles import AsyncTask, awaitable
from ipcmules.api.calls import checked_timeout
from ipcmules.api.messages import Message
from ipcmules.bus import log
from ipcmules.bus.table import R_EXCEPTIONS, R_LISTENING
from ipcmules.errors import BusStopped, NotAMule, SignalError, UnknownTarget
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.member.serving import BusGone
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.process import child, dispatch, harakiri
from ipcmules.process.mule import deliver
from ipcmules.signals import running

#: How often a wait looks whether another thread has left the bus, seconds: it closes the descriptor that is
#: waited for, and a closed one is never readable (epoll(7)).
_LOOK = 1.0


def _own(message: Message) -> Message:
    """A message that its owner cannot change while it waits."""
    return bytes(message) if isinstance(message, (bytearray, memoryview)) else message


async def mule_msg(
    message: Message,
    mule: int | str | bytes = 0,
    timeout: float | None = None,
    priority: int = 0,
    *,
    store_and_forward: bool = False,
) -> bool:
    """As ipcmules.mule_msg, awaited: others run while the queue is full. timeout in seconds.

    Messages of one coroutine keep their order; of several that wait at once any may be first.
    """
    if timeout is not None:
        timeout = checked_timeout(timeout)
    data = _own(message)
    if store_and_forward or sending.waits_for_cluster(mule):
        return await asyncio.to_thread(
            sending.mule_msg, data, mule, timeout, priority, store_and_forward=store_and_forward
        )
    return await awaited.until(
        lambda: sending.mule_msg(data, mule, 0, priority), awaited.deadline_of(timeout)
    )


async def farm_msg(
    farm: str | bytes,
    message: Message,
    timeout: float | None = None,
    priority: int = 0,
    *,
    store_and_forward: bool = False,
    wait: bool = True,
) -> bool:
    """As ipcmules.farm_msg, awaited; see mule_msg()."""
    if not isinstance(farm, (str, bytes)):
        raise UnknownTarget(f"farm_msg() takes the name of a farm first, not {farm!r}")
    if not wait and not store_and_forward and sending.waits_for_cluster(farm):
        data = _own(message)
        return await asyncio.to_thread(sending.farm_msg, farm, data, timeout, priority, wait=False)
    return await mule_msg(message, farm, timeout, priority, store_and_forward=store_and_forward)


async def flush(timeout: float | None = None) -> bool:
    """As ipcmules.flush, awaited."""
    return await awaited.until(lambda: sending.flush(0), awaited.deadline_of(timeout))


async def spool(task: Mapping[Any, Any] | None = None, /, **arguments: Any) -> AsyncTask:
    """As ipcmules.spool, on a thread: writing may wait for the disk. f.aspool() is the same for a decorated
    function. The handle's result(), wait() and cancel() are awaited."""
    return awaitable(await threads.call("spool", tasks.spool, task, **arguments))


def task(id: str | bytes, spooler: str | bytes | None = None) -> AsyncTask:
    """As ipcmules.task; the handle's result(), wait() and cancel() are awaited."""
    return awaitable(finding.task(id, spooler))


async def rpc(
    node: str | bytes | None,
    name: str | bytes,
    *arguments: bytes | str,
    timeout: float = calls.TIMEOUT,
) -> bytes | None:
    """As ipcmules.rpc, on a thread. A function of this process (node '') runs on a thread, too."""
    return await threads.call("rpc", calls.rpc, node, name, *arguments, timeout=timeout)


class Lock:
    """A numbered lock of the bus as an asynchronous context manager: `async with Lock(2): ...`.

    number: 0 to the bus's --locks. timeout: seconds to wait; TimeoutError when it is over. The coroutines of
    one loop take turns at it. It belongs to the loop's thread: there lock(2) and `with ipcmules.Lock(2)` are
    errors (LockError) meanwhile.
    """

    def __init__(self, number: int = 0, timeout: float | None = None) -> None:
        self.number = number
        self.timeout = timeout

    async def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock, waiting at most so long; False when the time is over.

        Raises LockError if this task of the loop has it already, and as ipcmules.lock().
        """
        return await awaited.turn(self.number).take(self.number, timeout)

    def release(self) -> None:
        """Free the lock. Raises LockError where it is not held."""
        awaited.turn(self.number).free(self.number)

    def locked(self) -> bool:
        """True if some thread of some process holds the lock now."""
        return locks.is_locked(self.number)

    async def __aenter__(self) -> Lock:
        if not await self.acquire(self.timeout):
            raise TimeoutError(f"lock {self.number} was not free within {self.timeout} s")
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.release()


async def mule_get_msg(
    signals: bool = True, farms: bool = True, timeout: float | None = None
) -> bytes | None:
    """As ipcmules.mule_get_msg, awaited. timeout in seconds; None waits for ever.

    A message counts as done when the next one is received, so a task that receives while another still
    works on its message takes over the risk for it: receive from one task, or acknowledge by your own means.
    Raises NotAMule outside a mule, SystemExit once the bus is stopping and nothing is left to receive.
    """
    inbox = _inbox()
    deadline = awaited.deadline_of(None if timeout is None or timeout < 0 else timeout)

    def look() -> bytes | None:
        if not membership.carried:
            return inbox.get(0, signals, farms, _dispatch)
        return deliver.past_calls(membership.current(), lambda: inbox.get(0, signals, farms, _dispatch))

    while True:
        try:
            message = look()
        except SystemExit:
            await _finish_handlers()
            raise
        if message is not None:
            return message
        if not await _readable(inbox.fileno(), deadline):
            return None


async def messages(signals: bool = True, farms: bool = True) -> AsyncIterator[bytes]:
    """Every message this mule receives, one after the other; ends with the program."""
    while True:
        message = await mule_get_msg(signals, farms)
        if message is not None:
            yield message


async def signal_wait(signum: int | None = None, timeout: float | None = None) -> int | None:
    """As ipcmules.signal_wait, awaited: the number of a signal whose handler has run here.

    In an attached process this takes a worker number and serves from the loop.
    """
    return await _take_signals(signum, awaited.deadline_of(timeout))


async def serve_signals() -> None:
    """Have the handlers of this process's signals run in this loop, until this is cancelled: as
    asyncio.create_task(serve_signals()), or in a task group.

    One that is a coroutine function is a task of the loop; others are called between callbacks. Without
    this an attached process, as a web server's worker, runs them on a thread, and a coroutine in a loop of
    its own.
    In a process whose bus has ended it goes on with the next one of its name. Raises as signal_wait().
    """
    while True:
        try:
            await _take_signals(None, None, for_ever=True)
        except BusStopped:
            while membership.find() is None:
                await asyncio.sleep(_LOOK)


async def _take_signals(signum: int | None, deadline: float | None, for_ever: bool = False) -> int | None:
    """Run handlers until one of that number has (None: of any) or the deadline comes. for_ever: and go on."""
    member = membership.current()
    if member.inbox is not None:
        cell = member.table.mule(member.number) + R_LISTENING
        member.table.cells[cell] = 1
        try:
            inbox = member.inbox
            while True:
                taken = await _wait(inbox.wait_signal, inbox.fileno(), signum, deadline)
                if not for_ever:
                    return taken
        finally:
            member.table.cells[cell] = 0
    if member.role == "child":
        raise SignalError("a process forked by a mule or worker receives no signals: wait in the mule itself")
    with presence.server(member).guest() as waiter:
        cells, listening = waiter.listening()
        try:
            cells[listening] = 1
            while True:
                taken = await _wait(waiter.take, waiter.fileno(), signum, deadline, _LOOK)
                if not for_ever:
                    return taken
        except BusGone:
            bus = member.where.bus
            raise BusStopped(f"bus {bus!r} ended while this process waited for a signal") from None
        finally:
            cells[listening] = 0


async def _wait(
    take: Callable[[float | None], int | None],
    descriptor: int,
    signum: int | None,
    deadline: float | None,
    look: float | None = None,
) -> int | None:
    while True:
        shared = take(0)
        if shared is None:
            if not await _readable(descriptor, deadline, look):
                return None
            continue
        _dispatch(shared, unregistered="ignore")
        number = membership.registry.local(shared)
        if signum is None or number == signum:
            return number


def _inbox() -> Inbox:
    member: Membership | None = membership.peek()
    if member is None or member.inbox is None:
        raise NotAMule("ipcmules.aio receives messages in a mule; this process is none")
    return member.inbox


_tasks: set[asyncio.Future[Any]] = set()


def _dispatch(shared: int, unregistered: str = "log") -> None:
    dispatch.run_signal(shared, unregistered, _start)


def _start(handler: Coroutine[Any, Any, Any], ended: Callable[[], None]) -> None:
    # The loop keeps only a weak reference to a task (asyncio.create_task's documentation).
    task = asyncio.ensure_future(handler)
    _tasks.add(task)

    # --mule-harakiri holds from here to its end, whatever it awaits meanwhile.
    guard, pid = object(), os.getpid()
    if harakiri.handler_time:
        harakiri.arm(harakiri.handler_time, guard)

    def done(task: asyncio.Future[Any]) -> None:
        if os.getpid() != pid:
            child.end("a handler", None if task.cancelled() else task.exception())
        _tasks.discard(task)
        try:
            harakiri.disarm(guard)
        finally:
            ended()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.failure("the handler of a signal, a coroutine function, raised:", error)
            running.count(R_EXCEPTIONS)

    task.add_done_callback(done)


async def _finish_handlers() -> None:
    """The bus is stopping: let the handlers that are tasks come to their end, as others did."""
    under_way = _tasks - {asyncio.current_task()}
    if under_way:
        await asyncio.wait(under_way)


async def _readable(descriptor: int, deadline: float | None, look: float | None = None) -> bool:
    """Wait until the descriptor is readable, or it is time to look; False if the deadline came first."""
    loop = asyncio.get_running_loop()
    waiters = _waiters.setdefault(loop, {}).setdefault(descriptor, set())
    future: asyncio.Future[None] = loop.create_future()
    if not waiters:
        try:
            loop.add_reader(descriptor, _wake_all, waiters)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return True  # another thread has just closed it: whoever takes next is told why
    waiters.add(future)
    try:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        await asyncio.wait_for(future, min((each for each in (left, look) if each is not None), default=None))
        return True
    except asyncio.TimeoutError:
        return deadline is None or time.monotonic() < deadline
    finally:
        waiters.discard(future)
        if not waiters:
            loop.remove_reader(descriptor)


#: Tasks waiting for a descriptor: several may wait for one, and a selector knows one callback each.
_waiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, set[asyncio.Future[None]]]] = (
    weakref.WeakKeyDictionary()
)


def _wake_all(waiters: set[asyncio.Future[None]]) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(None)
