"""Keys, values and times as an application gives them, made into those of records."""

from __future__ import annotations

import pickle
import time
from typing import Any

from ipcmules.caches import records
from ipcmules.caches.records import NUMBER, PICKLED
from ipcmules.errors import CacheError

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def changed(there: records.Record | None, number: int) -> records.Record:
    """The record of a number in place of another record. Raises CacheError beyond 64 bits."""
    return records.Record(NUMBER, 0 if there is None else there.expires, b"", number_bytes(number))


def number_bytes(value: int) -> bytes:
    """A number as it is stored. Raises CacheError."""
    if not _LOWEST <= value <= _HIGHEST:
        raise CacheError(f"{value} does not fit into 64 bits: numbers in a cache are from -2**63 to 2**63-1")
    return value.to_bytes(8, "little", signed=True)


def data_of(value: Any, pickled: bool) -> tuple[bytes, int]:
    """A value as it is stored, and its flags. Raises CacheError."""
    kind = type(value)
    if kind is int and (not pickled or _LOWEST <= value <= _HIGHEST):
        return number_bytes(value), NUMBER
    if pickled:
        return (value, 0) if kind is bytes else (pickle.dumps(value, pickle.HIGHEST_PROTOCOL), PICKLED)
    if kind is bytes:
        return value, 0
    if isinstance(value, str):
        return value.encode(), 0
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), 0
    raise CacheError(f"{value!r} is no value: give bytes, str or int, or open the cache with pickled=True")


def key_bytes(key: Any) -> bytes:
    """A key as bytes. Raises CacheError."""
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    raise CacheError(f"{key!r} is no key: give bytes or str")


def moment(expires: float) -> int:
    """When something expires that does so in so many seconds, 0 for never."""
    if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not 0 <= expires < 1e10:
        raise CacheError(f"expires={expires!r}: give seconds, 0 (never) or more")
    return time.time_ns() + int(expires * 1e9) if expires else 0


def has_expired(record: bytes) -> bool:
    """True for a record that is not there any more to anybody."""
    return 0 < records.expiry(record) <= time.time_ns()
