"""The uwsgi protocol: packets as bytes, and a client. Specified to the byte in docs/formats-wire.md.

A packet is a header (modifier1, 16-bit little-endian size, modifier2) and so many bytes. Knows sockets and
errors, nothing of a bus.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ipcmules.errors import IpcMulesError, MessageTypeError
from ipcmules.kernel import exhaustion
from ipcmules.kernel.peers import short_path

#: modifier1: a task for the spooler, a signal (its number in modifier2), a call; and of the replies.
SPOOL, SIGNAL, RPC, REPLY = 17, 110, 173, 255
#: modifier2 of a reply whose length stands in variables before it.
LONG = 5
#: modifier2 of our own reply to a call where the process has no such function.
UNKNOWN_FUNCTION = 254
#: The most that the 16-bit size of a packet, a key, a value or an argument can say.
LARGEST = 65535
#: Seconds a client waits where the caller gives none.
TIMEOUT = 30.0

#: Bytes that are received at once.
_PIECE = 1 << 20
#: Between two tries to connect to somebody whose backlog is full, seconds: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05

_HEADER = struct.Struct("<BHB")
_LENGTH = struct.Struct("<H")
HEADER_SIZE = _HEADER.size


class WireError(IpcMulesError, OSError):
    """The other end cannot be reached, or ended in the middle."""


class WireRefused(IpcMulesError, ValueError):
    """The other end did not take what it was sent."""


class PacketError(IpcMulesError, ValueError):
    """Bytes that are no packet, or something that does not fit into one."""


class Header(NamedTuple):
    """The four bytes that a packet begins with."""

    modifier1: int
    size: int
    modifier2: int


def pack_header(modifier1: int, size: int, modifier2: int = 0) -> bytes:
    """A header. Raises PacketError for a number that does not fit."""
    if not (0 <= modifier1 <= 255 and 0 <= modifier2 <= 255):
        raise PacketError(f"modifiers {modifier1} and {modifier2} cannot be: each is a number from 0 to 255")
    if not 0 <= size <= LARGEST:
        raise PacketError(f"{size} bytes do not fit into a packet: at most {LARGEST}")
    return _HEADER.pack(modifier1, size, modifier2)


def unpack_header(data: bytes) -> Header:
    """A header from its four bytes."""
    if len(data) != HEADER_SIZE:
        raise PacketError(f"{len(data)} bytes are no header: it has {HEADER_SIZE}")
    return Header(*_HEADER.unpack(data))


def pack_strings(strings: Iterable[bytes]) -> bytes:
    """Strings, each behind its 16-bit length. Raises PacketError for one that is too long."""
    parts = []
    for each in strings:
        if len(each) > LARGEST:
            raise PacketError(f"{len(each)} bytes in one string are too many: at most {LARGEST}")
        parts += [_LENGTH.pack(len(each)), each]
    return b"".join(parts)


def unpack_strings(data: bytes) -> list[bytes]:
    """The inverse of pack_strings(). Raises PacketError where a length leads beyond the end."""
    strings = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise PacketError("a packet ends within a length")
        (length,) = _LENGTH.unpack_from(data, at)
        at += 2
        if at + length > len(data):
            raise PacketError(f"a string of {length} bytes leads beyond the packet's end")
        strings.append(data[at : at + length])
        at += length
    return strings


def pack_vars(variables: Mapping[bytes, bytes]) -> bytes:
    """Keys and values, alternating, each behind its 16-bit length."""
    return pack_strings(part for pair in variables.items() for part in pair)


def unpack_vars(data: bytes) -> dict[bytes, bytes]:
    """The inverse of pack_vars(). Raises PacketError for a key without a value."""
    strings = unpack_strings(data)
    if len(strings) % 2:
        raise PacketError("the last key has no value")
    return dict(zip(strings[::2], strings[1::2], strict=True))


# The client


def connect(address: str, timeout: float | None = TIMEOUT) -> socket.socket:
    """A socket to HOST:PORT, to a path, or (with a leading @) to an abstract Unix address.

    Raises WireError if nobody listens there, ValueError for an address that cannot be.
    """
    try:
        if is_path(address):
            return _connect_unix(address, timeout)
        host, port = split_address(address)
        return socket.create_connection((host or "127.0.0.1", port), timeout)
    except OSError as error:
        advice = f"; {exhaustion.remedy(error)}" if exhaustion.no_descriptor(error) else ": is it listening?"
        made = WireError(f"{address} cannot be reached: {error.strerror or error}{advice}")
        made.errno = error.errno
        raise made from error


def is_path(address: str) -> bool:
    """True for a Unix socket: a path, or an abstract name behind @. As in uWSGI, what has no colon is one."""
    return address.startswith("@") or "/" in address or ":" not in address


def split_address(address: str) -> tuple[str, int]:
    """Host ('' for all) and port of HOST:PORT. Raises PacketError."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > LARGEST:
        raise PacketError(f"{address!r} is no address: give HOST:PORT, or the path of a Unix socket")
    return host.strip("[]"), int(port)


def _connect_unix(address: str, timeout: float | None) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(timeout)
        if address.startswith("@"):
            _connect_in_time(found, f"\0{address[1:]}", timeout)
        else:
            with short_path(address) as path:
                _connect_in_time(found, path, timeout)
    except BaseException:
        found.close()
        raise
    return found


