"""What is stored for a key and for a value, to the byte: docs/formats-state.md.

A record is a byte of flags, what the flags announce, and the value. Most have no flag, so that reading one
is to cut a byte off.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from ipcmules.errors import CacheError

#: Flags: an expiry follows (8 bytes); the whole key follows (4 bytes of length, the key); the value is a
#: number (8 bytes); the value is a pickle.
EXPIRES, LONG, NUMBER, PICKLED = 1, 2, 4, 8

#: Bytes of LMDB's longest key. A stored key of just that length is a hash's, a shorter one is the key itself.
LONGEST_STORED = 511
#: Bytes of the longest key.
LONGEST_KEY = 65535
_DIGEST = 32


class Record(NamedTuple):
    """A record, taken apart.

    expires: nanoseconds since the epoch, 0 for never. key: the whole one, b"" if that is the stored one.
    """

    flags: int
    expires: int
    key: bytes
    value: bytes


def stored_key(key: bytes) -> bytes:
    """By what a key is stored: itself, or of a long one its beginning and its SHA-256. Raises CacheError."""
    if len(key) < LONGEST_STORED:
        if not key:
            raise CacheError("an empty key names nothing: give one of 1 byte or more")
        return key
    if len(key) > LONGEST_KEY:
        raise CacheError(f"a key of {len(key)} bytes is too long: at most {LONGEST_KEY}; hash it yourself")
    return key[: LONGEST_STORED - _DIGEST] + hashlib.sha256(key).digest()


def pack(value: bytes, flags: int = 0, expires: int = 0, key: bytes = b"") -> bytes:
    """The record of a value. flags: NUMBER or PICKLED; expires: as in Record; key: the whole one."""
    if expires:
        flags |= EXPIRES
    if len(key) >= LONGEST_STORED:
        flags |= LONG
    head = bytes((flags,))
    if flags & EXPIRES:
        head += expires.to_bytes(8, "little")
    if flags & LONG:
        head += len(key).to_bytes(4, "little") + key
    return head + value


def unpack(record: bytes) -> Record:
    """The inverse of pack()."""
    flags, at, expires, key = record[0], 1, 0, b""
    if flags & EXPIRES:
        expires = int.from_bytes(record[at : at + 8], "little")
        at += 8
    if flags & LONG:
        length = int.from_bytes(record[at : at + 4], "little")
        at += 4
        key = record[at : at + length]
        at += length
    return Record(flags, expires, key, record[at:])


def expiry(record: bytes | memoryview) -> int:
    """When a record, of which the first 9 bytes are enough, expires."""
    return int.from_bytes(record[1:9], "little") if record[0] & EXPIRES else 0
