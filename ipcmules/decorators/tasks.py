"""Decorators of functions that run as tasks: @spool, @spoolraw, @spoolforever, re-exported by decorators.

A call of a decorated function enqueues a task; a spooler that has loaded the app calls the function
itself. Names, use and the tasks' format as in uWSGI's uwsgidecorators. Knows the flat functions and the
format of calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from ipcmules.api import tasks as spooling
from ipcmules.api.handles import Task
from ipcmules.decorators.manners import LONGEST, Exceptions, check_keys, manner_of
from ipcmules.kernel.exhaustion import importing
from ipcmules.spooler import calls
from ipcmules.spooler.manner import Hook, Manner

if TYPE_CHECKING:
    from ipcmules.api.async_handles import AsyncTask
    from ipcmules.api.flows import Call

P = ParamSpec("P")
R = TypeVar("R")

#: It stands in each task.
_LONGEST_NAME = 255


class Spooled(Generic[P, R]):
    """A decorated function: f(...) and f.spool(...) enqueue a task, f.call(...) calls the function here."""

    def __init__(self, carried: calls.SpoolFunction) -> None:
        self._carried = carried
        functools.update_wrapper(self, carried.function)
        calls.register(carried)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Task:
        """Enqueue a task that calls the function; returns its handle, a str: the path of its file.

        Without pass_arguments: one dict, or keywords, or both; the function gets a dict of str. With it: the
        function's own arguments, TypeError for those it does not take. The keywords spooler, at and priority
        say how to enqueue (body too without pass_arguments), as in ipcmules.spool(), which also says what
        is raised.
        """
        carried = self._carried
        manner = carried.manner
        if manner is None or not manner.unique:
            return spooling.spool(carried.pack(args, kwargs))
        with importing:
            from ipcmules.spooler import keyed

        task = carried.pack(args, kwargs)
        key = keyed.key_of(manner.unique, carried, args, kwargs, "unique")
        return spooling.spool_unique(task, carried.whole, key, manner.unique_until, manner.expires)

    spool = __call__

    async def aspool(self, /, *args: Any, **kwargs: Any) -> AsyncTask:
        """As a call, for a coroutine: the file is written on a thread, as that may wait for the disk.

        The handle's result(), wait() and cancel() are awaited: `await (await f.aspool(1)).result()`.
        """
        with importing:
            from ipcmules.api import async_handles, threads

        return async_handles.awaitable(await threads.call("spool", self, *args, **kwargs))

    @property
    def carried(self) -> calls.SpoolFunction:
        """What is known of the function."""
        return self._carried

    def s(self, /, *args: Any, **kwargs: Any) -> Call:
        """A call as a part of a chain or group (ipcmules.chain, ipcmules.group), enqueued with that.

        What comes before it in a chain is its first argument, before these. Raises SpoolError for the words
        of a call that say how to enqueue, and for functions of @spoolraw and @spoolforever.
        """
        with importing:
            from ipcmules.api.flows import Call

        return Call(self._carried, args, kwargs, True)

    def si(self, /, *args: Any, **kwargs: Any) -> Call:
        """As s(), for a call that does not get what comes before it."""
        with importing:
            from ipcmules.api.flows import Call

        return Call(self._carried, args, kwargs, False)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function directly, in this process, and return what it returns."""
        result: R = self._carried.function(*args, **kwargs)
        return result

    def __reduce__(self) -> str:
        """Pickled by name, as a function is."""
        return str(getattr(self, "__qualname__", self._carried.name))

    def __repr__(self) -> str:
        return f"<spool function {self._carried.name}>"


