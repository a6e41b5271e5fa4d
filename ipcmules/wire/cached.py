"""Packets that ask for what is in the caches of another server: uWSGI's modifier 111, modifier2 17.

Specified to the byte in docs/formats-wire.md. Knows packets; nothing of a bus or of what a cache is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from ipcmules.wire import packets, signatures
from ipcmules.wire.packets import PacketError

#: modifier1 and modifier2.
CACHE, MAGIC = 111, 17
#: What a packet can ask for; those that change something; those that a value follows.
COMMANDS = frozenset({b"get", b"exists", b"set", b"update", b"del", b"clear"})
WRITES = frozenset({b"set", b"update", b"del", b"clear"})
_VALUED = frozenset({b"set", b"update"})


class Request(NamedTuple):
    """What a packet asks for. cache: b"" for the first one. size: bytes of the value that follows."""

    command: bytes
    key: bytes
    cache: bytes
    expires: int
    size: int


def request(payload: bytes) -> Request:
    """The request in a packet. Raises PacketError for one that cannot be."""
    variables = packets.unpack_vars(payload)
    command = variables.get(b"cmd", b"")
    if command not in COMMANDS:
        raise PacketError(f"{command!r} is not what can be asked of a cache")
    size = _number(variables, b"size") if command in _VALUED else 0
    if command in _VALUED and not size:
        raise PacketError("a value without a size")
    key = variables.get(b"key", b"")
    return Request(command, key, variables.get(b"cache", b""), _number(variables, b"expires"), size)


def _number(variables: Mapping[bytes, bytes], name: bytes) -> int:
    text = variables.get(name, b"0")
    if not text.isdigit() or len(text) > 20:
        raise PacketError(f"{name.decode()} is {text!r}, no number")
    return int(text)


def is_signed(payload: bytes, value: bytes, key: bytes) -> bool:
    """True if the request and its value were signed with the key that both sides share."""
    variables = packets.unpack_vars(payload)
    given = {signatures.SIGNATURE: variables.pop(signatures.SIGNATURE, b"")}
    return signatures.take({**variables, b"": value, **given}, key)


def granted(value: bytes = b"", expires: int = 0) -> bytes:
    """The reply to what was done. value: of a get. expires: when, in seconds since the epoch."""
    variables = {b"status": b"ok"}
    if value:
        variables[b"size"] = b"%d" % len(value)
    if expires:
        variables[b"expires"] = b"%d" % expires
    packed = packets.pack_vars(variables)
    return packets.pack_header(CACHE, len(packed), MAGIC) + packed + value


def ask(
    address: str, variables: Mapping[bytes, bytes], value: bytes, key: bytes, timeout: float
) -> bytes | None:
    """Ask another server; b"" or the value of a get, None where it did not do so.

    key: signs the request where there is one. timeout: seconds for all of it. Raises WireError, PacketError.
    """
    asked = dict(variables)
    if key:
        asked = signatures.sign({**asked, b"": value}, key)
        del asked[b""]
    packed = packets.pack_vars(asked)
    packet = packets.pack_header(CACHE, len(packed), MAGIC) + packed + value
    deadline = time.monotonic() + timeout
    with packets.connect(address, timeout) as connection:
        try:
            _header, reply = packets.answer(connection, packet, deadline, address)
        except packets.WireRefused:
            return None  # how uWSGI says that there is nothing
        found = packets.unpack_vars(reply)
        if found.get(b"status") != b"ok":
            return None
        return packets.receive(connection, _number(found, b"size"), deadline)
