"""OpenTelemetry, where the app uses it: spans around its functions, and the context that a task carries.

Active once the app has set up a provider; before that nothing here costs more than a look. Knows
no bus. A tracer, its exporter and the sampling are the app's.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

#: The argument of a task that carries the context: JSON, as OpenTelemetry's propagators make it.
KEY = "ipcmules_trace"
_KEY = KEY.encode()


def is_active() -> bool:
    """True if the app uses OpenTelemetry: it has set up a provider."""
    trace = sys.modules.get("opentelemetry.trace")
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def carried() -> dict[str, str]:
    """What to add to a task's arguments: the context of the caller; nothing where there is none."""
    if not is_active():
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {KEY: json.dumps(carrier)} if carrier else {}


def traced(
    function: Callable[..., Any], name: str, task: Mapping[Any, Any] | None = None, **attributes: str | int
) -> Callable[..., Any]:
    """The function in a span of its own, which ends with it and has what it raises; itself if nobody traces.

    task: the arguments of the task that it is called for; the span is a child of who enqueued it.
    """
    if not is_active():
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with _span(name, task, attributes):
                return await function(*args, **kwargs)

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with _span(name, task, attributes):
            return function(*args, **kwargs)

    return called


def _span(
    name: str, task: Mapping[Any, Any] | None, attributes: Mapping[str, str | int]
) -> AbstractContextManager[Any]:
    from opentelemetry import propagate, trace

    context = None
    given = None if task is None else task.get(_KEY, task.get(KEY))
    if given is not None:
        try:
            context = propagate.extract(json.loads(given))
        except (ValueError, AttributeError, TypeError):
            pass  # it came from elsewhere: a trace of its own
    return trace.get_tracer("ipcmules").start_as_current_span(
        name,
        context=context,
        kind=trace.SpanKind.CONSUMER,
        attributes={f"ipcmules.{key}": value for key, value in attributes.items()},
    )
