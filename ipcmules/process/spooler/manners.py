"""Running a function as its decorator says: hooks, the soft timeout, and what is kept of its end.

A function without any of these never comes here. Knows what is in results/ and the log; not how a task is
taken.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from ipcmules.bus import log
from ipcmules.errors import SoftTimeout
from ipcmules.kernel.printable import for_people
from ipcmules.process import failures
from ipcmules.process.spooler.run import Run
from ipcmules.spooler import calls, keyed, manner, names, outcomes
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
    for hook in _hooks(function, BEFORE):
        hook(task)
    with _limited((function.manner or NONE).soft_timeout, function.name):
        return function.run_for(env)


def begin(function: SpoolFunction, env: Any, task: CurrentTask) -> tuple[Any, int | None]:
    """As call(), for a coroutine function: its coroutine, and what the task results in, None for what that
    comes to."""
    for hook in _hooks(function, BEFORE):
        hook(task)
    return function.begin(env)


def late_by(given: manner.Manner, name: str, arguments: Mapping[bytes, bytes]) -> float:
    """For how many seconds a task should have been begun, by its function's `expires`; 0.0 if it may be."""
    if not given.expires:
        return 0.0
    try:
        at = float(arguments.get(b"at", b"0"))
    except ValueError:
        at = 0.0
    enqueued = (names.fifo_key(name) or 0) / 1e6
    since = max(enqueued, at)
    return max(0.0, time.time() - since - given.expires) if since else 0.0


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


def after(function: SpoolFunction, task: CurrentTask, returned: Any) -> None:
    """Call the hooks of a task that is done."""
    tell(function, AFTER, task, returned)


def tell(function: SpoolFunction, what: str, task: CurrentTask, about: Any) -> None:
    """Call hooks; what one raises is logged and changes nothing."""
    for hook in _hooks(function, what):
        try:
            hook(task, about)
        except Exception as error:
            log.failure(
                f"task {for_people(task.id)}: its hook {what!r} raised:", error, failures.describe(error)
            )


def _hooks(function: SpoolFunction, what: str) -> list[manner.Hook]:
    own = function.manner.hook(what) if function.manner is not None else None
    everybody = manner.for_all.get(what, [])
    return [*everybody, own] if own is not None else everybody


@contextlib.contextmanager
def _limited(seconds: float, name: str) -> Iterator[None]:
    """Raise SoftTimeout in the block after so many seconds; 0: never. Only the main thread can."""
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def raise_it(_number: int, _frame: FrameType | None) -> None:
        if running:
            raise SoftTimeout(f"{name}() takes longer than its soft_timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
