"""Spans where the app uses OpenTelemetry, and a task's span as a child of its caller's."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ipcmules.api import messages, rpc, rpc_server
from ipcmules.decorators import mules
from ipcmules.functions import tracing
from ipcmules.process.mule import deliver
from ipcmules.spooler import codec
from ipcmules.spooler.calls import SpoolFunction

_provider = TracerProvider()
_exporter = InMemorySpanExporter()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What was traced."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", _provider)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: _provider)
    monkeypatch.setattr(trace, "get_tracer", _provider.get_tracer)
    _exporter.clear()
    yield _exporter


def _names(found: InMemorySpanExporter) -> list[str]:
    return [each.name for each in found.get_finished_spans()]


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


@pytest.mark.parametrize("pass_arguments", [True, False])
def test_a_task_is_a_child_of_its_caller(spans: InMemorySpanExporter, pass_arguments: bool) -> None:
    got: list[object] = []
    function = SpoolFunction("mail", got.append, pass_arguments=pass_arguments)
    with _provider.get_tracer("app").start_as_current_span("request") as request:
        arguments = ("hello",) if pass_arguments else ({"to": "you"},)
        task = function.pack(arguments, {})
    env, _end = codec.unpack(codec.pack(task))
    function.run(env)
    function.run_for(env)  # a retry
    first, second = (each for each in spans.get_finished_spans() if each.name == "task mail")
    assert _parent(first) == _parent(second) == request.get_span_context().span_id
    expected = "hello" if pass_arguments else {"to": "you"}
    if isinstance(expected, dict):
        assert expected.items() <= got[0].items()  # type: ignore[attr-defined]
        assert tracing.KEY not in got[0]  # type: ignore[operator]
    else:
        assert got == [expected, expected]


def test_what_a_function_raises_is_in_its_span(spans: InMemorySpanExporter) -> None:
    def fails() -> None:
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        tracing.traced(fails, "signal 7", signal=7)()
    [span] = spans.get_finished_spans()
    assert span.name == "signal 7" and span.attributes == {"ipcmules.signal": 7}
    assert span.events[0].name == "exception" and not span.status.is_ok


def test_a_coroutine_s_span_ends_with_it(spans: InMemorySpanExporter) -> None:
    async def waits() -> str:
        await asyncio.sleep(0)
        assert not _names(spans)
        return "waited"

    assert asyncio.run(tracing.traced(waits, "a message hook")()) == "waited"
    assert _names(spans) == ["a message hook"]


def test_a_context_that_is_none(spans: InMemorySpanExporter) -> None:
    for given in (b"no JSON", b"[1]", b"null"):
        tracing.traced(lambda: None, "task f", {tracing.KEY.encode(): given})()
    assert [each.parent for each in spans.get_finished_spans()] == [None] * 3


def test_nothing_is_imported_for_an_app_that_does_not_use_it() -> None:
    code = (
        "import sys; from ipcmules.functions import tracing; "
        "f = len; assert tracing.traced(f, 'x') is f and tracing.carried() == {}; "
        "import ipcmules.decorators; assert not any('opentelemetry' in each for each in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_call_in_a_mule_is_a_child_of_its_caller(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    got: list[object] = []

    @mules.mulefunc
    def count(what: str) -> None:
        got.append(what)

    monkeypatch.setattr(messages, "mule_msg", lambda message, _target: sent.append(message) or True)
    with _provider.get_tracer("app").start_as_current_span("request") as request:
        count("traced")
    monkeypatch.setattr(deliver.dispatch, "run", lambda function, _what, message: function(message))
    [message] = sent
    assert deliver._run(mules._run_carried, "a message hook", message) == ""
    _request, span = spans.get_finished_spans()
    assert span.name.startswith("call ") and span.name.endswith("count")
    assert _parent(span) == request.get_span_context().span_id
    # Who knows of no traces reads the same call, and without a caller that traces nothing is added.
    assert pickle.loads(message[len(mules.MULEFUNC) :])[2:] == (("traced",), {})
    monkeypatch.setattr(tracing, "is_active", lambda: False)
    count("plain")
    assert sent[1].endswith(b".") and tracing.of_call(message) is None
    assert deliver._run(mules._run_carried, "a message hook", sent[1]) == ""
    assert got == ["traced", "plain"]


@pytest.mark.parametrize(
    "behind", [b"", b"\xff" * 20, b"{}\2\0\0\0", b"\xff\xff\xff\xff", b'{"name": 1}\x0b\0\0\0']
)
def test_what_is_no_context_is_ignored(spans: InMemorySpanExporter, behind: bytes) -> None:
    assert tracing.of_call(mules.MULEFUNC + b"." + behind + b"\0ipcmules.trace") is None


def test_a_call_over_rpc_is_a_child_of_its_caller(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    functions = {b"double": lambda data: data * 2}
    monkeypatch.setattr(rpc, "_functions", functions)
    ours, older = str(tmp_path / "ours"), str(tmp_path / "older")
    assert rpc_server.start(ours, rpc._answer)
    with _provider.get_tracer("app").start_as_current_span("request") as request:
        assert rpc._ask_process(ours, b"double", [b"ab"], 20) == b"abab"
        with pytest.raises(rpc.NoFunction, match="b'nothing'"):
            rpc._ask_process(ours, b"nothing", [], 20)
    called = next(each for each in spans.get_finished_spans() if each.name == "rpc double")
    assert _parent(called) == request.get_span_context().span_id
    # A process of an older version finds no function of the longer name, and is asked again.
    names: list[bytes] = []

    def answer(name: bytes, arguments: list[bytes]) -> bytes | None:
        names.append(name)
        return functions[name](*arguments) if name in functions else None

    assert rpc_server.start(older, answer)
    with _provider.get_tracer("app").start_as_current_span("request"):
        assert rpc._ask_process(older, b"double", [b"ab"], 20) == b"abab"
    assert names[0].startswith(b"double\0") and names[1:] == [b"double"]
