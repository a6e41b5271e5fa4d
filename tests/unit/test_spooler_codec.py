"""The format of a task's file: packing, reading, and bytes that are no task."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.errors import SpoolError
from ipcmules.spooler import codec, request
from ipcmules.spooler.codec import Malformed

keys = st.binary(min_size=1, max_size=300)
arguments = st.dictionaries(keys, st.binary(max_size=400), max_size=20)


def test_the_format_to_the_byte() -> None:
    assert codec.pack({b"a": b"1", b"long": b"x" * 300}) == (
        b"\x11\x3a\x01\x00" + b"\x01\x00a\x01\x001" + b"\x04\x00long\x2c\x01" + b"x" * 300
    )
    assert codec.pack({}) == b"\x11\x00\x00\x00"


@given(arguments, st.binary(max_size=200))
def test_what_is_packed_is_read_again(given: dict[bytes, bytes], body: bytes) -> None:
    data = codec.pack(given) + body
    found, end = codec.unpack(data)
    assert found == given
    assert list(found) == list(given)
    assert data[end:] == body


@given(st.dictionaries(st.text("abcäöü_ ", min_size=1), st.integers()))
def test_text_and_numbers_go_as_text(given: dict[str, int]) -> None:
    found, _end = codec.unpack(codec.pack(given))
    assert found == {key.encode(): str(value).encode() for key, value in given.items()}


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_task_or_malformed(data: bytes) -> None:
    try:
        found, end = codec.unpack(data)
    except Malformed as error:
        assert str(error)
        return
    assert 4 <= end <= len(data)
    assert all(found)
    assert sum(4 + len(key) + len(value) for key, value in found.items()) <= end - 4


@given(arguments, st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_a_task_or_malformed(given: dict[bytes, bytes], at: int, byte: int) -> None:
    data = bytearray(codec.pack(given))
    data[at % len(data)] = byte
    try:
        codec.unpack(bytes(data))
    except Malformed:
        pass


@given(arguments.filter(bool), st.data())
def test_a_cut_file_is_malformed(given: dict[bytes, bytes], data: st.DataObject) -> None:
    whole = codec.pack(given)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Malformed):
        codec.unpack(whole[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x11\x00\x00",
        b"\x11\x05\x00\x00\x01",
        b"\x11\x04\x00\x00\x00\x00\x01\x00",  # an empty key
        b"\x11\x03\x00\x00\x01\x00a",  # a key without a value
        b"\x11\x05\x00\x00\x01\x00a\x01\x00body",  # a value that ends in the body
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        codec.unpack(data)


def test_the_first_byte_is_not_looked_at() -> None:
    assert codec.unpack(b"\x00\x05\x00\x07\x01\x00a\x00\x00")[0] == {b"a": b""}


def test_as_much_as_the_format_allows() -> None:
    most = codec.MOST - 5
    assert len(codec.pack({b"a": b"x" * most})) == 4 + codec.MOST
    with pytest.raises(SpoolError, match=r"65536 bytes, the largest is b'a' with 65531.*'body'"):
        codec.pack({b"a": b"x" * (most + 1)})
    with pytest.raises(SpoolError, match="'body'"):
        codec.pack({b"a": b"x" * 70_000})
    with pytest.raises(SpoolError, match="'body'"):
        codec.pack({str(number): b"x" * 5_000 for number in range(14)})


@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}, object()])
def test_a_bad_value_is_named(value: object) -> None:
    with pytest.raises(SpoolError, match=f"'name'.*{type(value).__name__}"):
        codec.pack({"name": value})


@pytest.mark.parametrize("key", [1, None, (), 2.5])
def test_a_bad_key_is_named(key: object) -> None:
    with pytest.raises(SpoolError, match="keys are str or bytes"):
        codec.pack({key: "value"})


def test_an_empty_key_and_text_that_is_no_text() -> None:
    with pytest.raises(SpoolError, match="empty key"):
        codec.pack({"": "value"})
    with pytest.raises(SpoolError, match=r"'a'.*UTF-8"):
        codec.pack({"a": "\udc80"})


def test_bytes_like_values() -> None:
    wide = memoryview(b"12345678").cast("I")
    found, _end = codec.unpack(codec.pack({"a": bytearray(b"1"), memoryview(b"b"): wide}))
    assert found == {b"a": b"1", b"b": b"12345678"}


# What a caller gives


def test_keys_with_a_meaning_are_read_and_stay() -> None:
    given = {"a": 1, "at": 2_000_000_000, "priority": 5, "spooler": "/spool", "body": "text"}
    before = dict(given)
    found = request.read(given)
    assert given == before
    assert found[1:] == (b"text", 2_000_000_000 * 10**9, "5", "/spool")
    assert codec.unpack(found.head)[0] == {
        b"a": b"1",
        b"at": b"2000000000",
        b"priority": b"5",
        b"spooler": b"/spool",
    }


def test_they_may_be_bytes_and_none_is_as_if_not_given() -> None:
    found = request.read({b"at": b"2000000000.5", b"priority": b"07", b"body": b"x", b"spooler": None})
    assert found[1:] == (b"x", 2_000_000_000_500_000_000, "07", "")
    assert codec.unpack(found.head)[0] == {b"at": b"2000000000.500000", b"priority": b"07"}
    with pytest.raises(SpoolError, match="'at' is given twice"):
        request.read({"at": 1, b"at": 2})


def test_times() -> None:
    moment = datetime(2033, 5, 18, 3, 33, 20, tzinfo=timezone.utc)
    for at in (2_000_000_000, 2_000_000_000.0, "2000000000", b"2000000000", "2000000000.0", moment):
        found = request.read({"at": at})
        assert found.at == 2_000_000_000 * 10**9, at
        assert codec.unpack(found.head)[0] == {b"at": b"2000000000"}
    soon = request.read({"at": timedelta(seconds=50)}).at / 1e9
    assert 0 <= soon - datetime.now().timestamp() <= 50
    assert request.read({"at": 0}).at == 0


@pytest.mark.parametrize(
    "at", ["tomorrow", "", b"", "nan", float("nan"), float("inf"), -1, True, 1_700_000_000_000, [1], 10**400]
)
def test_a_bad_time_is_an_error(at: object) -> None:
    with pytest.raises(SpoolError, match="at="):
        request.read({"at": at})


@pytest.mark.parametrize("priority", ["../x", "", "-1", "1.5", "a", b"1/2", -3, 1.0, True, "٣", "9" * 30])
def test_a_bad_priority_is_an_error(priority: object) -> None:
    with pytest.raises(SpoolError, match="priority="):
        request.read({"priority": priority})


def test_a_body_of_any_type_and_a_bad_one() -> None:
    assert request.read({"body": bytearray(b"abc")}).body == b"abc"
    assert request.read({"body": "ä"}).body == "ä".encode()
    with pytest.raises(SpoolError, match="'body' is list"):
        request.read({"body": [1]})
