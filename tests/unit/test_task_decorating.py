"""What @spool takes, what its functions may be called with, and what task() takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from ipcmules import TaskUnknown, spool_many
from ipcmules.decorators import spool
from ipcmules.kernel.printable import shown, worded
from ipcmules.spooler import keyed, names


@spool(pass_arguments=True, results=60)
def anything(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@spool(results=60)
def of_a_dict(task: dict[str, str]) -> Any:
    return task


async def _awaited(word: str) -> Any:
    return await (await anything.aspool(1, **{word: 2})).result(1)


@pytest.mark.parametrize("word", ["self", "f", "function", "args", "kwargs", "task", "body", "use", "name"])
def test_keywords_of_any_name_reach_the_function(word: str) -> None:
    import asyncio

    with ipcmules.testing.inline():
        assert anything(1, **{word: 2}).result(1) == [[1], {word: 2}]
        assert asyncio.run(_awaited(word)) == [[1], {word: 2}]
        assert ipcmules.chain(anything.s(1, **{word: 2})).spool().result(1) == [[1], {word: 2}]
        assert ipcmules.chain(anything.si(**{word: 2})).spool().result(1) == [[], {word: 2}]
        assert spool_many(anything, [{word: 2}])[0].result(1) == [[], {word: 2}]
    assert anything.call(1, **{word: 2}) == [[1], {word: 2}]


@pytest.mark.parametrize("word", ["self", "f", "task", "use", "name"])
def test_keys_of_any_name_reach_a_function_of_a_dict(word: str) -> None:
    with ipcmules.testing.inline():
        assert of_a_dict({"a": "1"}, **{word: "2"}).result(1).items() >= {"a": "1", word: "2"}.items()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (5, "@spool decorates a function, not 5: its arguments have names"),
        ("mail", "@spool decorates a function, not 'mail'"),
        (anything, "<spool function anything> is decorated already"),
        (classmethod(lambda cls: None), r"@spool over @classmethod: .*<lambda>\(\) would be called without"),
    ],
)
def test_what_is_no_function_is_refused_for_what_it_is(given: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        spool(given)
    with pytest.raises(TypeError, match=says):
        spool(pass_arguments=True, name="a.name")(given)


@pytest.mark.parametrize("what", ["backoff", "max_backoff"])
@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e10, -1])
def test_waits_are_times_that_can_be(what: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"{what}={seconds!r}: give seconds, 0 to"):
        spool(**{what: seconds})  # type: ignore[call-overload]


@pytest.mark.parametrize("id", ["", "a\0b", "/etc/passwd", "../up", "a/b"])
def test_what_is_no_task_is_refused(id: str) -> None:
    with pytest.raises(ValueError, match=r"give a task's .id, or the path of its file") as caught:
        ipcmules.task(id, "/nowhere")
    assert repr(id) in str(caught.value)


@pytest.mark.parametrize("id", [None, 5, ["x"]])
def test_what_is_no_text_is_no_task(id: Any) -> None:
    with pytest.raises(TypeError, match=r"give a task's .id, or the path of its file, as str or bytes"):
        ipcmules.task(id)


def test_under_inline_a_task_is_found_by_its_id() -> None:
    with ipcmules.testing.inline():
        first, second = anything(1), anything(2, priority=3)
        for each, value in ((first, 1), (second, 2)):
            for id in (each.id, str(each), os.fsencode(each.id)):
                assert ipcmules.task(id).result(1) == [[value], {}]
        assert ipcmules.task("/nowhere/" + names.new_name()).status() == "unknown"
    with ipcmules.testing.inline():
        assert ipcmules.task(str(first)).status() == "unknown", "it was another's"


@spool(pass_arguments=True, results=60)
def lends(what: str) -> Any:
    return {"function": lambda: 0, "large": "x" * (2 << 20)}[what]


@pytest.mark.parametrize(
    ("what", "says"), [("function", "cannot be pickled"), ("large", "takes 2097154 bytes")]
)
def test_under_inline_a_result_that_no_spooler_keeps_is_not_kept(what: str, says: str) -> None:
    with ipcmules.testing.inline():
        task = lends(what)
        assert task.status() == "succeeded"
        with pytest.raises(TaskUnknown, match=f"succeeded, but what it returned {says}"):
            task.result(1)


def test_calls_for_several_priorities_at_once_are_seen(tmp_path: Path) -> None:
    place = tmp_path / "spool"
    place.mkdir(0o750)
    given: list[dict[str, Any]] = [{"a": 1}, {"a": 2, "priority": 3}]
    tasks = spool_many(anything, given * 10, spooler=str(place))
    assert {task.status() for task in tasks} == {"waiting"}
    assert len(list((place / "3").iterdir())) == 10


class _Mute:
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


def test_what_cannot_be_shown_is_named() -> None:
    assert shown(_Mute()) == "<_Mute, whose repr() raises RuntimeError>"
    assert worded(_Mute()) == "<_Mute, whose str() raises RuntimeError>"
    assert shown("a") == "'a'" and worded(KeyError("a")) == "'a'"


def test_a_digest_is_of_any_text() -> None:
    digests = {keyed.digest(text) for text in ("a", "\udcff", "\ud800", "", "\xff")}
    assert len(digests) == 5 and keyed.digest("a") == keyed.digest("a") != keyed.digest("a", "")
