"""Shared areas: bytes, numbers, and locks that go with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ipcmules
from ipcmules.areas.area import Area
from ipcmules.bus.places import places
from ipcmules.compat import sharing, uwsgi
from ipcmules.errors import AreaError, ConfigError
from ipcmules.options.areas import AreaSpec, py_sharedarea, sharedarea
from minibus import child, ended, until
from support import Launcher

PAGE = mmap.PAGESIZE


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Area]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, PAGE)
    yield Area(0, AreaSpec(PAGE), descriptor, "", 0)
    os.close(descriptor)


@pytest.fixture
def area(tmp_path: Path) -> Iterator[Area]:
    with opened(tmp_path / "area") as found:
        yield found


numbers = st.integers(-(2**63), 2**63 - 1)


@given(st.sampled_from([8, 16, 32, 64]), st.integers(0, 100), numbers, st.lists(numbers, max_size=5))
def test_numbers_wrap_around_and_touch_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, bits: int, at: int, first: int, amounts: list[int]
) -> None:
    with opened(tmp_path_factory.mktemp("area") / "a") as found:
        found.write(0, b"\xaa" * PAGE)
        found.write(at, (first % (1 << bits)).to_bytes(bits // 8, "little"))
        for each in amounts:
            found.add(at, bits, each)
        expected = (first + sum(amounts)) % (1 << bits)
        assert found.number_at(at, bits) % (1 << bits) == expected
        whole = found.read(0)
        assert whole[:at] == b"\xaa" * at and whole[at + bits // 8 :].count(0xAA) == PAGE - at - bits // 8


def test_who_counts_at_once_loses_nothing(area: Area) -> None:
    def count() -> None:
        for _ in range(500):
            area.add(3, 64, 1)

    threads = [threading.Thread(target=count) for _ in range(3)]
    children = [child(count) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [ended(each) for each in children] == [0] * 3
    assert area.number_at(3, 64) == 3000


def test_a_killed_holder_frees_its_lock(area: Area) -> None:
    for mode in (fcntl.LOCK_EX, fcntl.LOCK_SH):

        def hold(mode: int = mode) -> None:
            area.lock(mode)
            area.view()[0] = mode
            signal.pause()

        holder = child(hold)
        until(lambda mode=mode: area.view()[0] == mode, "the holder")  # type: ignore[misc]
        writer = child(lambda: area.write(1, b"x"))
        assert os.waitpid(writer, os.WNOHANG) == (0, 0)
        os.kill(holder, signal.SIGKILL)
        assert ended(holder) == -signal.SIGKILL and ended(writer) == 0
        area.unlock()  # nobody's here


def test_a_kept_lock_is_for_its_thread_alone(area: Area) -> None:
    area.lock(fcntl.LOCK_EX)
    area.lock(fcntl.LOCK_SH)
    area.write(0, b"one")
    done = threading.Event()
    other = threading.Thread(target=lambda: (area.unlock(), area.write(0, b"two"), done.set()))
    other.start()
    assert not done.wait(0.05) and area.read(0, 3) == b"one"
    reader = child(lambda: area.read(0))
    threading.Event().wait(0.05)  # without the lock it has read by then
    assert os.waitpid(reader, os.WNOHANG) == (0, 0)
    area.unlock()
    other.join()
    area.unlock()
    assert ended(reader) == 0 and area.read(0, 3) == b"two"


def test_a_forked_child_has_no_lock_of_its_parent(area: Area) -> None:
    area.lock(fcntl.LOCK_EX)
    writer = child(lambda: (area.unlock(), area.write(0, b"child")))
    area.write(0, b"first")
    threading.Event().wait(0.05)
    assert os.waitpid(writer, os.WNOHANG) == (0, 0)
    area.unlock()
    assert ended(writer) == 0 and area.read(0, 5) == b"child"


def test_a_signal_handler_works_within_the_lock_of_its_thread(area: Area) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: area.add(0, 64, 1000))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for _ in range(3000):
            area.add(0, 64, 1)
        signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert area.number_at(0, 64) % 1000 == 0 and area.number_at(0, 64) >= 3000
    assert ended(child(lambda: area.write(0, b"free"))) == 0


def test_what_is_not_there(area: Area) -> None:
    for wrong in (
        lambda: area.read(PAGE),
        lambda: area.read(-1),
        lambda: area.read(0, PAGE + 1),
        lambda: area.write(PAGE - 1, b"xy"),
        lambda: area.add(PAGE - 7, 64, 1),
        lambda: area.number_at(-1, 8),
    ):
        with pytest.raises(AreaError, match=f"not in shared area 0, which has {PAGE}"):
            wrong()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", AreaSpec(2 * PAGE)),
        ("pages=2", AreaSpec(2 * PAGE)),
        (f"size={PAGE + 1}", AreaSpec(2 * PAGE)),
        ("file=a,size=0x10", AreaSpec(16, "a")),
        (f"file=a,size=10,offset={PAGE}", AreaSpec(10, "a", PAGE)),
        ("0", "0 bytes cannot be"),
        ("x", "not a whole number"),
        ("file=a", "0 bytes cannot be"),
        ("file=a,size=10,offset=7", "multiple of"),
        ("fd=3,size=10", "name a file="),
        ("colour=red", "is not known"),
        ("pages", "not a whole number"),
        ("pages=", "is not KEY=VALUE"),
    ],
)
def test_options(text: str, expected: AreaSpec | str) -> None:
    if isinstance(expected, AreaSpec):
        assert sharedarea(text) == expected
    else:
        with pytest.raises(ConfigError, match=expected):
            sharedarea(text)


def test_an_area_in_bytes() -> None:
    assert py_sharedarea("100") == AreaSpec(100, python=True)
    with pytest.raises(ConfigError, match="not a whole number"):
        py_sharedarea("ten")


def test_on_a_bus(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a file")
    options = ("--sharedarea", "file=file,size=9", "--py-sharedarea", "30", "--sharedarea", "1")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path), ipcmules.attach(bus_name):
        assert set(sharing.CALLS) <= set(dir(uwsgi))
        assert uwsgi.sharedarea_read(0, 0) == b"of a file" and len(uwsgi.sharedarea_memoryview(1)) == PAGE
        assert ended(child(lambda: uwsgi.sharedarea_write(2, 0, "by a child"))) == 0
        assert bytes(uwsgi.sharedarea_object(2)[:10]) == b"by a child"
        for wrong in (3, -1):
            with pytest.raises(ValueError, match="this bus has 3"):
                uwsgi.sharedarea_read(wrong, 0)
        with pytest.raises(ValueError, match="has no object"):
            uwsgi.sharedarea_object(1)
    assert not hasattr(uwsgi, "sharedarea_read")
    assert not os.path.exists(f"/dev/shm{places(bus_name).kernel}areas")


def test_a_file_that_is_too_short(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for options, words in (
        (("file=file,size=9",), "has 1 bytes of the 9"),
        (("file=none,size=9",), "make it"),
    ):
        with Launcher("--bus", bus_name, "--sharedarea", *options, cwd=tmp_path, ready=False) as launcher:
            assert launcher.wait() != 0 and words in launcher.stderr
        assert not os.path.exists(f"/dev/shm{places(bus_name).kernel}areas")
