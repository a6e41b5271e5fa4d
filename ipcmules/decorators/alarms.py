"""@on: a function that is called when something goes wrong. Part of ipcmules.decorators.

It registers a signal whose handler calls the function, and an event that raises it, as @timer does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ipcmules.api import timers
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership

F = TypeVar("F", bound=Callable[..., Any])


def on(kind: str, *, target: str = "mule") -> Callable[[F], F]:
    """Call function(alarm) when something of this kind has happened, at most once a minute.

    kind: "task_dead" (given up), "task_failed", "mule_died", "spooler_died", "worker_died" (not by a reload
        or a number of messages), "queue_full" (a send waits for five seconds), "reload_failed".
    target: who calls it (docs/targets.md), the first available mule by default.
    The function gets an Alarm: kind, text, time, times (with what happened in the minute before), fields.
    It is returned unchanged. Raises EventError for another kind.
    """
    with importing:
        from ipcmules.events import specs

    spec = specs.alarm(kind)

    def register(function: F) -> F:
        @functools.wraps(function)
        def handle(_number: int) -> Any:
            with importing:
                from ipcmules.bus import alarms

            return function(alarms.last(membership.current().where, kind))

        timers.add(membership.registry.register_auto(target, handle), spec)
        return function

    return register
