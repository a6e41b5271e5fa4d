"""What calling a function of the app came to: a coroutine is run here, a generator is an error.

A call of a coroutine function or of a generator function runs nothing of it. Wherever ipcmules calls
functions of the app and has no event loop of its own, the result goes through finish(), so that nothing
counts as done that has not run. Knows the standard library alone, and asyncio only where there is something
to await.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

#: inspect.CO_COROUTINE, CO_GENERATOR, CO_ASYNC_GENERATOR, CO_ITERABLE_COROUTINE (inspect is slow to import).
_COROUTINE, _GENERATOR, _ASYNC_GENERATOR, _ITERABLE = 0x80, 0x20, 0x200, 0x100

#: What each coroutine is awaited in, made anew for it; None for nothing (process/database.py).
surroundings: Callable[[], AbstractAsyncContextManager[object]] | None = None


def finish(returned: Any, name: str) -> Any:
    """What a call returned, or, where that is to be awaited, what it comes to: it is run to its end here.

    name: the function's, for errors. Raises TypeError for a generator or asynchronous generator, of which
    nothing has run, and what a coroutine raises. Where an event loop runs in this thread already the
    coroutine runs in a loop of a thread of its own, and this one waits for it, as for a plain function.
    """
    if returned is None or type(returned) is int:
        return returned
    if is_awaitable(returned):
        return _run(returned)
    if isinstance(returned, (GeneratorType, AsyncGeneratorType)):
        if isinstance(returned, GeneratorType):
            returned.close()
        raise TypeError(
            f"{name}() returned a generator: nothing of it has run; make it a function without yield, or go "
            "through the generator in it"
        )
    return returned


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function and finish() what it returns."""
    return finish(function(*args, **kwargs), name_of(function))


def is_awaitable(value: Any) -> bool:
    """True for what can be awaited: coroutines, futures, objects with __await__."""
    if hasattr(type(value), "__await__"):
        return True
    return isinstance(value, GeneratorType) and bool(value.gi_code.co_flags & _ITERABLE)


def is_coroutine_function(function: Any) -> bool:
    """True if a call of it is a coroutine: an `async def`, a method or partial of one, an object with an
    `async __call__`."""
    return bool(_flags(function) & _COROUTINE)


def check_runs(function: Any, what: str) -> None:
    """Raise TypeError for a generator function, which does nothing where it is only called.

    what: what it is to be, as '@spool'. A function that only returns a generator is seen by finish().
    """
    flags = _flags(function)
    if flags & (_GENERATOR | _ASYNC_GENERATOR) and not flags & _ITERABLE:
        raise TypeError(
            f"{what}: {name_of(function)}() is a generator function, and a call runs nothing of it: make it "
            "a function without yield, or go through the generator in another function"
        )


def forget(returned: Any) -> None:
    """Close a coroutine that is not to be run, without Python's warning that it was never awaited."""
    close = getattr(returned, "close", None)
    if close is not None:
        close()


def name_of(function: Any) -> str:
    """A function's name for people."""
    return str(
        getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(function)
    )


def in_event_loop() -> bool:
    """True where an event loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


async def surrounded(awaitable: Awaitable[Any]) -> Any:
    """What an awaitable comes to, awaited in what is to be around each coroutine."""
    if surroundings is None:
        return await awaitable
    async with surroundings():
        return await awaitable


def _run(awaitable: Any) -> Any:
    import asyncio

    if not in_event_loop():
        return asyncio.run(surrounded(awaitable))
    return _beside(lambda: asyncio.run(surrounded(awaitable)))


def _beside(run: Callable[[], Any]) -> Any:
    """Run something on a thread of its own, and wait for it; raises what it raises."""
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, "ipcmules-coroutine") as threads:
        return threads.submit(context.run, run).result()


def _flags(function: Any) -> int:
    """The flags of the code that a call runs, 0 where there is none to be seen."""
    for _depth in range(10):
        code = getattr(function, "__code__", None)
        if code is not None:
            return int(code.co_flags)
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, type):
            return 0
        else:  # an object is called through its class
            function = type(function).__call__
    return 0
