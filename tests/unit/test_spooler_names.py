"""Names of files in a spool directory, and their order."""

from __future__ import annotations

import ctypes
import os
import random
from functools import cmp_to_key

from hypothesis import example, given
from hypothesis import strategies as st

from ipcmules.spooler import names
from ipcmules.spooler.window import Window

strverscmp = ctypes.CDLL(None).strverscmp


def test_the_name_of_a_task() -> None:
    first, second = names.new_name(), names.new_name()
    host, pid, counter, number, seconds, micros = first[len("uwsgi_spoolfile_on_") :].rsplit("_", 5)
    assert (host, int(pid)) == (os.uname().nodename, os.getpid())
    assert int(seconds) > 1_700_000_000
    assert 0 <= int(micros) < 1_000_000
    assert 0 <= int(number) < 2**31
    assert second.rsplit("_", 5)[2] == str(int(counter) + 1)
    assert names.fifo_key(first) == int(seconds) * 10**6 + int(micros)
    assert (
        names.fifo_key(first) < names.fifo_key(second)
        or first.rsplit("_", 2)[1:] == second.rsplit("_", 2)[1:]
    )


def test_a_forked_child_has_names_of_its_own() -> None:
    names.new_name()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, names.new_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = os.read(reader, 300).decode()
    os.close(reader)
    os.close(writer)
    assert name.rsplit("_", 5)[1] == str(child)
    assert name.rsplit("_", 5)[3] != names.new_name().rsplit("_", 5)[3]


def test_names_from_elsewhere_have_no_time() -> None:
    for name in (
        "uwsgi_spoolfile_on_x",
        "uwsgi_spoolfile_on_a_b",
        "uwsgi_spoolfile_on_",
        "uwsgi_spoolfile_on_1_x",
    ):
        assert names.fifo_key(name) is None


def test_files_of_ours_are_found_from_the_task_and_back() -> None:
    for task in ("uwsgi_spoolfile_on_h_1_2_3_4_5", "7/uwsgi_spoolfile_on_h_1_2_3_4_5"):
        assert names.is_task(task)
        for ours in (names.attempts_of(task), names.reason_of(task)):
            assert not names.is_task(ours)
            assert os.path.dirname(ours) == os.path.dirname(task)
            assert names.task_of(ours) == task
    assert not names.is_task("dead")
    assert names.is_priority("07")
    assert not names.is_priority("")
    assert not names.is_priority("٣")


@given(st.lists(st.text("0019ab_-.", max_size=12), max_size=12))
@example(["000", "00", "01", "010", "09", "0", "1", "9", "10"])
@example(["0a", "01", "01a", "010", "00a", "0", ":0", "/0"])
def test_versions_sort_as_in_glibc(texts: list[str]) -> None:
    compare = cmp_to_key(lambda one, other: strverscmp(one.encode(), other.encode()))
    random.Random(1).shuffle(texts)
    assert sorted(texts, key=names.version_key) == sorted(texts, key=compare)


@given(st.lists(st.integers(0, 1000)), st.integers(1, 20), st.integers(1, 10))
def test_a_window_keeps_the_smallest(numbers: list[int], limit: int, batch: int) -> None:
    window: Window[int] = Window(limit)
    entries = [(number, f"{at:04}") for at, number in enumerate(numbers)]
    for at in range(0, len(entries), batch):
        window.offer(entries[at : at + batch])
    found = window.take()
    kept = [number for number, _name in sorted(entries)][:limit]
    assert [numbers[int(name)] for name in found] == kept
    assert window.dropped == (len(entries) > limit)
