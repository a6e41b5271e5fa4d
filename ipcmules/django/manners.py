"""@spooled: what @spool says of how tasks run, for a function under Django's @task.

    @task
    @spooled(retries=5, timeout=30)
    def send(user): ...

Knows what @spool's own arguments may be; runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from ipcmules.decorators.manners import Exceptions, manner_of
from ipcmules.decorators.tasks import check_numbers
from ipcmules.spooler.manner import NONE, Hook, Manner

F = TypeVar("F", bound=Callable[..., Any])

#: Where a function keeps what was said of it.
_ATTRIBUTE = "__ipcmules_spooled__"
#: What is said where neither the function nor the backend says anything: a task that raises has failed.
_RETRIES, _BACKOFF, _MAX_BACKOFF = 0, None, 3600.0
#: What manner_of() is told of what is not for tasks of Django's.
_REST: dict[str, Any] = {
    "results": 0,
    "unique": "",
    "unique_until": "done",
    "key": "",
    "every": 0,
    "cron": "",
    "tz": None,
    "before": None,
    "after": None,
    "failed": None,
    "dead": None,
}


def spooled(
    *,
    retries: int | None = None,
    backoff: float | None = None,
    max_backoff: float = _MAX_BACKOFF,
    retry_on: Exceptions | None = None,
    drop_on: Exceptions = (),
    jitter: bool = False,
    timeout: float = 0,
    soft_timeout: float = 0,
    expires: float = 0,
    concurrency: int = 0,
    rate: str = "",
) -> Callable[[F], F]:
    """Say how the tasks of a function run, as @spool's arguments of the same names do; it stays what it is.

    To stand under @task. retries: None for what the backend's OPTIONS say (0). Other backends ignore it.
    Raises ValueError or TypeError as @spool.
    """
    check_numbers(retries, backoff, max_backoff)
    manner = manner_of(
        retry_on=retry_on,
        drop_on=drop_on,
        jitter=jitter,
        timeout=timeout,
        soft_timeout=soft_timeout,
        expires=expires,
        concurrency=concurrency,
        rate=rate,
        **_REST,
    )

    def mark(function: F) -> F:
        if hasattr(function, "func"):
            raise TypeError(
                f"@spooled is for the function itself: write it under @task, not over it ({function!r})"
            )
        setattr(function, _ATTRIBUTE, (retries, backoff, max_backoff, manner or NONE))
        return function

    return mark


def said_of(function: Any, options: dict[str, Any]) -> tuple[int, float | None, float, Manner]:
    """retries, backoff, max_backoff and the rest, of a function, else of its backend's OPTIONS."""
    default = (None, None, _MAX_BACKOFF, NONE)
    retries, backoff, max_backoff, manner = getattr(function, _ATTRIBUTE, default)
    if retries is None:
        retries = options.get("retries", _RETRIES)
    if backoff is None:
        backoff = options.get("backoff", _BACKOFF)
    if not manner.timeout and options.get("timeout"):
        manner = replace(manner, timeout=options["timeout"])
    return retries, backoff, max_backoff, manner


def with_hooks(manner: Manner, results: float, after: Hook, dead: Hook) -> Manner:
    """The same, with seconds for which results are kept, and hooks."""
    return replace(manner, results=results, after=after, dead=dead)
