"""A cache at a path: what it keeps, what expires, what goes when it is full, forks and threads."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ipcmules
from ipcmules.caches import control, records, room, store
from ipcmules.caches.cache import Cache
from ipcmules.errors import CacheError, CacheFull, ConfigError
from ipcmules.options.caches import CacheSpec, cache, cache2
from minibus import child, ended
from support import wait_until


@pytest.fixture
def open_cache(tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    """A function that opens a cache in the test's directory."""

    def opened(name: str = "a", **how: Any) -> Cache:
        return ipcmules.cache(tmp_path / name, **{"size": "1M", **how})

    yield opened
    for path in [each for each in store._open if each.startswith(str(tmp_path))]:
        store._open.pop(path).close()


# the records


@given(st.binary(max_size=100), st.integers(0, 15), st.integers(0, 2**63 - 1), st.binary(max_size=1200))
def test_records(value: bytes, flags: int, expires: int, key: bytes) -> None:
    found = records.unpack(records.pack(value, flags & 12, expires, key))
    assert (found.value, found.expires) == (value, expires)
    assert found.flags & 12 == flags & 12
    assert found.key == (key if len(key) >= records.LONGEST_STORED else b"")


@given(st.binary(min_size=1, max_size=1200))
def test_stored_keys(key: bytes) -> None:
    stored = records.stored_key(key)
    assert len(stored) <= records.LONGEST_STORED
    assert (stored == key) is (len(key) < records.LONGEST_STORED)


# what it is to an application


