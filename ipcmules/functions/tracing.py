"""OpenTelemetry, where the app uses it: spans around its functions, and the context tasks and calls carry.

Active once the app has set up a provider; before that nothing here costs more than a look: what it needs is
imported where it is used, as every import of ipcmules comes here. Knows no bus. A tracer, its exporter and
the sampling are the app's.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

#: The argument of a task that carries the context: JSON, as OpenTelemetry's propagators make it.
KEY = "ipcmules_trace"
_KEY = KEY.encode()
#: What the context of a call ends with (docs/formats-table.md). No pickle ends so.
_MARK = b"\0ipcmules.trace"
#: What stands between the name of an RPC function and the context.
_BEHIND = b"\0ipcmules.trace\0"


#: Whether a provider may come of the environment, without anybody setting it up.
_BY_ENVIRONMENT = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ


def is_active() -> bool:
    """True if the app uses OpenTelemetry: it has set up a provider."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    # Asked for each message of an app that has imported it and does not use it: get_tracer_provider() takes
    # ten times as long. Where this name is gone that one is asked.
    if not _BY_ENVIRONMENT and trace.__dict__.get("_TRACER_PROVIDER", trace) is None:
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class _Watch:
    """A finder of modules that finds none: it sees when OpenTelemetry is imported."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.seen = "opentelemetry.trace" in sys.modules
        self._call = call

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """None, as import asks for a module."""
        if name == "opentelemetry.trace":
            self.seen = True
            self._call()


_watch: _Watch | None = None


def may_come(call: Callable[[], object]) -> bool:
    """True if the app has imported OpenTelemetry, so that is_active() is worth asking.

    call is called when it does that later; that of the first call here is remembered.
    """
    global _watch
    if _watch is None:
        _watch = _Watch(call)
        sys.meta_path.insert(0, _watch)
    return _watch.seen


def context_for(message: bytes) -> bytes:
    """The context of the caller, for a message that does not carry it already; nothing for none."""
    if not is_active() or message.endswith(_MARK):
        return b""
    return carried().get(KEY, "").encode()


def of_message(context: bytes) -> dict[str, str]:
    """What came with a message, as carried() told it."""
    return {KEY: context.decode("utf-8", "replace")} if context else {}


def carrier_of(context: bytes) -> dict[str, str]:
    """What came with a message, as OpenTelemetry's propagators read it; {} where that is none."""
    import json

    try:
        found = json.loads(context)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def carried() -> dict[str, str]:
    """What to add to a task's arguments: the context of the caller; nothing where there is none."""
    if not is_active():
        return {}
    import json

    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {KEY: json.dumps(carrier)} if carrier else {}


def trailer(name: str) -> bytes:
    """What stands behind the pickle of a call: the context of the caller; nothing where there is none."""
    found = carried().get(KEY)
    if found is None:
        return b""
    import json

    data = json.dumps({"name": name, KEY: found}).encode()
    return data + len(data).to_bytes(4, "little") + _MARK


def of_call(message: bytes) -> tuple[str, dict[str, str]] | None:
    """The name and the context behind a call, as carried() told it; None for none, or if nobody traces."""
    if not message.endswith(_MARK) or not is_active():
        return None
    import json

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
    import inspect

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
    import json

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
