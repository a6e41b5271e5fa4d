"""The contents of a task's file, uWSGI's to the byte: a header, the arguments, the body.

    0     modifier1, 17 (not looked at when reading)
    1..2  size of the arguments, little-endian
    3     modifier2, 0
    4..   arguments: (length of the key, key, length of the value, value)*, lengths little-endian uint16
    ...   the body, to the end of the file

Pure functions on bytes; knows nothing of files. From core/spooler.c and uwsgi_hooked_parse().
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any

from ipcmules.errors import SpoolError

MODIFIER = 17
HEADER = 4
#: The most bytes that arguments may take, packed: their size is a uint16.
MOST = 0xFFFF
#: The most bytes that a body may have. A file can say of itself that it has any size (it may be all holes),
#: and whoever runs it takes as much memory: no task that was meant is so large.
LARGEST = 1 << 30

_header = Struct("<BHB").pack

#: Lengths as they stand in the file; made once for those that occur most.
_LENGTHS = tuple(length.to_bytes(2, "little") for length in range(256))
#: Keys as they stand in the file; they are the same in many tasks.
_KEYS: dict[Any, bytes] = {}
_MOST_KEYS, _LONGEST_KEY = 1000, 100


class Malformed(ValueError):
    """Bytes that are no task; the text says why."""


def pack(arguments: Mapping[Any, Any], before: bytes = b"") -> bytes:
    """Header and arguments, ready to be written; the body follows them in the file.

    before: arguments that stand before these, packed: what pack() gave without the header.

    Keys and values are bytes, bytes-like or str (as UTF-8); ints and floats go as their text.
    Raises SpoolError for any other type, an empty key, or more than 65,535 bytes in all.
    """
    parts = [before]
    for key, value in arguments.items():
        data = value if type(value) is bytes else as_bytes(value, key)
        try:
            parts += (_KEYS.get(key) or _packed_key(key), _LENGTHS[len(data)], data)
        except IndexError:
            if len(data) > MOST:
                raise _too_large(arguments) from None
            parts += (_packed_key(key), len(data).to_bytes(2, "little"), data)
    block = b"".join(parts)
    if len(block) > MOST:
        raise _too_large(arguments)
    return with_header(block)


def with_header(block: bytes) -> bytes:
    """Arguments that are packed, at most MOST bytes of them, ready to be written."""
    return _header(MODIFIER, len(block), 0) + block


def _packed_key(key: Any) -> bytes:
    """A key as it stands in the file, its length before it. Raises SpoolError."""
    name = _key(key)
    if not name:
        raise SpoolError("spool(): an empty key: uWSGI's format has no arguments without a name")
    if len(name) > MOST:
        raise SpoolError(f"spool(): a key of {len(name)} bytes: the format allows {MOST} for all arguments")
    packed = len(name).to_bytes(2, "little") + name
    if len(_KEYS) < _MOST_KEYS and type(key) in (str, bytes) and len(name) <= _LONGEST_KEY:
        _KEYS[key] = packed
    return packed


def unpack(data: bytes) -> tuple[dict[bytes, bytes], int]:
    """The arguments at the beginning of a file, and where the body begins.

    data: the file, or at least its header and arguments. Of a key that comes twice, the last counts.
    Raises Malformed.
    """
    if len(data) < HEADER:
        raise Malformed(f"{len(data)} bytes, shorter than a header")
    end = HEADER + (data[1] | data[2] << 8)
    if len(data) < end:
        raise Malformed(
            f"its header promises {end - HEADER} bytes of arguments, there are {len(data) - HEADER}"
        )
    arguments: dict[bytes, bytes] = {}
    at = HEADER
    try:
        while at < end:
            value = at + 2 + (data[at] | data[at + 1] << 8)
            after = value + 2 + (data[value] | data[value + 1] << 8)
            if after > end or value == at + 2:
                break
            arguments[data[at + 2 : value]] = data[value + 2 : after]
            at = after
    except IndexError:
        pass  # a length that points beyond the file
    if at != end:
        raise Malformed(f"its arguments cannot be read from byte {at} on")
    return arguments, end


def as_bytes(value: Any, key: Any) -> bytes:
    """A value as it stands in the file. Raises SpoolError, which names the key."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise SpoolError(f"spool(): the value of {key!r} cannot be written as UTF-8: {error}") from error
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value).encode()
    try:
        return bytes(memoryview(value))
    except TypeError:
        pass
    raise SpoolError(
        f"spool(): the value of {key!r} is {type(value).__name__}: give bytes, str or a number, for anything "
        "else serialise it (json.dumps, pickle.dumps), or use @spool(pass_arguments=True)"
    )


def _key(key: Any) -> bytes:
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    if isinstance(key, str):
        return as_bytes(key, key)
    raise SpoolError(f"spool(): the key {key!r} is {type(key).__name__}: keys are str or bytes")


def check_size(size: int) -> None:
    """Raise Malformed for a file that is larger than any task may be."""
    if size > HEADER + MOST + LARGEST:
        raise Malformed(f"it has {size} bytes, more than any task: a body may have {LARGEST}")


def _too_large(arguments: Mapping[Any, Any]) -> SpoolError:
    sizes = {key: len(as_bytes(value, key)) for key, value in arguments.items()}
    largest = max(sizes, key=lambda key: sizes[key])
    total = sum(4 + len(_key(key)) + size for key, size in sizes.items())
    return SpoolError(
        f"spool(): the arguments take {total} bytes, the largest is {largest!r} with {sizes[largest]}; the "
        f"format allows {MOST} for all: put what is large into 'body', which may have 1 GiB"
    )
