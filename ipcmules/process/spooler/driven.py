"""A coroutine into which an exception can be raised where it waits, as a signal's handler raises one.

asyncio knows only to cancel a task: what is to be raised is put in the place of its CancelledError, so that
the function sees it, and may catch it. Knows asyncio alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Driven:
    """To be awaited once, in a task of asyncio."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._error: BaseException | None = None
        #: What awaits it, and its loop, where it waits for something; None while its own code runs.
        self._waiter: asyncio.Task[Any] | None = None

    async def run(self) -> Any:
        """It, awaited: for a task of its own."""
        return await self

    def interrupt_from_a_handler(self, error: BaseException) -> bool:
        """Raise an error in it where it waits. False, and nothing is done, where it does not: then the
        handler of the signal is to raise it, as its own code is what it has interrupted."""
        waiter = self._waiter
        if waiter is None:
            return False
        waiter.get_loop().call_soon_threadsafe(self.interrupt, waiter, error)
        return True

    def interrupt(self, task: asyncio.Task[Any], error: BaseException | None = None) -> None:
        """Raise an error in it, where it waits next or now; None: as asyncio cancels a task. task: awaits
        it."""
        self._error = error
        task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        error: BaseException | None = None
        while True:
            try:
                waits = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                self._waiter = asyncio.current_task()
                yield waits
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as raised:
                error = self._instead(raised)
            finally:
                self._waiter = None

    def _instead(self, raised: BaseException) -> BaseException:
        if not isinstance(raised, asyncio.CancelledError) or self._error is None:
            return raised
        error, self._error = self._error, None
        task = asyncio.current_task()
        if task is not None and hasattr(task, "uncancel"):  # from Python 3.11: it is not being cancelled
            task.uncancel()
        return error
