"""Calls that may wait for a disk or another process, on threads of their own for who has an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: So many calls at once; more of them wait for their turn.
_MOST = 64

#: A pool for each use, so that calls of other processes, which may take long, hold no task up.
_pools: dict[str, ThreadPoolExecutor] = {}


async def call(use: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function on a thread of a use's pool, with this coroutine's context; raises what it raises.

    Who is cancelled meanwhile does not wait for it any more, and it goes on.
    """
    pool = _pools.get(use)
    if pool is None:
        pool = _pools.setdefault(use, ThreadPoolExecutor(_MOST, f"ipcmules-{use}"))
    bound = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(pool, bound)


# A forked child has none of the threads.
os.register_at_fork(after_in_child=_pools.clear)
