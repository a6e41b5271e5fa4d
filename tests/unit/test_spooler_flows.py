"""How chains and groups are put together, checked, and run under inline()."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ipcmules
from ipcmules import chain, group, spool_many
from ipcmules.decorators import spool, spoolraw
from ipcmules.errors import Drop, Retry, SpoolError, SpoolWriteError, TaskFailed
from ipcmules.spooler import at_once, flow_files, names
from ipcmules.spooler.flow_files import State


@spool(pass_arguments=True)
def give(value: Any) -> Any:
    return value


@spool(pass_arguments=True)
def add(value: int, more: int = 1) -> int:
    return value + more


@spool(pass_arguments=True)
def total(values: list[int]) -> int:
    return sum(values)


@spool
def told(task: dict[str, str]) -> None: ...


@spool(pass_arguments=True, results=60, drop_on=KeyError)
def ends(how: str) -> int:
    raise {"drop": Drop("gone"), "key": KeyError("gone"), "retry": Retry()}[how]


def test_under_inline_all_of_it_is_done_when_the_call_returns() -> None:
    with ipcmules.testing.inline() as ran:
        handle = chain(give.s(1), group(add.s(), chain(add.s(2), add.si(7))), total.s()).spool()
        assert (handle.status(), handle.result()) == ("succeeded", 10)
        assert spool_many(give, [1, (2,)])[1].status() == "unknown"
        assert group(told.s({"a": "b"}), give.s(3)).spool().result() == [None, 3]
    names_of = [each.name for each in ran.tasks]
    assert names_of == ["give", "add", "add", "add", "total", "give", "give", "told", "give"]


def test_under_inline_nothing_goes_on_after_a_part_without_an_end() -> None:
    with ipcmules.testing.inline() as ran:
        dropped = chain(ends.s("drop"), add.s(1)).spool()
        assert dropped.status() == "dead"
        with pytest.raises(TaskFailed, match="is cancelled: gone"):
            dropped.result(1)
        with pytest.raises(TaskFailed, match="is cancelled: KeyError"):
            group(chain(ends.s("key"), add.s(1)), add.s(1)).then(total.s()).spool().result(1)
        assert chain(ends.s("retry"), add.s(1)).spool().status() == "unknown"
        assert ends("key").status() == "cancelled"
    assert [each.name for each in ran.tasks] == ["ends"] * 4


def test_what_they_are_called() -> None:
    assert chain(give.s(1), group(add.s(), add.s()), total.s()).title == "chain(give, group(add, add), total)"
    assert group(give.s(n) for n in range(20)).title == f"group({', '.join(['give'] * 10)}, ...)"
    assert repr(group(give.s(1)).then(total.s())) == "<chain(group(give), total)>"
    assert len(chain(*[give.s(1)] * 99).title) < 210


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (chain, ValueError, "give at least one call"),
        (lambda: group([]), ValueError, "give at least one call"),
        (lambda: chain(give), TypeError, "give calls, as f.s"),
        (lambda: group(give.s(1), 3), TypeError, "give calls, as f.s"),
        (lambda: give.s(1, spooler="x"), SpoolError, "said of the whole"),
        (lambda: told.s({"at": 5}), SpoolError, r"told.s.at=....: that is said of the whole"),
        (lambda: told.s({b"priority": b"5"}), SpoolError, "said of the whole"),
        (lambda: told.s(spooler="x"), SpoolError, "said of the whole"),
        (
            lambda: chain(give.s(1)).spool(spooler=b"/nowhere"),
            SpoolError,
            "directory /nowhere does not exist",
        ),
        (lambda: chain(give.s(1)).spool(spooler=3), SpoolError, "spooler=3 is not a directory"),
        (
            lambda: spool_many(add, [{"value": 1, "spooler": "/a"}, {"value": 2, "spooler": "/b"}]),
            SpoolError,
            r"for several spoolers .'/a', '/b'.",
        ),
        (lambda: chain(give.s()).spool(spooler="/nowhere"), TypeError, "give.. cannot be called so"),
        (lambda: chain(give.s(1), give.s(2)).spool(spooler="/nowhere"), TypeError, "cannot be called so"),
        (lambda: chain(give.s(1)).spool(spooler="/nowhere"), SpoolError, "does not exist"),
        (lambda: chain(give.s(1)).spool(spooler="127.0.0.1:9"), SpoolError, "another server"),
        (lambda: spool_many(len, [1]), TypeError, "decorated by @spool"),  # type: ignore[arg-type]
        (lambda: spool_many(add, [(1,), ()], spooler="/nowhere"), TypeError, "cannot be called so"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_functions_whose_end_is_not_certain_are_no_parts() -> None:
    @spoolraw(pass_arguments=True)
    def raw() -> int:
        return -2

    with pytest.raises(SpoolError, match=r"raw.. is not decorated by @spool"):
        raw.s()


@given(
    st.sampled_from(["", "3/", "3/4/"]),
    st.builds("host_{}_{}_{}_{}_{}".format, *[st.integers(0, 1 << 31)] * 4, st.integers(0, 999_999)),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_parts_have_names_of_their_own_with_the_time_of_the_whole(
    priority: str, rest: str, sizes: list[int]
) -> None:
    whole = f"{priority}{names.TASK}{rest}"
    state = State(whole, 0, False, sizes)
    parts = [part for stage in range(len(sizes)) for part in state.parts(stage)]
    assert len({whole, *parts}) == 1 + sum(sizes)
    for part in parts:
        assert names.is_task(part) and part.startswith(priority)
        assert names.fifo_key(part) == names.fifo_key(whole)


def test_the_last_part_to_end_wakes_the_whole_and_so_does_one_that_fails(tmp_path: Path) -> None:
    where, whole = str(tmp_path), f"{names.TASK}h_1_1_1_1_1"
    task = tmp_path / whole
    task.touch()
    parts = State(whole, 0, False, [3]).parts(0)

    def put_off() -> None:
        flow_files.clear_marks(where, whole)
        for part in parts:
            flow_files.mark(where, whole, part)
        os.utime(task, (4e9, 4e9))

    put_off()
    for part in parts:
        assert flow_files.is_waiting(where, whole) and task.stat().st_mtime == 4e9
        flow_files.tell(where, whole, part, True)
        flow_files.tell(where, whole, part, True)
    assert not flow_files.is_waiting(where, whole) and task.stat().st_mtime < 4e9
    put_off()
    flow_files.tell(where, whole, parts[0], False)
    assert not flow_files.is_waiting(where, whole) and task.stat().st_mtime < 4e9
    flow_files.tell(where, "../elsewhere", parts[0], False)


def test_what_is_left_of_wholes_that_are_gone_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, whole = str(tmp_path), f"{names.TASK}h_1_1_1_1_1"
    (tmp_path / whole).touch()
    flow_files.write(where, State(whole, 0, True, [1]))
    flow_files.clear_marks(where, whole)
    flow_files.clear_marks(where, f"{names.TASK}h_1_2_1_1_1")
    monkeypatch.setattr(flow_files, "_YOUTH", -1.0)
    assert flow_files.sweep(where) == 1 and flow_files.has_begun(where, whole)
    (tmp_path / whole).unlink()
    assert flow_files.sweep(where) and not list((tmp_path / "flows").iterdir())


@pytest.mark.parametrize("nonsense", [b"", b"[]", b'{"name": "x", "stage": 0, "written": 1, "sizes": [1]}'])
def test_a_state_that_makes_no_sense_is_none(tmp_path: Path, nonsense: bytes) -> None:
    (tmp_path / "state").write_bytes(nonsense)
    assert flow_files.read(str(tmp_path / "state")) is None


def test_where_one_of_many_cannot_be_written_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    count = iter(range(9))

    def full(file: int, data: bytes) -> int:
        return os.write(file, data if next(count) < 3 else data[:5])

    monkeypatch.setattr(at_once, "_write", full)
    with pytest.raises(SpoolWriteError):
        spool_many(give, range(5), spooler=str(tmp_path))
    assert not list(tmp_path.iterdir())
