"""Calls of decorated functions as tasks: the format, against uWSGI's uwsgidecorators where there is one."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.errors import SpoolError
from ipcmules.spooler import calls
from ipcmules.spooler.calls import SpoolFunction

Dict = dict[Any, Any]
values = st.one_of(st.text(max_size=50), st.binary(max_size=50), st.integers(), st.none(), st.booleans())


def in_a_spooler(task: Dict) -> Dict:
    """A packed dict as a handler gets it: bytes, but for two keys."""
    made: Dict = {"spooler_task_name": b"uwsgi_spoolfile_on_x_1_1_1_1_1"}
    for key, value in task.items():
        packed = value if isinstance(value, bytes) else str(value).encode()
        made["body" if key == "body" else key.encode()] = packed
    return made


def recorder(**options: Any) -> tuple[SpoolFunction, list[Any]]:
    seen: list[Any] = []
    return SpoolFunction("f", lambda *args, **kwargs: seen.append((args, kwargs)), **options), seen


@given(st.lists(values).map(tuple), st.dictionaries(st.text(max_size=10), values))
def test_arguments_arrive_as_they_were(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    function, seen = recorder(result=calls.OK, pass_arguments=True)
    plain = {key: value for key, value in kwargs.items() if key not in calls.ENVELOPE}
    assert function.run(in_a_spooler(function.pack(args, plain))) == calls.OK
    assert seen == [(args, plain)]


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.text(max_size=50), st.binary(max_size=50))))
def test_a_dict_arrives_as_text(task: dict[str, Any]) -> None:
    task = {k: v for k, v in task.items() if k not in ("args", "kwargs", "spooler_task_name")}
    task = {k: v for k, v in task.items() if not k.startswith("ud_spool")}
    function, seen = recorder(result=calls.OK)
    assert function.run(in_a_spooler(function.pack((task,), {}))) == calls.OK
    ((got,), _kwargs) = seen[0]
    for key, value in task.items():
        expected = value
        if isinstance(value, bytes):
            try:
                expected = value.decode()
            except UnicodeDecodeError:
                pass
        assert got[key] == expected


@pytest.mark.parametrize("size", [10, 59_000, 60_000, 65_000, 70_000, 1_000_000])
def test_what_is_too_large_goes_into_the_body(size: int) -> None:
    function, seen = recorder(result=calls.OK, pass_arguments=True)
    task = function.pack(("x" * size,), {"key": 1, "at": 5})
    assert task["at"] == 5
    assert ("body" in task) == (size > 59_990)
    block = [len(key) + len(_bytes(value)) for key, value in task.items() if key != "body"]
    assert sum(4 + each for each in block) <= 65_535
    function.run(in_a_spooler(task))
    assert seen == [(("x" * size,), {"key": 1})]


def test_uwsgi_does_not_run_a_call_whose_arguments_are_in_the_body() -> None:
    function, _seen = recorder(pass_arguments=True)
    task = function.pack(("x" * 100_000,), {})
    with pytest.raises(SpoolError, match="in the task's body"):
        pickle.loads(task["args"])


def test_what_cannot_be_pickled_is_said() -> None:
    function, _seen = recorder(pass_arguments=True)
    with pytest.raises(SpoolError, match=r"f\(\) cannot be enqueued"):
        function.pack((lambda: None,), {})


@pytest.mark.parametrize("args", [("text",), ({}, {}), (None,), ([("a", "b")],)])
def test_without_pass_arguments_there_is_one_dict(args: tuple[Any, ...]) -> None:
    function, _seen = recorder()
    with pytest.raises(TypeError, match="pass_arguments"):
        function.pack(args, {})


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (-2, -2),
        (-1, -1),
        (0, 0),
        (False, 0),
        (True, -1),
        (None, -1),
        (7, -1),
        ("-2", -2),
        ("x", -1),
        ({}, -1),
    ],
)
def test_results(returned: object, result: int) -> None:
    assert SpoolFunction("f", lambda env: returned).run({}) == result
    assert SpoolFunction("f", lambda env: returned, calls.OK).run({"ud_spool_ret": "-2"}) == calls.OK


def test_a_failing_function_has_its_own_bound_and_waits() -> None:
    function = SpoolFunction("f", print, calls.OK, retries=5, backoff=2.0, max_backoff=20)
    assert function.max_attempts == 6 and function.counts_retry
    assert [function.wait(n) for n in range(1, 7)] == [2, 4, 8, 16, 20, 20]
    assert function.wait(10_000) == 20
    for_ever = SpoolFunction("f", print, calls.RETRY, retries=5)
    assert for_ever.forever and for_ever.max_attempts == 0 and not for_ever.counts_retry
    default = SpoolFunction("f", print, calls.OK)
    assert default.max_attempts is None and default.wait(1) is None and not default.counts_retry


def test_names_and_selection() -> None:
    function, _seen = recorder()
    env = in_a_spooler(function.pack((), {}))
    assert calls.is_decorated(env) and calls.name_in(env) == "f"
    assert not calls.is_decorated({b"key": b"value"})
    assert calls.name_in({b"ud_spool_func": b"\xff"}) == "\\xff"


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a function"):
        calls.assign(7)  # type: ignore[arg-type]


def test_a_dispatcher_gets_calls_that_no_function_here_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_functions", type(calls._functions)())
    monkeypatch.setattr(calls, "_assigned", None)

    def dispatcher(env: Any) -> int:
        return -2

    known = SpoolFunction("known", print)
    calls.register(known)
    calls.assign(dispatcher)
    unknown = {b"ud_spool_func": b"unknown"}
    assert calls.select(unknown) is None and calls.select({}) is not None
    dispatcher.takes_every_task = True  # type: ignore[attr-defined] # what compat/live.py does
    found = calls.select(unknown)
    assert found is not None and found.run(unknown) == calls.OK
    assert calls.select({b"ud_spool_func": b"known"}) is known


# Against the real uwsgidecorators.py, with a `uwsgi` module that takes what it enqueues.


def _real() -> Path | None:
    spec = importlib.util.find_spec("uwsgidecorators")
    if spec is not None and spec.origin and "ipcmules" not in spec.origin:
        return Path(spec.origin)
    server = shutil.which("uwsgi")
    beside = Path(server).parent.parent if server else None
    return next(beside.glob("lib/python3*/site-packages/uwsgidecorators.py"), None) if beside else None


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    path = _real()
    if path is None:
        pytest.skip("uWSGI's uwsgidecorators.py is not installed")
    uwsgi: Any = types.ModuleType("uwsgi")
    uwsgi.masterpid = lambda: 1
    uwsgi.opt = {"spooler": b"x"}
    uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE = -2, -1, 0
    uwsgi.spooled = []
    uwsgi.spool = uwsgi.spooled.append
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    spec = importlib.util.spec_from_file_location("real_uwsgidecorators", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


@pytest.mark.parametrize("kind", ["spool", "spoolraw", "spoolforever"])
@pytest.mark.parametrize("pass_arguments", [False, True])
def test_either_side_runs_the_others_tasks(real: Any, kind: str, pass_arguments: bool) -> None:
    seen: list[Any] = []

    def task(*args: Any, **kwargs: Any) -> int:
        seen.append((args, kwargs))
        return -2

    result = {"spool": calls.OK, "spoolraw": None, "spoolforever": calls.RETRY}[kind]
    ours = SpoolFunction("task", task, result, pass_arguments)
    theirs = getattr(real, kind)(task, pass_arguments)
    args: tuple[Any, ...] = (1, "zwei") if pass_arguments else ({"key": "value"},)
    theirs(*args, other="x")
    (from_there,) = sys.modules["uwsgi"].spooled  # type: ignore[attr-defined]
    from_here = ours.pack(args, {"other": "x"})
    whole = from_here.pop("ipcmules_name")
    assert whole.endswith(".task")
    assert {key.encode(): _bytes(value) for key, value in from_here.items()} == from_there

    expected = calls.RETRY if kind == "spoolforever" else calls.OK
    env = {"spooler_task_name": b"name", **from_there}
    assert ours.run(env) == expected
    assert real.manage_spool_request(dict(env)) == expected
    assert seen[0] == seen[1]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
