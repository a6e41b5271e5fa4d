"""Packets of the uwsgi protocol: to the byte, there and back, and what is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.wire import packets, signatures

strings = st.lists(st.binary(max_size=300), max_size=20)
variables = st.dictionaries(st.binary(max_size=50), st.binary(max_size=300), max_size=20)


def test_to_the_byte() -> None:
    packed = packets.pack_vars({b"key": b"value", b"": b""})
    assert packed == b"\x03\x00key\x05\x00value\x00\x00\x00\x00"
    assert packets.pack_header(17, len(packed)) == b"\x11\x10\x00\x00"
    assert packets.pack_header(110, 0, 9) == b"\x6e\x00\x00\x09"
    assert packets.pack_result(b"abc") == b"\xad\x03\x00\x00abc"
    long = packets.pack_result(b"x" * 70000)
    assert long[:4] == b"\xad\x17\x00\x05" and long[4:27] == b"\x0e\x00CONTENT_LENGTH\x05\x0070000"
    assert len(long) == 27 + 70000


@given(st.integers(0, 255), st.integers(0, 65535), st.integers(0, 255))
def test_headers_there_and_back(modifier1: int, size: int, modifier2: int) -> None:
    assert packets.unpack_header(packets.pack_header(modifier1, size, modifier2)) == (
        modifier1,
        size,
        modifier2,
    )


@given(strings)
def test_strings_there_and_back(values: list[bytes]) -> None:
    assert packets.unpack_strings(packets.pack_strings(values)) == values


@given(variables)
def test_variables_there_and_back(values: dict[bytes, bytes]) -> None:
    assert packets.unpack_vars(packets.pack_vars(values)) == values


@given(st.binary(max_size=200))
def test_anything_is_unpacked_or_refused(data: bytes) -> None:
    try:
        found = packets.unpack_strings(data)
    except packets.PacketError:
        return
    assert packets.pack_strings(found) == data


@given(strings.filter(bool), st.data())
def test_what_is_cut_is_refused(values: list[bytes], data: st.DataObject) -> None:
    packed = packets.pack_strings(values)
    cut = packed[: data.draw(st.integers(1, len(packed) - 1))]
    try:
        found = packets.unpack_strings(cut)
    except packets.PacketError:
        return
    assert found == values[: len(found)] and len(found) < len(values)


@given(variables, st.binary(min_size=16, max_size=40), st.binary(min_size=16, max_size=40))
def test_signatures(values: dict[bytes, bytes], key: bytes, other: bytes) -> None:
    values.pop(signatures.SIGNATURE, None)
    signed = signatures.sign(values, key)
    copy = dict(signed)
    assert signatures.take(copy, key) and copy == values
    assert signatures.take(dict(signed), other) is (key == other)
    assert not signatures.take({**signed, b"one more": b""} if b"one more" not in signed else {}, key)
    assert not signatures.take(dict(values), key)
    assert not signatures.take(dict(signed), b"")


@pytest.mark.parametrize(
    "call",
    [
        lambda: packets.pack_header(256, 0),
        lambda: packets.pack_header(0, 65536),
        lambda: packets.pack_strings([b"x" * 65536]),
        lambda: packets.unpack_vars(packets.pack_strings([b"key"])),
        lambda: packets.split_address("host:"),
        lambda: packets.split_address("host:70000"),
        lambda: packets.send_message("127.0.0.1:1", 17, 0, {"body": b"x"}),
    ],
)
def test_what_cannot_be_is_a_value_error(call: object) -> None:
    assert callable(call)
    with pytest.raises(packets.PacketError) as caught:
        call()
    assert isinstance(caught.value, ValueError)


@contextmanager
def answering(reply: bytes, path: str = "") -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes one packet and answers: its address, and what it got."""
    got: list[bytes] = []
    server = socket.socket(socket.AF_UNIX) if path else socket.create_server(("127.0.0.1", 0))
    if path:
        with packets.short_path(path) as short:
            server.bind(short)
        server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            got.append(connection.recv(65536))
            connection.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield path or f"127.0.0.1:{server.getsockname()[1]}", got
        thread.join(10)
    finally:
        server.close()


def test_a_client(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with answering(b"\xff\x00\x00\x01", str(deep / "socket")) as (address, got):
        packets.send_signal(7, address)
    assert got == [b"\x6e\x00\x00\x07"]
    with answering(b"\xff\x00\x00\x01") as (address, got):
        assert packets.send_message(address, 17, 0, {"k": 1, b"l": "m"}, 2) is True
    assert got == [b"\x11\x0c\x00\x00\x01\x00k\x01\x001\x01\x00l\x01\x00m"]
    with answering(b"\xad\x02\x00\x00ok") as (address, got):
        assert packets.send_call(b"f", [b"a"], address) == b"ok"
    assert got == [b"\xad\x06\x00\x00\x01\x00f\x01\x00a"]
    with answering(packets.pack_result(b"y" * 100000)) as (address, _):
        assert packets.send_call(b"f", [], address) == b"y" * 100000


def test_a_client_is_refused_or_reaches_nobody() -> None:
    with answering(b"\xff\x00\x00\x00") as (address, _), pytest.raises(ValueError, match="rejected signal 7"):
        packets.send_signal(7, address)
    with answering(b"") as (address, _), pytest.raises(ValueError, match="hung up without a reply"):
        packets.send_call(b"f", [], address)
    with answering(b"\xff\x00") as (address, _), pytest.raises(OSError, match="hung up"):
        packets.send_signal(7, address)
    with pytest.raises(OSError, match="cannot be reached"):
        packets.send_signal(7, "127.0.0.1:1")
    with pytest.raises(OSError, match="cannot be reached"):
        packets.send_signal(7, "/nowhere/at/all")


def test_a_server_that_says_nothing_does_not_hold_a_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="did not answer"):
        packets.send_signal(1, f"127.0.0.1:{server.getsockname()[1]}", 0.2)
