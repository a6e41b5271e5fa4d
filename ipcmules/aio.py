"""Messages and signals in an asyncio program, without a thread.

For a programmed mule that runs an event loop: `await mule_get_msg()`, `async for message in messages()`,
`await signal_wait()`. The mule's sources are one descriptor in the loop's selector. Handlers of signals
run in the loop, between other callbacks; a handler that is a coroutine function becomes a task, which
--mule-harakiri guards from its start to its end.
Sending needs nothing of its own: mule_msg(..., timeout=0) never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from ipcmules import membership, presence
from ipcmules.errors import BusStopped, NotAMule, SignalError
from ipcmules.membership import Membership
from ipcmules.messages.inbox import Inbox
from ipcmules.mule import dispatch, harakiri
from ipcmules.serving import BusGone
from ipcmules.table import R_LISTENING


async def mule_get_msg(
    signals: bool = True, farms: bool = True, timeout: float | None = None
) -> bytes | None:
    """As ipcmules.mule_get_msg, awaited. timeout in seconds; None waits for ever.

    A message counts as done when the next one is received, so a task that receives while another still
    works on its message takes over the risk for it: receive from one task, or acknowledge by your own means.
    Raises NotAMule outside a mule, SystemExit once the bus is stopping and nothing is left to receive.
    """
    inbox = _inbox()
    deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout
    while True:
        try:
            message = inbox.get(0, signals, farms, _dispatch)
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
    member = membership.current()
    deadline = None if timeout is None else time.monotonic() + timeout
    if member.inbox is not None:
        cell = member.table.mule(member.number) + R_LISTENING
        member.table.cells[cell] = 1
        try:
            return await _wait(member.inbox.wait_signal, member.inbox.fileno(), signum, deadline)
        finally:
            member.table.cells[cell] = 0
    if member.role == "child":
        raise SignalError("a process forked by a mule or worker receives no signals: wait in the mule itself")
    with presence.server(member) as waiter:
        waiter.listening(True)
        try:
            return await _wait(waiter.take, waiter.fileno(), signum, deadline)
        except BusGone:
            bus = member.where.bus
            raise BusStopped(f"bus {bus!r} ended while this process waited for a signal") from None
        finally:
            waiter.listening(False)


async def _wait(
    take: Callable[[float | None], int | None], descriptor: int, signum: int | None, deadline: float | None
) -> int | None:
    while True:
        shared = take(0)
        if shared is None:
            if not await _readable(descriptor, deadline):
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
    guard = harakiri.arm(harakiri.handler_time) if harakiri.handler_time else None

    def done(task: asyncio.Future[Any]) -> None:
        _tasks.discard(task)
        if guard is not None:
            harakiri.disarm(guard)
        ended()

    task.add_done_callback(done)


async def _finish_handlers() -> None:
    """The bus is stopping: let the handlers that are tasks come to their end, as others did."""
    under_way = _tasks - {asyncio.current_task()}
    if under_way:
        await asyncio.wait(under_way)


async def _readable(descriptor: int, deadline: float | None) -> bool:
    """Wait until the descriptor is readable; False if the deadline came first."""
    loop = asyncio.get_running_loop()
    waiters = _waiters.setdefault((id(loop), descriptor), set())
    future: asyncio.Future[None] = loop.create_future()
    if not waiters:
        loop.add_reader(descriptor, _wake_all, waiters)
    waiters.add(future)
    try:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        await asyncio.wait_for(future, left)
        return True
    except asyncio.TimeoutError:
        return False
    finally:
        waiters.discard(future)
        if not waiters:
            loop.remove_reader(descriptor)


#: Tasks waiting for a descriptor: several may wait for one, and a selector knows one callback each.
_waiters: dict[tuple[int, int], set[asyncio.Future[None]]] = {}


def _wake_all(waiters: set[asyncio.Future[None]]) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(None)
