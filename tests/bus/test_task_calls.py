"""What a call of a @spool function carries: its own keywords, arguments that fit, names that tell apart."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcmules
import ipcmules.testing
from conftest import BusEnvironment
from ipcmules.decorators import mulefunc, spool, spoolraw
from ipcmules.spooler import calls, codec
from spoolers import Spooling
from support import wait_until


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process without spool functions."""
    before = calls._functions
    calls._functions = type(before)()
    yield
    calls._functions = before


def test_a_body_of_the_functions_own_reaches_it() -> None:
    seen = []

    @spool(pass_arguments=True)
    def mail(to: str, subject: str, body: str = "") -> None:
        seen.append((to, subject, body))

    with ipcmules.testing.inline() as ran:
        mail("a", "b", body="text")
    assert seen == [("a", "b", "text")]
    assert ran.tasks[0].kwargs == {"body": "text"}


def test_a_body_too_large_for_the_block_reaches_it_too() -> None:
    seen = []

    @spool(pass_arguments=True)
    def mail(to: str, body: bytes) -> None:
        seen.append((to, len(body)))

    with ipcmules.testing.inline():
        mail("a", body=b"x" * 200_000)
    assert seen == [("a", 200_000)]


@pytest.mark.parametrize("word", ["priority", "at", "spooler"])
def test_own_parameters_that_are_words_of_the_spooler_are_refused_when_decorated(word: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def notify(user, {word}=1): pass\ndef fine(user, {word}=1, /): pass", names)
    with pytest.raises(TypeError, match=rf"notify\(\) has its own '{word}'.*positional-only"):
        spool(pass_arguments=True)(names["notify"])
    spool(pass_arguments=True)(names["fine"])
    spool(names["fine"])


def test_code_for_uwsgi_may_have_them_and_give_them_by_position() -> None:
    pytest.importorskip("ipcmules.compat.uwsgidecorators")
    from ipcmules.compat import uwsgidecorators

    seen = []

    @uwsgidecorators.spool(pass_arguments=True)
    def notify(user: str, priority: int = 1) -> None:
        seen.append((user, priority))

    with ipcmules.testing.inline():
        path = notify("u", 3)
        with pytest.raises(TypeError, match="has its own 'priority'"):
            notify("u", priority=3)
        assert type(notify.spool("u")) is bytes
    assert type(path) is bytes and path.startswith(b"inline/")
    assert seen == [("u", 3), ("u", 1)]


def test_arguments_are_bound_when_a_task_is_enqueued() -> None:
    @spool(pass_arguments=True)
    def invoice(number: int, to: str, *, copy: bool = False) -> None:
        pass

    with ipcmules.testing.inline() as ran:
        with pytest.raises(
            TypeError, match=r"invoice\(\) cannot be called so: missing a required argument: 'to'"
        ):
            invoice(1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'body'"):
            invoice(1, "me", body="x")
        with pytest.raises(TypeError, match="too many positional arguments"):
            invoice(1, "me", True)
        assert not ran.tasks
        invoice(1, "me", copy=True, priority=3, at=10)
    assert ran.tasks[0].args == (1, "me") and ran.tasks[0].kwargs == {"copy": True}
    assert (ran.tasks[0].priority, ran.tasks[0].at) == (3, 10.0)


def test_a_wrapper_is_bound_as_it_is_called() -> None:
    def with_database(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function("database", *args, **kwargs)

        return call

    seen = []

    @spool(pass_arguments=True)
    @with_database
    def store(database: str, value: int) -> None:
        seen.append((database, value))

    with ipcmules.testing.inline():
        store(7)
    assert seen == [("database", 7)]


def test_a_function_without_room_for_the_dict_is_seen_at_the_call() -> None:
    @spool
    def nothing() -> None:
        pass

    with ipcmules.testing.inline(), pytest.raises(TypeError, match="nothing"):
        nothing(key="value")


@pytest.mark.parametrize(
    "key", ["ud_spool_func", "ud_spool_ret", "ipcmules_name", "spooler_task_name", "args"]
)
def test_a_dict_cannot_say_that_it_is_another_task(key: str) -> None:
    @spool
    def mine(task: dict[str, str]) -> None:
        pass

    with ipcmules.testing.inline(), pytest.raises(ipcmules.SpoolError, match=key):
        mine({key: "x"})


def test_mulefunc_binds_too() -> None:
    @mulefunc
    def job(number: int) -> None:
        pass

    with ipcmules.testing.inline(), pytest.raises(TypeError, match=r"job\(\) cannot be called so"):
        job()  # type: ignore[call-arg]


def test_the_record_of_a_plain_task() -> None:
    @spoolraw
    def plain(task: dict[str, str]) -> int:
        return ipcmules.SPOOL_OK

    with ipcmules.testing.inline() as ran:
        plain(key="value", priority=2)
    (only,) = ran.tasks
    ((got,), kwargs) = only.args, only.kwargs
    assert got["key"] == "value" and not kwargs and only.priority == 2 and only.at is None
    assert "ipcmules_name" not in got


# Names


def _function(module: str, bare: str, seen: list[str], **more: Any) -> Any:
    def function(*args: Any) -> None:
        seen.append(f"{module}.{bare}")

    function.__module__, function.__name__, function.__qualname__ = module, bare, bare
    return spool(pass_arguments=True, **more)(function)


def test_functions_of_one_name_get_their_own_tasks(nothing_known: None) -> None:
    seen: list[str] = []
    shop, blog = _function("shop.tasks", "send", seen), _function("blog.tasks", "send", seen)
    named = _function("blog.other", "send", seen, name="mail.send")
    with ipcmules.testing.inline() as ran:
        shop(), blog(), named()
        assert seen == ["shop.tasks.send", "blog.tasks.send", "blog.other.send"]
        assert [each.arguments[b"ud_spool_func"] for each in ran.tasks] == [b"send"] * 3


def _task(**more: str) -> dict[Any, bytes]:
    return {b"ud_spool_func": b"send", **{key.encode(): value.encode() for key, value in more.items()}}


def test_which_function_runs_a_task(nothing_known: None) -> None:
    seen: list[str] = []
    shop = _function("shop.tasks", "send", seen)._carried
    assert calls.select(_task()) is shop  # of uWSGI, or of an older version
    assert calls.select(_task(ipcmules_name="shop.tasks.send")) is shop
    assert calls.select(_task(ipcmules_name="tasks.send")) is shop  # the file, loaded by its path
    assert calls.select(_task(ipcmules_name="__main__.send")) is shop  # python -c, where it has no file
    assert calls.select(_task(ipcmules_name="blog.tasks.send")) is None
    assert "@spool(name='blog.tasks.send')" in calls.why_not(_task(ipcmules_name="blog.tasks.send"))
    blog = _function("blog.tasks", "send", seen)._carried
    assert calls.select(_task(ipcmules_name="blog.tasks.send")) is blog
    assert calls.select(_task(ipcmules_name="shop.tasks.send")) is shop
    for ambiguous in (_task(), _task(ipcmules_name="tasks.send"), _task(ipcmules_name="__main__.send")):
        assert calls.select(ambiguous) is None
        assert "shop.tasks.send" in calls.why_not(ambiguous) and "blog.tasks.send" in calls.why_not(ambiguous)


def test_a_moved_function_says_its_old_name(nothing_known: None) -> None:
    moved = _function("shop.mail.tasks", "send", [], name="shop.tasks.send")._carried
    assert calls.select(_task(ipcmules_name="shop.tasks.send")) is moved


def test_the_main_module_has_the_name_it_is_imported_by(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from ipcmules.decorators import spool\n@spool\ndef work(task): pass\nprint(work._carried.whole)\n"
    )
    for command in (["jobs.py"], ["-m", "jobs"], ["-c", "import jobs"]):
        told = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert told == "jobs.work\n"


@pytest.mark.parametrize("name", ["", 7, "x" * 300])
def test_names_that_cannot_be(name: Any) -> None:
    with pytest.raises(ValueError, match="name="):
        spool(name=name)(lambda task: None)


def test_an_ambiguous_task_is_left_and_said(bus_env: BusEnvironment, bus_name: str) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    for app in ("shop", "blog"):
        (spooling.home / f"{app}_jobs.py").write_text(
            f"from ipcmules.decorators import spool\nfrom tasks_app import note\n"
            f"@spool(pass_arguments=True)\ndef send(key): note(task={{'key': '{app} ' + key}})\n"
        )
    options = ("--import", "shop_jobs", "--import", "blog_jobs", "--spooler-frequency", "0.2")
    packed = {"args": pickle.dumps(("x",)), "kwargs": pickle.dumps({})}
    with spooling.start(*options) as launcher:
        old = spooling.put(ud_spool_func="send", ud_spool_ret="-2", **packed)
        spooling.put(ud_spool_func="send", ud_spool_ret="-2", ipcmules_name="blog_jobs.send", **packed)
        spooling.wait_runs(1)
        said = "is left alone: it is for a function 'send', and there are several here"
        wait_until(lambda: said in launcher.stderr, what="a word about it")
    assert spooling.ran() == ["blog x"]
    assert spooling.tasks() == [old]


# Off the bus


def test_a_directory_that_is_misspelt_is_not_made(tmp_path: Path, bus_env: BusEnvironment) -> None:
    with pytest.raises(ipcmules.SpoolError, match=r"speled does not exist.*mkdir -m 750"):
        ipcmules.spool(key="value", spooler=str(tmp_path / "speled"))
    assert not os.listdir(tmp_path)
    (tmp_path / "spelled").mkdir()
    path = ipcmules.spool(key="value", spooler=str(tmp_path / "spelled"))
    assert codec.unpack(Path(path).read_bytes())[0][b"key"] == b"value"


def test_on_a_bus_an_unknown_directory_says_which_there_are(bus_env: BusEnvironment, bus_name: str) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    with (
        spooling.start(),
        ipcmules.attach(bus_name) as bus,
        pytest.raises(ipcmules.UnknownTarget, match=str(spooling.directory)),
    ):
        bus.spool({"key": "value"}, spooler=str(spooling.home / "speled"))
    assert not (spooling.home / "speled").exists()


def test_a_repeating_task_of_code_for_uwsgi_does_not_double(bus_env: BusEnvironment, bus_name: str) -> None:
    """It decodes what a call returns, as it is bytes there."""
    spooling = Spooling(bus_env.directory, bus_name)
    (spooling.home / "old_code.py").write_text(
        "from uwsgidecorators import spool\nfrom tasks_app import note\n"
        "@spool(pass_arguments=True)\ndef again(count):\n"
        "    note(task={'key': str(count)})\n"
        "    if count: again(count - 1).decode()\n"
    )
    with spooling.start("--compat", "--import", "old_code"):
        packed = {"args": pickle.dumps((2,)), "kwargs": pickle.dumps({})}
        spooling.put(ud_spool_func="again", ud_spool_ret="-2", **packed)
        spooling.wait_runs(3)
        wait_until(lambda: not spooling.tasks(), what="all tasks to be done")
    assert spooling.ran() == ["2", "1", "0"]