@overload
def spool(f: Callable[P, R]) -> Spooled[P, R]: ...
@overload
def spool(
    f: None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
    results: float = 0,
    retry_on: Exceptions | None = None,
    drop_on: Exceptions = (),
    jitter: bool = False,
    timeout: float = 0,
    soft_timeout: float = 0,
    expires: float = 0,
    unique: str = "",
    unique_until: str = "done",
    concurrency: int = 0,
    rate: str = "",
    key: str = "",
    every: float = 0,
    cron: str = "",
    tz: str | tzinfo | None = None,
    before: Hook | None = None,
    after: Hook | None = None,
    failed: Hook | None = None,
    dead: Hook | None = None,
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spool(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
    results: float = 0,
    retry_on: Exceptions | None = None,
    drop_on: Exceptions = (),
    jitter: bool = False,
    timeout: float = 0,
    soft_timeout: float = 0,
    expires: float = 0,
    unique: str = "",
    unique_until: str = "done",
    concurrency: int = 0,
    rate: str = "",
    key: str = "",
    every: float = 0,
    cron: str = "",
    tz: str | tzinfo | None = None,
    before: Hook | None = None,
    after: Hook | None = None,
    failed: Hook | None = None,
    dead: Hook | None = None,
) -> Any:
    """Have every call of the function run once in a spooler; what it returns is dropped, or kept (results).

    pass_arguments: the function has arguments of its own, which travel by pickle; else it is called with a
        dict of str.
    retries: how often a task whose function raises (or kills its process) runs again before it is moved to
        dead/; None leaves it to --spooler-max-attempts.
    backoff: seconds before the first run again, twice as long before each further one, at most max_backoff;
        None leaves it to the bus.
    name: what its tasks are for, whatever the function and its module are called later ("mail.send"); None:
        module and function.
    results: seconds for which it is kept that a task succeeded, and what the function returned.
    retry_on: only these exceptions run a task again; after any other it is dead. None: all.
    drop_on: these exceptions remove the task, as Drop does.
    jitter: the waits before runs again are random, from half of what they would be to the whole.
    timeout: seconds after which the process of a task is killed, instead of --spooler-harakiri.
    soft_timeout: seconds after which SoftTimeout is raised in the function (by SIGALRM).
    expires: seconds after the call (or after `at`) in which a task must be begun, a run again too; else it is
        removed, and the log says so.
    unique: a key of which there is one task of the function: text, with the call's arguments in braces
        ("mail-{user}"). A call while there is one enqueues nothing, and returns that one's handle.
    unique_until: "done": it is there until it is over; "started": until it runs, so that one may wait while
        another runs.
    concurrency: so many of its tasks run at once, over all processes of the directory; 0 for any number.
    rate: so many of its tasks are begun in a time, as "10/m": s, m, h, d, or "10/30s"; "" for any number.
    key: what concurrency and rate count instead of the function's tasks, as unique: "{user}" for each user by
        himself; functions with one key are counted together.
    every, cron: a task comes by itself every so many seconds (0.1 at least), or at the times of a cron
        expression ("0 3 * * *") in the zone tz (a name, or a tzinfo; None: the system's); one at a time.
    before, after, failed, dead: hooks, called with the CurrentTask; but for before with what the function
        returned, or what it raised, too.

    A coroutine function is run to its end, in an event loop of its own. Raises TypeError for a generator
    function, and with pass_arguments for a parameter called spooler, at or priority that may be given by
    keyword; ValueError for numbers and names that cannot be. From uWSGI's @spool, which has pass_arguments
    alone.
    """
    manner = manner_of(
        results=results,
        retry_on=retry_on,
        drop_on=drop_on,
        jitter=jitter,
        timeout=timeout,
        soft_timeout=soft_timeout,
        expires=expires,
        unique=unique,
        unique_until=unique_until,
        concurrency=concurrency,
        rate=rate,
        key=key,
        every=every,
        cron=cron,
        tz=tz,
        before=before,
        after=after,
        failed=failed,
        dead=dead,
    )
    return decorated(f, calls.OK, pass_arguments, retries, backoff, max_backoff, name, manner=manner)


@overload
def spoolraw(f: Callable[P, R]) -> Spooled[P, R]: ...
@overload
def spoolraw(
    f: None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spoolraw(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
) -> Any:
    """As @spool, for a function that returns the result: SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE.

    A returned SPOOL_RETRY runs again after a wait, without end unless the function has retries.
    """
    return decorated(f, None, pass_arguments, retries, backoff, max_backoff, name)


@overload
def spoolforever(f: Callable[P, R]) -> Spooled[P, R]: ...
@overload
def spoolforever(
    f: None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spoolforever(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
) -> Any:
    """As @spool, for a task that runs again and again until its file is removed; it never is dead."""
    return decorated(f, calls.RETRY, pass_arguments, retries, backoff, max_backoff, name)


def decorated(
    f: Callable[..., Any] | None,
    result: int | None,
    pass_arguments: bool,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
    name: str | None = None,
    kind: type[Spooled[..., Any]] | None = None,
    manner: Manner | None = None,
) -> Any:
    """What the decorators come to. result: as SpoolFunction's. kind: of what a function becomes.

    Another kind than Spooled is for code that was written for uWSGI: there a function may have parameters
    that are words of the spooler, and only a call that gives one by keyword is refused.
    """
    check_numbers(retries, backoff, max_backoff, name)

    def decorate(function: Callable[..., Any]) -> Spooled[..., Any]:
        if not callable(function) or isinstance(function, Spooled):
            raise TypeError(_say_what(function))
        bare = getattr(function, "__name__", name)
        if not isinstance(bare, str):
            raise TypeError(
                f"a spool function needs a name, by which its tasks call it; {function!r} has none: give it "
                "one with name="
            )
        carried = calls.SpoolFunction(
            bare,
            function,
            result,
            bool(pass_arguments),
            retries,
            backoff,
            float(max_backoff),
            name or "",
            manner,
        )
        if kind is None:
            carried.check("@spool")
        check_keys(carried)
        return (kind or Spooled)(carried)

    return decorate if f is None else decorate(f)


def _say_what(given: Any) -> str:
    """Why a spool function cannot be made of something."""
    if isinstance(given, Spooled):
        return (
            f"{given!r} is decorated already, and its tasks would enqueue tasks without end: decorate it once"
        )
    if isinstance(given, classmethod):
        return (
            f"@spool over @classmethod: {given.__func__.__qualname__}() would be called without its class; "
            "make it a function of the module, or a staticmethod"
        )
    return f"@spool decorates a function, not {given!r}: its arguments have names, as in @spool(retries=5)"


def check_numbers(retries: Any, backoff: Any, max_backoff: Any, name: Any = None) -> None:
    """Raise ValueError for what these cannot be."""
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
        raise ValueError(f"retries={retries!r}: give how often a failed task runs again, 0 or more")
    if name is not None and (not isinstance(name, str) or not 0 < len(name.encode()) <= _LONGEST_NAME):
        raise ValueError(f"name={name!r}: give the tasks' name as str, 1 to {_LONGEST_NAME} bytes")
    for what, value in (("backoff", backoff), ("max_backoff", max_backoff)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST
        ):
            raise ValueError(f"{what}={value!r}: give seconds, 0 to {LONGEST:g}")
