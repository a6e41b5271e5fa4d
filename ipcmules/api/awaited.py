"""Waiting in an event loop for what a call without waiting refuses: room in a queue, a lock, a buffer.

Nothing of the kernel tells a loop of these, so they are tried again, soon at first and then less often; and
the coroutines of one loop take turns at a lock, as a lock belongs to a thread. Knows the flat functions.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Any

from ipcmules.api import locks
from ipcmules.errors import LockError

#: How often it is tried again, seconds: from, to.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


def deadline_of(timeout: float | None) -> float | None:
    """When a wait of so many seconds is over (time.monotonic()); None for never."""
    return None if timeout is None else time.monotonic() + timeout


async def until(attempt: Callable[[], bool], deadline: float | None) -> bool:
    """Try until it is true; False when the time is over first. It is tried at least once, and at once."""
    pause = _FIRST_PAUSE
    while not attempt():
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            return False
        await asyncio.sleep(left)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return True


class Turn:
    """Whose turn it is at a lock of the bus among the coroutines of one loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[Any] | None = None

    async def take(self, number: int, timeout: float | None) -> bool:
        """Take the lock; False when the time is over.

        Raises LockError if this task of the loop has it, and as lock().
        """
        task, deadline = asyncio.current_task(), deadline_of(timeout)
        if task is not None and self._task is task:
            raise LockError(
                f"this task of the event loop holds lock {number} already: a lock cannot be taken twice, "
                "leave its block first"
            )
        if not await self._come_first(timeout):
            return False
        try:
            if await until(lambda: locks.lock(number, 0), deadline):
                self._task = task
                return True
        except BaseException:
            self._lock.release()
            raise
        self._lock.release()
        return False

    async def _come_first(self, timeout: float | None) -> bool:
        if not self._lock.locked():
            return await self._lock.acquire()
        if timeout is not None and timeout <= 0:
            return False
        try:
            return await asyncio.wait_for(self._lock.acquire(), timeout)
        except asyncio.TimeoutError:
            return False

    def free(self, number: int) -> None:
        """Free the lock. Raises LockError where it is not held."""
        self._task = None
        try:
            locks.unlock(number)
        finally:
            self._lock.release()


#: By event loop and number.
_turns: weakref.WeakKeyDictionary[Any, dict[int, Turn]] = weakref.WeakKeyDictionary()


def turn(number: int) -> Turn:
    """That of the running loop at a lock."""
    turns = _turns.setdefault(asyncio.get_running_loop(), {})
    found = turns.get(number)
    if found is None:
        found = turns[number] = Turn()
    return found
