"""OpenTelemetry, where the app uses it: spans around its functions, and the context tasks and calls carry.

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
#: What the context of a call ends with (docs/formats-table.md). No pickle ends so.
_MARK = b"\0ipcmules.trace"
#: What stands between the name of an RPC function and the context.
_BEHIND = b"\0ipcmules.trace\0"


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


def trailer(name: str) -> bytes:
    """What stands behind the pickle of a call: the context of the caller; nothing where there is none."""
    found = carried().get(KEY)
    if found is None:
        return b""
    data = json.dumps({"name": name, KEY: found}).encode()
    return data + len(data).to_bytes(4, "little") + _MARK


def of_call(message: bytes) -> tuple[str, dict[str, str]] | None:
    """The name and the context behind a call, as carried() told it; None for none, or if nobody traces."""
    if not message.endswith(_MARK) or not is_active():
        return None
    end = len(message) - len(_MARK) - 4
    length = int.from_bytes(message[end : end + 4], "little")
    try:
        found = json.loads(message[max(end - length, 0) : end])
        return str(found["name"]), {KEY: str(found[KEY])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def with_context(name: bytes) -> bytes:
    """The name of an RPC function with the context of the caller behind it; itself where there is none."""
    found = carried().get(KEY)
    return name if found is None else name + _BEHIND + found.encode()


def without_context(name: bytes) -> tuple[bytes, dict[str, str]]:
    """What with_context() made: the name, and the context as carried() told it."""
    bare, _mark, found = name.partition(_BEHIND)
    return bare, {KEY: found.decode("utf-8", "replace")} if found else {}


def traced(
    function: Callable[..., Any], name: str, task: Mapping[Any, Any] | None = None, **attributes: str | int
) -> Callable[..., Any]:
    """The function in a span of its own, which ends with it and has what it raises; itself if nobody traces.

    task: the arguments of the task that it is called for, or what a call carried; the span is a child of who
    enqueued or called.
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
