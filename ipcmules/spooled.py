"""Decorators of functions that run as tasks: @spool, @spoolraw, @spoolforever, re-exported by decorators.

A call of a decorated function enqueues a task; a spooler that has loaded the app calls the function
itself. Names, use and the tasks' format as in uWSGI's uwsgidecorators. Knows the flat functions and the
format of calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ipcmules import spooling
from ipcmules.spooler import calls

P = ParamSpec("P")
R = TypeVar("R")


class Spooled(Generic[P, R]):
    """A decorated function: f(...) and f.spool(...) enqueue a task, f.call(...) calls the function here."""

    def __init__(self, carried: calls.SpoolFunction) -> None:
        self._carried = carried
        functools.update_wrapper(self, carried.function)
        calls.register(carried)

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Enqueue a task that calls the function; returns the path of its file.

        Without pass_arguments: one dict, or keywords, or both; the function gets a dict of str. With it: the
        function's own arguments. The keywords spooler, at, priority (and body) say how to enqueue, as in
        ipcmules.spool(), which also says what is raised.
        """
        return spooling.spool(self._carried.pack(args, kwargs))

    spool = __call__

    def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
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
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spool(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
) -> Any:
    """Have every call of the function run once in a spooler; what it returns is dropped.

    pass_arguments: the function has arguments of its own, which travel by pickle; else it is called with a
        dict of str.
    retries: how often a task whose function raises (or kills its process) runs again before it is moved to
        dead/; None leaves it to --spooler-max-attempts.
    backoff: seconds before the first run again, twice as long before each further one, at most max_backoff;
        None leaves it to the bus.

    Raises TypeError for a coroutine function, ValueError for numbers that cannot be. From uWSGI's @spool,
    which has no retries.
    """
    return _decorated(f, calls.OK, pass_arguments, retries, backoff, max_backoff)


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
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spoolraw(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
) -> Any:
    """As @spool, for a function that returns the result: SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE.

    A returned SPOOL_RETRY runs again after a wait, without end unless the function has retries.
    """
    return _decorated(f, None, pass_arguments, retries, backoff, max_backoff)


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
) -> Callable[[Callable[P, R]], Spooled[P, R]]: ...
def spoolforever(
    f: Callable[..., Any] | None = None,
    pass_arguments: bool = False,
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = 3600.0,
) -> Any:
    """As @spool, for a task that runs again and again until its file is removed; it never is dead."""
    return _decorated(f, calls.RETRY, pass_arguments, retries, backoff, max_backoff)


def _decorated(
    f: Callable[..., Any] | None,
    result: int | None,
    pass_arguments: bool,
    retries: int | None,
    backoff: float | None,
    max_backoff: float,
) -> Any:
    _check(retries, backoff, max_backoff)

    def decorate(function: Callable[..., Any]) -> Spooled[..., Any]:
        name = getattr(function, "__name__", None)
        if not callable(function) or not isinstance(name, str):
            raise TypeError(
                f"a spool function needs a name, by which its tasks call it; {function!r} has none"
            )
        return Spooled(
            calls.SpoolFunction(
                name, function, result, bool(pass_arguments), retries, backoff, float(max_backoff)
            )
        )

    return decorate if f is None else decorate(f)


def _check(retries: Any, backoff: Any, max_backoff: Any) -> None:
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
        raise ValueError(f"retries={retries!r}: give how often a failed task runs again, 0 or more")
    for name, value in (("backoff", backoff), ("max_backoff", max_backoff)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0
        ):
            raise ValueError(f"{name}={value!r}: give seconds, 0 or more")
