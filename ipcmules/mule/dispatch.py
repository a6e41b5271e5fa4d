"""Calling the app's functions: signal handlers, message hooks, bodies; what they raise is logged, not raised.

SystemExit and KeyboardInterrupt end the process: the first is how a handler asks for it, the second how
a person does. Knows membership, the hooks and the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from types import CoroutineType
from typing import Any

from ipcmules import log, membership, table
from ipcmules.atomics import increment
from ipcmules.mule import harakiri
from ipcmules.signals import hands

#: Takes a coroutine that is to be run, and what to call when it has ended.
Task = Callable[[Coroutine[Any, Any, Any], Callable[[], None]], None]

_BODY, _SIGNAL, _MESSAGE = (each << 8 for each in (table.DOES_BODY, table.DOES_SIGNAL, table.DOES_MESSAGE))

#: Shared numbers for which it was said already that this process has no handler.
_unhandled: set[int] = set()
#: What stands in the log for each signal; made once, as handlers are many and seldom raise.
_HANDLERS = [f"the handler of signal {number}" for number in range(table.SIGNALS)]


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
        hands.count(table.R_SIGNALS)
    handler = registry.handler(shared)
    if handler is None:
        hands.release(shared)
        if unregistered == "log" and shared not in _unhandled:
            _unhandled.add(shared)
            log.event("warning", f"signal {number} has no handler in this process: dropped (said once)")
        return
    if member is None:
        _call(handler, _HANDLERS[number], _SIGNAL | number, harakiri.handler_time, number)
        hands.release(shared)
        return
    bus = member.table
    cells, entry = bus.cells, bus.entry(shared)
    increment(bus.base + 8 * entry + table.E_RUNS)
    result, raised = None, False
    began = monotonic_ns()
    try:
        result, raised = _call(handler, _HANDLERS[number], _SIGNAL | number, harakiri.handler_time, number)
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
    # A body has no argument, a hook the message.
    kind, allowed = (_MESSAGE, harakiri.hook_time) if arguments else (_BODY, 0.0)
    return _call(function, what, kind, allowed, *arguments)[0]


def _call(
    function: Callable[..., Any], what: str, kind: int, allowed: float, *arguments: Any
) -> tuple[Any, bool]:
    """As run(); returns also whether it raised something.

    kind: for R_DOING. allowed: seconds until harakiri, 0 for ever.
    """
    cells, doing = harakiri.doing
    before, cells[doing] = cells[doing], kind
    guard = harakiri.arm(allowed) if allowed else None
    try:
        result = function(*arguments)
        if result is not None and _is_dropped(result):
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
        hands.count(table.R_EXCEPTIONS)
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


def after_fork() -> None:
    """In a process forked from the template: what was said there was not said here."""
    _unhandled.clear()