def test_as_a_mapping(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    found["a"] = "text"
    found[b"b"] = bytearray(b"bytes")
    found["n"] = -5
    assert (found["a"], found[b"a"], found["b"], found["n"]) == (b"text", b"text", b"bytes", -5)
    assert sorted(found) == sorted(found.keys()) == [b"a", b"b", b"n"] and len(found) == 3
    assert "a" in found and b"x" not in found and 5 not in found
    assert dict(found.items())[b"n"] == -5 and b"text" in list(found.values())
    del found["a"]
    with pytest.raises(KeyError):
        found["a"]
    with pytest.raises(KeyError):
        del found["a"]
    assert found.pop("b") == b"bytes" and found.pop("b", 7) == 7
    with pytest.raises(KeyError):
        found.pop("b")
    found.clear()
    assert len(found) == 0 and found.keys() == [] and found.get("n", "none") == "none"


def test_calls(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    assert found.add("a", "1") and not found.add("a", "2") and found.get("a") == b"1"
    assert found.update("a", "3") and not found.update("b", "4")
    assert found.get("a") == b"3" and not found.exists("b")
    found.update({"x": "1", "y": "2"})
    assert found.get_many(["x", b"y", "z"]) == {"x": b"1", b"y": b"2"}
    assert found.delete("x") and not found.delete("x")
    found.set("empty", b"")
    assert found["empty"] == b""


def test_numbers(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    assert [found.incr("n"), found.incr("n", 41), found.decr("n", 2), found.get("n")] == [1, 42, 40, 40]
    found.set("text", "5")
    for wrong in (lambda: found.incr("text"), lambda: found.incr("n", 2**63), lambda: found.set("n", 2**63)):
        with pytest.raises(CacheError):
            wrong()
    with pytest.raises(CacheError, match=r"delta='1'"):
        found.incr("n", "1")  # type: ignore[arg-type]


def test_pickles(open_cache: Callable[..., Cache]) -> None:
    found, plain = open_cache(pickled=True), open_cache()
    for value in (None, (1, [2]), "text", b"bytes", 5, True, 2**70, 1.5):
        found["k"] = value
        assert found["k"] == value and type(found["k"]) is type(value)
    assert found.incr("n") == 1 and found["n"] == plain["n"] == 1
    found["k"] = "text"
    assert plain["k"].startswith(b"\x80")
    with pytest.raises(CacheError, match="pickled=True"):
        plain["k"] = (1,)


def test_what_cannot_be(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    for wrong in (b"", "", 5, None, b"x" * 70000):
        with pytest.raises(CacheError):
            found.get(wrong)
        with pytest.raises(CacheError):
            found.set(wrong, b"x")
    for expires in (-1, "1", float("nan"), True):
        with pytest.raises(CacheError, match="expires="):
            found.set("k", b"x", expires)
    found.set("k", b"x" * ((1 << 20) // 5))
    for size in (1 << 20, (1 << 20) // 4):
        with pytest.raises(CacheFull, match="too large"):
            found.set("k", b"x" * size)
    with pytest.raises(ipcmules.NotAttached):
        ipcmules.cache("nobody")


def test_long_keys_are_whole(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    keys = [bytes([65 + number]) + b"k" * (508 + number) for number in range(5)]
    for key in keys:
        found[key] = key[:1]
    assert sorted(found) == keys and [found[key] for key in keys] == [key[:1] for key in keys]
    assert found.incr(b"n" * 600) == 1 and list(found).count(b"n" * 600) == 1


def test_expiry(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    found.set("soon", "1", 1000)
    found.set("later", "2", 1000)
    found.set("never", "3")
    assert found["soon"] == b"1" and len(found) == 3 and 990 < (found.expires("later") or 0) <= 1000
    found.touch("soon", 0.01)
    wait_until(lambda: found.get("soon") is None, what="its expiry")
    assert "soon" not in found and len(found) == 2
    assert sorted(found) == [b"later", b"never"] and not found.delete("soon")
    found.set("soon", "1", 100)
    assert found.touch("soon", 1000) and not found.touch("nobody")
    assert (found.expires("soon") or 0) > 100 and found.add("soon", "2") is False
    found.set("n", 5, 1000)
    assert found.incr("n") == 6
    found.touch("n", 0.01)
    wait_until(lambda: "n" not in found, what="its expiry")
    assert found.incr("n") == 1 and found.expires("n") is None  # the expired one counted no more
    with pytest.raises(KeyError):
        found.expires("nobody")


def test_a_sweep_gives_room_back(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    for number in range(100):
        found.set(f"k{number}", "v", 0.01 if number % 2 else 1000)
    time.sleep(0.02)
    opened = found._store
    assert room.is_due(opened)
    with opened.environment.call():
        while not room.sweep(opened, 7):
            pass
    assert opened.environment.opened().stat()["entries"] == 50 and not room.is_due(opened)
    assert opened.control.cells[control.C_SOONEST] > time.time_ns()
    found.set("soon", "v", 0.01)
    opened.control.cells[control.C_SOONEST] = 0
    opened.control.cells[control.C_SWEEPING] = 1  # as a killed sweeper leaves it
    time.sleep(0.02)
    assert len(found) == 50 and opened.environment.opened().stat()["entries"] == 50


# full


def test_the_least_recently_used_goes(open_cache: Callable[..., Cache]) -> None:
    found = open_cache(items=5)
    for key in "abcde":
        found[key] = key
    assert found["a"] == b"a" and found["c"] == b"c"
    found["f"] = "f"
    found["g"] = "g"
    assert sorted(found) == [b"a", b"c", b"e", b"f", b"g"]
    found["a"] = "again"  # one that is there needs no room
    assert len(found) == 5


def test_a_full_one_refuses_if_told(open_cache: Callable[..., Cache]) -> None:
    found = open_cache(items=3, full="refuse")
    for key in "abc":
        found[key] = key
    with pytest.raises(CacheFull, match="3 entries, at most 3"):
        found["d"] = "d"
    with pytest.raises(CacheFull):
        found.incr("n")
    found["a"] = "A"
    assert found.get_many("abcd") == {"a": b"A", "b": b"b", "c": b"c"}
    found.set("b", "b", 0.01)
    time.sleep(0.02)
    found["d"] = "d"
    assert sorted(found) == [b"a", b"c", b"d"]


def test_few_large_ones(open_cache: Callable[..., Cache]) -> None:
    found = open_cache(items=3)
    for number in range(10):
        found[f"k{number}"] = bytes([number]) * 100_000
    assert sorted(found) == [b"k7", b"k8", b"k9"]
    assert found["k7"] == bytes([7]) * 100_000
    found["small"] = "x"
    assert len(found) == 3 and "k7" in found


@pytest.mark.parametrize("full", ["evict", "refuse"])
def test_values_of_all_sizes_fit_or_are_refused(open_cache: Callable[..., Cache], full: str) -> None:
    found, dice = open_cache(full=full), random.Random(1)
    refused = 0
    for number in range(1500):
        value = bytes([number % 256]) * dice.choice((10, 500, 3000, 20000, 90000))
        try:
            found[f"k{dice.randrange(200)}"] = value
        except CacheFull:
            refused += 1
            found.delete(f"k{dice.randrange(200)}")
    assert all(len(set(value)) == 1 for value in found.values()) and len(found) > 3
    assert bool(refused) is (full == "refuse")


# processes


def test_a_child_has_it_too(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()
    found["a"] = "parent"

    def check() -> None:
        assert found["a"] == b"parent"
        found["b"] = "child"
        assert ended(child(lambda: found.set("c", found["b"]))) == 0

    assert [ended(each) for each in [child(check) for _ in range(4)]] == [0] * 4
    assert found["b"] == found["c"] == b"child"


def test_threads_that_read_and_write_while_another_forks(open_cache: Callable[..., Cache]) -> None:
    found, over, wrong = open_cache(), threading.Event(), list[object]()

    def work(number: int) -> None:
        try:
            while not over.is_set():
                found[f"k{number}"] = b"x" * 100
                if found[f"k{number}"] != b"x" * 100:
                    wrong.append(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    codes = [ended(child(lambda: found.incr("children"))) for _ in range(20)]
    over.set()
    for each in threads:
        each.join()
    assert not wrong and codes == [0] * 20 and found["children"] == 20


def test_a_write_of_a_signal_handler_in_a_write_says_so(
    open_cache: Callable[..., Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = open_cache(), list[str]()

    def handler(*_: object) -> None:
        try:
            found["handler"] = "x"
        except CacheError as error:
            said.append(str(error))

    def interrupted(there: bool) -> bool:
        handler()
        return not there

    assert found._write(b"k", b"\0v", interrupted) and found["k"] == b"v"
    assert len(said) == 1 and "signal handler" in said[0]


def whole(value: bytes) -> bool:
    return zlib.crc32(value[4:]) == int.from_bytes(value[:4], "little")


def test_writers_that_are_killed_leave_whole_values(open_cache: Callable[..., Cache]) -> None:
    found, dice = open_cache(items=300, size="4M"), random.Random()

    def write() -> None:
        mine = random.Random()
        while True:
            data = mine.randbytes(mine.choice((20, 2000, 30000)))
            found[f"k{mine.randrange(400)}"] = zlib.crc32(data).to_bytes(4, "little") + data
            found.incr("n")
            if mine.random() < 0.1:
                found.delete(f"k{mine.randrange(400)}")

    running = [child(write) for _ in range(4)]
    for _ in range(60):  # a thousand: chaos.shared
        time.sleep(dice.uniform(0, 0.004))
        victim = running.pop(0)
        os.kill(victim, signal.SIGKILL)
        assert ended(victim) == -signal.SIGKILL
        running.append(child(write))
    for each in running:
        os.kill(each, signal.SIGKILL)
        ended(each)
    numbers = found.pop("n")
    assert isinstance(numbers, int) and numbers > 0
    assert len(found) and all(whole(value) for value in found.values())
    for number in range(1000):
        found[f"after{number}"] = b"x" * 2000
    assert found["after999"] == b"x" * 2000


def test_who_counts_at_once_loses_nothing(open_cache: Callable[..., Cache]) -> None:
    found = open_cache()

    def count() -> None:
        for _ in range(300):
            found.incr("n")

    assert [ended(each) for each in [child(count) for _ in range(4)]] == [0] * 4
    assert found["n"] == 1200


def test_a_half_made_one_is_made_anew(open_cache: Callable[..., Cache], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0" * 5000)
    (tmp_path / "a-use").write_bytes(b"\0" * 4096)
    found = open_cache()
    found["k"] = "v"
    again = open_cache(items=7)
    assert again["k"] == b"v" and again._store.spec.items == 0  # as the first one said
    for each in store.SUFFIXES:
        os.unlink(f"{tmp_path}/a{each}")
    assert open_cache().get("k") is None


def test_what_a_machine_left_that_went_down_is_not_read(
    open_cache: Callable[..., Cache], tmp_path: Path
) -> None:
    open_cache()["k"] = "v"
    found = store._open.pop(str(tmp_path / "a"))
    found.control._map[8 * control.C_BOOT : 8 * control.C_BOOT + 16] = b"another boot id "
    found.close()
    assert open_cache().get("k") is None


def test_no_room_says_so(tmp_path: Path) -> None:
    with pytest.raises(ipcmules.LimitError, match=r"a cache of \d+ bytes cannot be made .* size="):
        ipcmules.cache(tmp_path / "a", size=1 << 45)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ipcmules.AccessError, match="cannot be made"):
        ipcmules.cache(tmp_path / "missing" / "a")


# the texts


def test_texts() -> None:
    assert cache("name=a-1,items=10,size=2M,full=refuse,store=/x,expires=1.5") == CacheSpec(
        "a-1", 10, 2 << 20, "refuse", "/x", 1.5
    )
    assert cache("100") == CacheSpec("default", 100, 0, "refuse", largest=65536, keysize=2048)
    assert cache2("name=a,max_items=10,blocksize=100,blocks=20,bitmap=1,purge_lru=1,lastmod=1") == CacheSpec(
        "a", 10, largest=2000, keysize=2048
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name=a.b", "'a.b' is not allowed"),
        ("items=x", "'x' is not a whole number"),
        ("size=1", "256K or more"),
        ("size=5T", "'5T' is no size"),
        ("full=no", "evict or refuse"),
        ("sync=a:1", "this machine's alone"),
        ("words", "not KEY=VALUE"),
        ("colour=red", "'colour' .* is not known"),
        ("expires=-1", "not a time"),
    ],
)
def test_texts_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cache(text)


def test_cache2_needs_what_it_needs_there() -> None:
    for text, says in (("items=5", "name"), ("name=a", "items")):
        with pytest.raises(ConfigError, match=f"does not say {says}"):
            cache2(text)
