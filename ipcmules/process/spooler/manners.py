"""Running a function as its decorator says: hooks, the soft timeout, and what is kept of its end.

A function without any of these never comes here. Knows what is in results/ and the log; not how a task is
taken.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ipcmules.bus import log
from ipcmules.errors import SoftTimeout
from ipcmules.functions import coroutines, tracing
from ipcmules.kernel.printable import for_people
from ipcmules.process import child, failures
from ipcmules.process.spooler.driven import Driven
from ipcmules.process.spooler.run import Run
from ipcmules.spooler import calls, keyed, manner, outcomes
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.manner import AFTER, BEFORE, NONE
from ipcmules.spooler.outcomes import SUCCEEDED, End
from ipcmules.spooler.task import Task


def wants(function: SpoolFunction) -> bool:
    """True if a function's tasks are to be run by call()."""
    return function.manner is not None or bool(manner.for_all)


def call(function: SpoolFunction, env: Any, task: CurrentTask) -> tuple[int, Any]:
    """Call a function for a task: its result, and what it returned. Raises what it raises, or a hook does."""
    _before(function, task)
    soft = (function.manner or NONE).soft_timeout
    if soft and function.is_coroutine:
        return _call_coroutine(function, env, soft)
    with _limited(soft, function.name):
        return function.run_for(env)


def begin(function: SpoolFunction, env: Any, task: CurrentTask) -> tuple[Any, int | None]:
    """As call(), for a coroutine function: its coroutine, and what the task results in, None for what that
    comes to."""
    _before(function, task)
    return function.begin(env)


def _before(function: SpoolFunction, task: CurrentTask) -> None:
    for hook in _hooks(function, BEFORE):
        with child.guarded(f"hook {BEFORE!r} of task {task.id}"):
            hook(task)


def _call_coroutine(function: SpoolFunction, env: Any, soft: float) -> tuple[int, Any]:
    """Run a coroutine function to its end; the soft timeout is raised in it, also where it waits."""
    args, kwargs, result = function.unpack(env)
    called = tracing.traced(function.function, f"task {function.name}", env)
    driven = Driven(called(*args, **kwargs))
    with _limited(soft, function.name, driven.interrupt_from_a_handler):
        returned = coroutines.finish(driven.run(), function.name)
    return calls.as_result(returned if result is None else result), returned


def key_of_limits(function: SpoolFunction, given: manner.Manner, task: Task) -> str:
    """What the limits of a function count for a task: its key, else the function."""
    if not given.key:
        return function.whole
    try:
        args, kwargs, _result = function.unpack(calls.environment(task.name, task.arguments, task.body))
        return keyed.key_of(given.key, function, args, kwargs, "key")
    except Exception:  # whatever loading the arguments raises: to run it says so
        return function.whole


def keep(directory: str, run: Run, task: CurrentTask, least: float = 0.0) -> None:
    """Write down that a task succeeded, and what it returned, before its file goes. Never raises.

    least: seconds for which it is kept, whatever the function says.
    """
    seconds = max((run.function.manner or NONE).results, least)
    if not seconds:
        return
    encoding, value, problem = outcomes.pack(run.returned)
    name = run.name
    if problem:
        log.event("warning", f"task {for_people(name)}: its result is not kept: {for_people(problem)}")
    of = run.title or run.function.whole
    end = End(SUCCEEDED, time.time(), task.attempt - 1, of, problem, encoding, task.said, value)
    try:
        outcomes.write(directory, name, end, seconds)
    except OSError as error:
        log.event("error", f"task {for_people(name)} is done, and its result is lost: {error}")
        with contextlib.suppress(OSError):  # for less there may be room
            why = f"its result could not be written: {error}"
            outcomes.write(directory, name, end._replace(reason=why, encoding="", value=b""), seconds)


def after(function: SpoolFunction, task: CurrentTask, returned: Any) -> None:
    """Call the hooks of a task that is done."""
    tell(function, AFTER, task, returned)


def tell(function: SpoolFunction, what: str, task: CurrentTask, about: Any) -> None:
    """Call hooks; what one raises is logged and changes nothing."""
    for hook in _hooks(function, what):
        try:
            with child.guarded(f"hook {what!r} of task {task.id}"):
                hook(task, about)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: the task is over, and its process has others
            log.failure(
                f"task {for_people(task.id)}: its hook {what!r} raised:", error, failures.describe(error)
            )


def _hooks(function: SpoolFunction, what: str) -> list[manner.Hook]:
    own = function.manner.hook(what) if function.manner is not None else None
    everybody = manner.for_all.get(what, [])
    return [*everybody, own] if own is not None else everybody


@contextlib.contextmanager
def _limited(
    seconds: float, name: str, interrupt: Callable[[BaseException], bool] | None = None
) -> Iterator[None]:
    """Raise SoftTimeout in the block after so many seconds; 0: never. Only the main thread can.

    interrupt: raises it where it belongs; False: it is to be raised by the signal's handler.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def raise_it(_number: int, _frame: FrameType | None) -> None:
        if not running:
            return
        error = SoftTimeout(f"{name}() takes longer than its soft_timeout of {seconds:g} s")
        if interrupt is None or not interrupt(error):
            raise error

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
