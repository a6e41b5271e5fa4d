"""Calling the app's functions: signal handlers, message hooks, bodies; what they raise is logged, not raised.

SystemExit and KeyboardInterrupt end the process: the first is how a handler asks for it, the second how
a person does. Knows membership, the hooks and the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from types import CoroutineType
from typing import Any

from ipcmules.bus import log, table
from ipcmules.bus.layout import SIGNALS
from ipcmules.functions import coroutines, tracing
from ipcmules.kernel.atomics import increment, take
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.process import child, harakiri
from ipcmules.signals import running

#: Takes a coroutine that is to be run, and what to call when it has ended.
Task = Callable[[Coroutine[Any, Any, Any], Callable[[], None]], None]

_BODY, _SIGNAL, _MESSAGE = (each << 8 for each in (table.DOES_BODY, table.DOES_SIGNAL, table.DOES_MESSAGE))

#: From R_DOING to R_BEGAN.
_BEGAN = table.R_BEGAN - table.R_DOING
_getpid = os.getpid
#: Shared numbers for which it was said already that this process has no handler.
_unhandled: set[int] = set()
#: What stands in the log for each signal; made once, as handlers are many and seldom raise.
_HANDLERS = [f"the handler of signal {number}" for number in range(SIGNALS)]


def run_signal(shared: int, unregistered: str = "log", task: Task | None = None) -> None:
    """Run this process's handler of a signal, given by its shared number.

    The handler is called with the number the signal has in this process. unregistered says what to do
    where this process has no handler: 'log' it once a number, or 'ignore' it. task: given the coroutine where
    the handler is a coroutine function, and what to call when it is done; without it such a coroutine is
    run here, to its end.
    """
    signal = running.Run(shared)
    registry = membership.registry
    number = registry.local(shared)
    member = membership.peek()
    handler = registry.handler(shared)
    if handler is None:
        _drop(signal, number, member, unregistered)
        return
    deferred = False
    try:
        began = monotonic_ns()
        if member is not None:
            _begins(member, shared, number)
        result, raised = _call(
            tracing.traced(handler, f"signal {number}", signal=number),
            _HANDLERS[number],
            _SIGNAL | number,
            harakiri.handler_time,
            number,
            leave=task is not None,
            signal=signal,
        )
        deferred = task is not None and isinstance(result, CoroutineType)
        if member is not None:
            _note(member, signal, began, raised, deferred)
        if task is not None and deferred:
            task(result, partial(_task_ended, member, signal, began))
    except BaseException:
        deferred = False
        raise
    finally:
        if not deferred and signal.begun:
            # As Run.end(), which as a call could be interrupted before it has begun: no call and no loop.
            signal.begun = False
            left = running.held[shared] = running.held[shared] - 1
            running.own_cells[running.own_record + running.CELLS[shared]] &= running.KEEP[shared][left > 0]


def _drop(signal: running.Run, number: int, member: Membership | None, unregistered: str) -> None:
    handed = False
    try:
        # Before it counts as begun: what is interrupted until then is raised again.
        handed = unregistered == "log" and member is not None and member.raiser.hand_on(signal.number)
        signal.begin()
        if member is not None:
            member.last_signal = number
            running.count(table.R_SIGNALS)
    finally:
        signal.end()
    if not handed and unregistered == "log" and signal.number not in _unhandled:
        _unhandled.add(signal.number)
        log.event("warning", f"signal {number} has no handler in this process: dropped (said once)")


def _begins(member: Membership, shared: int, number: int) -> None:
    member.last_signal = number
    running.count(table.R_SIGNALS)
    increment(member.table.base + 8 * member.table.entry(shared) + table.E_RUNS)


def _note(member: Membership, signal: running.Run, began: int, raised: bool, deferred: bool) -> None:
    cells, entry = member.table.cells, member.table.entry(signal.number)
    if not signal.begun:
        # A handler of the program had it in between, and it is counted there.
        take(member.table.base + 8 * entry + table.E_RUNS)
        return
    if raised:
        cells[entry + table.E_EXCEPTIONS] += 1
    if not deferred:
        _time(cells, entry, began)


def _task_ended(member: Membership | None, signal: running.Run, began: int) -> None:
    signal.end()
    if member is not None:
        _time(member.table.cells, member.table.entry(signal.number), began)


def _time(cells: memoryview, entry: int, began: int) -> None:
    """A run has ended that began then."""
    now = monotonic_ns()
    cells[entry + table.E_ENDED] = now
    cells[entry + table.E_DURATION] = now - began
    cells[entry + table.E_SPENT] += now - began


def run(function: Callable[..., Any], what: str, *arguments: Any) -> Any:
    """Call a function of the app and return its result; log and count what it raises, with its traceback."""
    # A body has no argument, a hook the message.
    kind, allowed = (_MESSAGE, harakiri.hook_time) if arguments else (_BODY, 0.0)
    return _call(function, what, kind, allowed, *arguments)[0]


def _call(
    function: Callable[..., Any],
    what: str,
    kind: int,
    allowed: float,
    *arguments: Any,
    leave: bool = False,
    signal: running.Run | None = None,
) -> tuple[Any, bool]:
    """As run(); returns also whether it raised something.

    kind: for R_DOING. allowed: seconds until harakiri, 0 for ever. leave: a coroutine is for the caller.
    signal: what is handled by this; if a handler of the program has done that meanwhile, nothing is called.
    """
    cells, doing = harakiri.doing
    pid = _getpid()
    guard = object()
    returned = False
    before, cells[doing] = cells[doing], kind
    cells[doing + _BEGAN] = cells[doing + _BEGAN] if before else monotonic_ns()
    try:
        if allowed:
            harakiri.arm(allowed, guard)
        if signal is None:
            result = function(*arguments)
        else:
            result = None
            mine = signal.mine
            if mine and mine[0][0] == signal.number:
                # As Run.begin(), in one stretch with the call: it is either to be taken again or handled.
                del mine[0]
                signal.begun = True
                result = function(*arguments)
        if result is not None and not (leave and isinstance(result, CoroutineType)):
            result = coroutines.finish(result, coroutines.name_of(function))
        returned = True
        if _getpid() != pid:
            child.end(f"{what}, {coroutines.name_of(function)},")
        return result, False
    except BaseException as error:
        if _getpid() != pid:
            child.end(f"{what}, {coroutines.name_of(function)},", error)
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise
        if returned or (signal is not None and not signal.begun):
            raise  # a signal handler of the program, in our own lines: not the function's
        log.exception(f"{what}, {coroutines.name_of(function)}, raised:", _details(function, kind, doing))
        running.count(table.R_EXCEPTIONS)
        return None, True
    finally:
        cells[doing] = before
        if allowed:
            harakiri.disarm(guard)


def _details(function: Callable[..., Any], kind: int, doing: int) -> dict[str, object]:
    """What went wrong, as fields of the log."""
    took = (monotonic_ns() - harakiri.doing[0][doing + _BEGAN]) / 1e9
    found: dict[str, object] = {"function": coroutines.name_of(function), "duration": round(took, 6)}
    if kind & ~0xFF == _SIGNAL:
        found["signal"] = kind & 0xFF
    return found


def after_fork() -> None:
    """In a process forked from the template: what was said there was not said here."""
    _unhandled.clear()
