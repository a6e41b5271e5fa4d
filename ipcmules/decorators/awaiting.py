"""What @lock and @harakiri are around a coroutine function: in force from its first line to its last.

The coroutines of one loop take turns, and none holds the loop up (api/awaited.py). Knows locks and deadlines.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ipcmules.kernel.exhaustion import importing
from ipcmules.process import harakiri


def locked(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """A coroutine function that holds a lock of the bus while `function` is awaited."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with importing:
            from ipcmules.api import awaited

        turn = awaited.turn(number)
        await turn.take(number, None)
        try:
            return await function(*args, **kwargs)
        finally:
            turn.free(number)

    return call


def guarded(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """A coroutine function whose process is killed where awaiting `function` takes longer."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        key = object()
        try:
            if seconds:
                harakiri.arm(seconds, key)
            return await function(*args, **kwargs)
        finally:
            harakiri.disarm(key)

    return call
