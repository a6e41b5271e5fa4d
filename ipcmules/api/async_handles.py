"""The handle of a task for a process with an event loop: what may take time there is awaited.

Knows the plain handle (handles.py), which it asks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ipcmules.api.handles import Failure, Progress, Task
from ipcmules.kernel.exhaustion import importing


class AsyncTask(str):
    """What `await f.aspool(...)` and aio.spool() return: a Task whose wait(), result() and cancel() are
    awaited, so that others run meanwhile. As a str it is the path of the file, as a Task is.

    task: the Task, for code that has no loop.
    """

    __slots__ = ("task",)
    #: Set by awaitable().
    task: Task

    @property
    def id(self) -> str:
        """As Task.id."""
        return self.task.id

    def status(self) -> str:
        """As Task.status(); some files are looked at, nothing is waited for."""
        return self.task.status()

    @property
    def attempts(self) -> int:
        """As Task.attempts."""
        return self.task.attempts

    @property
    def errors(self) -> tuple[Failure, ...]:
        """As Task.errors."""
        return self.task.errors

    @property
    def progress(self) -> Progress | None:
        """As Task.progress."""
        return self.task.progress

    def __await__(self) -> Generator[Any, None, Any]:
        return self.task.__await__()

    async def wait(self, timeout: float | None = None) -> str:
        """As Task.wait(), awaited. timeout in seconds, None: for ever. Raises TaskTimeout."""
        return await self.task.await_end(timeout)

    async def result(self, timeout: float | None = None) -> Any:
        """As Task.result(), awaited; `await task` is the same without a timeout. Raises as that."""
        return await self.task.aresult(timeout)

    #: As Task calls it.
    aresult = result

    async def cancel(self, grace: float | None = 5.0) -> bool:
        """As Task.cancel(), on a thread. Raises as that."""
        with importing:
            from ipcmules.api import threads

        return await threads.call("cancel", self.task.cancel, grace)


def awaitable(task: Task) -> AsyncTask:
    """The same task's handle for a process with a loop."""
    made = AsyncTask(task)
    made.task = task
    return made