def _connect_in_time(found: socket.socket, path: str, timeout: float | None) -> None:
    """Connect, again and again while the backlog is full: then connect(2) says EAGAIN at once."""
    deadline, pause = time.monotonic() + (timeout or 0.0), _FIRST_PAUSE
    while True:
        try:
            found.connect(path)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "more is asked of it than it answers in time") from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def receive(connection: socket.socket, length: int, deadline: float) -> bytes:
    """Exactly so many bytes, until a deadline of time.monotonic(). Raises WireError."""
    parts: list[bytes] = []
    missing = length
    while missing:
        left = deadline - time.monotonic()
        if left <= 0:
            raise WireError("the other end did not answer in time")
        connection.settimeout(left)
        try:
            part = connection.recv(min(missing, _PIECE))
        except OSError as error:
            raise WireError(f"the other end did not answer: {error.strerror or error}") from error
        if not part:
            raise WireError("the other end hung up")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def exchange(
    address: str, modifier1: int, modifier2: int, payload: bytes, timeout: float | None = TIMEOUT
) -> tuple[Header, bytes]:
    """Send a packet, and return the header of the reply and what follows it, as long as the header says.

    timeout: seconds for all of it. Raises WireError, WireRefused where the other end hangs up without a
    reply.
    """
    timeout = TIMEOUT if timeout is None or timeout <= 0 else timeout
    packet = pack_header(modifier1, len(payload), modifier2) + payload
    deadline = time.monotonic() + timeout
    with connect(address, timeout) as connection:
        return answer(connection, packet, deadline, address)


def answer(connection: socket.socket, packet: bytes, deadline: float, name: str) -> tuple[Header, bytes]:
    """Send a packet over a connection and receive the reply, as exchange() does. name: for error texts."""
    try:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        connection.sendall(packet)
        first = connection.recv(1)
    except (ConnectionResetError, BrokenPipeError):
        first = b""  # it hung up before it had read everything
    except OSError as error:
        raise WireError(f"{name} did not answer: {error.strerror or error}") from error
    if not first:
        raise WireRefused(f"{name} refused a packet with modifier {packet[0]}: it hung up without a reply")
    header = unpack_header(first + receive(connection, HEADER_SIZE - 1, deadline))
    body = receive(connection, header.size, deadline)
    if header.modifier2 == LONG:
        body = receive(connection, long_size(body), deadline)
    return header, body


def long_size(variables: bytes) -> int:
    """The length of a long reply (LONG), of the variables before it. Raises PacketError."""
    text = unpack_vars(variables).get(b"CONTENT_LENGTH", b"")
    if not text.isdigit() or len(text) > 12:
        raise PacketError(f"a reply's length is {text!r}: it is no uwsgi reply")
    return int(text)


def pack_result(result: bytes, modifier1: int = RPC) -> bytes:
    """The reply to a call: a header with the result's size; a longer one behind variables that tell its
    size."""
    return b"".join(result_parts(result, modifier1))


def result_parts(result: bytes, modifier1: int = RPC) -> tuple[bytes, bytes]:
    """The reply of pack_result() as what stands before the result, and the result."""
    if len(result) <= LARGEST:
        return pack_header(modifier1, len(result)), result
    variables = pack_vars({b"CONTENT_LENGTH": b"%d" % len(result)})
    return pack_header(modifier1, len(variables), LONG) + variables, result


def send_signal(number: int, address: str, timeout: float | None = TIMEOUT) -> None:
    """Raise a signal at another server. Raises WireError (OSError), WireRefused (ValueError)."""
    header, _ = exchange(address, SIGNAL, number, b"", timeout)
    if header.modifier2 != 1:
        raise WireRefused(f"{address} rejected signal {number}")


def send_task(variables: Mapping[bytes, bytes], address: str, timeout: float | None = TIMEOUT) -> None:
    """Have another server spool a task. Raises as send_signal(), PacketError for one that does not fit."""
    header, _ = exchange(address, SPOOL, 0, pack_vars(variables), timeout)
    if header.modifier2 != 1:
        raise WireRefused(f"{address} did not take a task: has it a spooler, and the same --socket-key-file?")


def send_call(
    name: bytes, arguments: Iterable[bytes], address: str, timeout: float | None = TIMEOUT
) -> bytes:
    """Call a function of another server and return its result. Raises as send_signal()."""
    _, result = exchange(address, RPC, 0, pack_strings([name, *arguments]), timeout)
    return result


def send_message(
    address: str,
    modifier1: int = 0,
    modifier2: int = 0,
    message: Mapping[str | bytes, object] | bytes | str = b"",
    timeout: float | None = None,
) -> bytes | bool:
    """Send any packet to HOST:PORT or a Unix socket; a dict goes as variables.

    timeout: seconds for all of it, 30 where none is given. Returns True for a task (17) or signal (110) that
    was
    taken, else the bytes of the reply. Raises WireError (OSError) if nobody answers, WireRefused (ValueError)
    for what was not taken, PacketError and MessageTypeError for what cannot be sent.
    """
    if modifier1 == SIGNAL:
        send_signal(modifier2, address, timeout)
        return True
    if isinstance(message, Mapping):
        if modifier1 == SPOOL and ("body" in message or b"body" in message):
            raise PacketError("a task's body cannot travel in a packet: give it as another key")
        variables = as_variables(message)
        if modifier1 == SPOOL:
            send_task(variables, address, timeout)
            return True
        payload = pack_vars(variables)
    else:
        payload = _bytes(message)
    return exchange(address, modifier1, modifier2, payload, timeout)[1]


def as_variables(values: Mapping[str | bytes, object]) -> dict[bytes, bytes]:
    """A dict's keys and values as bytes; str as UTF-8, numbers as text. Raises MessageTypeError."""
    return {_bytes(key): _bytes(value) for key, value in values.items()}


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value).encode()
    raise MessageTypeError(f"{value!r} cannot go into a packet: give bytes, str or a number")
