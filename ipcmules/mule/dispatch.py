"""Calling the app's functions: signal handlers, message hooks, bodies; what they raise is logged, not raised.

SystemExit and KeyboardInterrupt end the process: the first is how a handler asks for it, the second how
a person does. Knows membership, the hooks and the log.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from types import CoroutineType
from typing import Any

from ipcmules import log, membership, table
from ipcmules.atomics import increment
from ipcmules.membership import Membership
from ipcmules.mule import harakiri
from ipcmules.signals import hands

#: Takes a coroutine that is to be run, and what to call when it has ended.
Task = Callable[[Coroutine[Any, Any, Any], Callable[[], None]], None]

_BODY, _SIGNAL, _MESSAGE = (each << 8 for each in (table.DOES_BODY, table.DOES_SIGNAL, table.DOES_MESSAGE))

#: Shared numbers for which it was said already that this process has no handler.
_unhandled: set[int] = set()
#: Several threads of a process may dispatch; a cell of the table has one writer at a time.
_counting = threading.Lock()


def run_signal(shared: int, unregistered: str = "log", task: Task | None = None) -> None:
    """Run this process's handler of a signal, given by its shared number.

    The handler is called with the number the signal has in this process. unregistered says what to do
    where this process has no handler: 'log' it once a number, or 'ignore' it. task: given the coroutine where
    the handler is a coroutine function, and what to call when it is done; without it such a coroutine is
    nobody's.
    """
    registry = membership.registry
    number = registry.local(shared)
    member = membership.peek()
    if member is not None:
        member.last_signal = number
        _count(member, table.R_SIGNALS)
    handler = registry.handler(shared)
    if handler is None:
        hands.release(shared)
        if unregistered == "log" and shared not in _unhandled:
            _unhandled.add(shared)
            log.event("warning", f"signal {number} has no handler in this process: dropped (said once)")
        return
    if member is None:
        _call(handler, f"the handler of signal {number}", number)
        hands.release(shared)
        return
    cells, entry = member.table.cells, member.table.entry(shared)
    increment(member.table.base + 8 * entry + table.E_RUNS)
    began = cells[entry + table.E_BEGAN] = monotonic_ns()
    result, raised = None, False
    try:
        result, raised = _call(handler, f"the handler of signal {number}", number)
    finally:
        if raised:
            cells[entry + table.E_EXCEPTIONS] += 1
        if result is None or task is None or not isinstance(result, CoroutineType):
            cells[entry + table.E_DURATION] = monotonic_ns() - began
            hands.release(shared)
        else:
            task(result, partial(_task_ended, cells, entry, shared, began))


def _task_ended(cells: memoryview, entry: int, shared: int, began: int) -> None:
    cells[entry + table.E_DURATION] = monotonic_ns() - began
    hands.release(shared)


def run(function: Callable[..., Any], what: str, *arguments: Any) -> Any:
    """Call a function of the app and return its result; log and count what it raises, with its traceback."""
    return _call(function, what, *arguments)[0]


def _call(function: Callable[..., Any], what: str, *arguments: Any) -> tuple[Any, bool]:
    """As run(); returns also whether it raised something."""
    # With a number it is called for a signal, with bytes for a message.
    kind, allowed = _BODY, 0.0
    if arguments:
        if isinstance(arguments[0], int):
            kind, allowed = _SIGNAL | arguments[0], harakiri.handler_time
        else:
            kind, allowed = _MESSAGE, harakiri.hook_time
    cells, doing = harakiri.doing
    before, cells[doing] = cells[doing], kind
    guard = harakiri.arm(allowed) if allowed else None
    try:
        result = function(*arguments)
        if _is_dropped(result):
            result.close()
            log.event(
                "error",
                f"{what}, {_name(function)}, is a coroutine function, and nobody awaits it here: it did not "
                "run; make it a plain function, or receive in an event loop with ipcmules.aio",
            )
        return result, False
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        log.exception(f"{what}, {_name(function)}, raised:")
        member = membership.peek()
        if member is not None:
            _count(member, table.R_EXCEPTIONS)
        return None, True
    finally:
        if guard is not None:
            harakiri.disarm(guard)
        cells[doing] = before


def _is_dropped(result: Any) -> bool:
    """True for a coroutine where no event loop runs that could await it (ipcmules.aio)."""
    if not isinstance(result, CoroutineType):
        return False
    asyncio = sys.modules.get("asyncio")
    return asyncio is None or asyncio._get_running_loop() is None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def _count(member: Membership, cell: int) -> None:
    if member.role in ("mule", "spooler"):
        record = member.table.record(member.role, member.number)
    elif member.worker:
        record = member.table.worker(member.worker)
    else:
        return
    with _counting:
        member.table.cells[record + cell] += 1


def after_fork() -> None:
    """In a process forked from the template: a lock that somebody held there is nobody's here."""
    global _counting
    _counting = threading.Lock()
    _unhandled.clear()
