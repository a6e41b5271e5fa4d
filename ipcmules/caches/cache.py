"""A cache as an application has it.

Each call is one transaction: a read sees what was there at its beginning, and a write is there whole or not
at all, whoever is killed. Knows an open store, records and room.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic_ns
from typing import Any
from zlib import crc32

from ipcmules.caches import records, room, values
from ipcmules.caches.control import C_OVER, C_ROOM
from ipcmules.caches.environment import lmdb
from ipcmules.caches.records import LONGEST_STORED, NUMBER, PICKLED, stored_key
from ipcmules.caches.store import Store
from ipcmules.caches.transactions import Transactions
from ipcmules.errors import CacheError, CacheFull
from ipcmules.options.caches import CacheSpec

Key = bytes | str

_MISSING = object()
#: A record of fewer bytes costs 1 with any key.
_ONE_PAGE = 2048 - LONGEST_STORED


class Cache(Transactions):
    """A mapping that processes share. Made by ipcmules.cache().

    Keys are bytes, or str as UTF-8. Values are bytes, str as UTF-8, or int of 64 bits; with pickled=True
    anything that pickle takes. What is read is bytes, or int; with pickled=True what was written. All calls
    raise CacheError for a key or value that cannot be, those that write CacheFull where there is no room.
    """

    def __init__(self, store: Store, pickled: bool = False) -> None:
        super().__init__(store)
        self._pickled = pickled

    @property
    def spec(self) -> CacheSpec:
        """What it was made to be."""
        return self._store.spec

    # Reading

    def get(self, key: Key, default: Any = None) -> Any:
        """The value of a key; default if it is not there, or has expired."""
        if type(key) is not bytes:
            key = values.key_bytes(key)
        if not 0 < len(key) < LONGEST_STORED:
            key = stored_key(key)
        if self._cells[C_OVER]:
            self._rebind()
        try:
            record = self._environment.read().get(key)
        except lmdb.Error as error:
            record = self._read_again(key, error)
        if record is None:
            return default
        if next(self._noted):  # as Control.used(), whose call would cost as much as all of it
            self._stamps[crc32(key) & self._mask] = monotonic_ns()
        return record[1:] if record[0] == 0 else self._value(record, default)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """The values of those keys that are there, by the keys as they were given."""
        found: dict[Key, Any] = {}
        for each in keys:
            value = self.get(each, _MISSING)
            if value is not _MISSING:
                found[each] = value
        return found

    def exists(self, key: Key) -> bool:
        """True if the key is there."""
        record = self._record(stored_key(values.key_bytes(key)))
        return record is not None and not values.has_expired(record)

    def expires(self, key: Key) -> float | None:
        """Seconds after which a key expires: None for never. Raises KeyError if it is not there."""
        record = self._record(stored_key(values.key_bytes(key)))
        if record is None or values.has_expired(record):
            raise KeyError(key)
        at = records.expiry(record)
        return max(at - time.time_ns(), 0) / 1e9 if at else None

    def keys(self) -> list[bytes]:
        """All keys, in no order that means anything."""
        return list(self)

    def items(self) -> Iterator[tuple[bytes, Any]]:
        """Keys with their values, as they are when their turn comes."""
        for key in self:
            value = self.get(key, _MISSING)
            if value is not _MISSING:
                yield key, value

    def values(self) -> Iterator[Any]:
        """The values of all keys."""
        return (value for _key, value in self.items())

    def __iter__(self) -> Iterator[bytes]:
        at: bytes | None = b""
        while at is not None:
            found, at = self._slice(at)
            yield from found

    def __len__(self) -> int:
        if room.is_due(self._store):
            self._sweep()
        return int(self._environment.opened().stat()["entries"])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (bytes, str, bytearray, memoryview)) and self.exists(
            bytes(key) if not isinstance(key, str) else key
        )

    def __getitem__(self, key: Key) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    # Writing

    def set(self, key: Key, value: Any, expires: float = 0) -> None:
        """Write a value, whether the key is there or not.

        expires: seconds; 0 for what the cache's own expires= says, or never.
        """
        if type(key) is not bytes:
            key = values.key_bytes(key)
        if type(value) is bytes and not expires and self._plain and 0 < len(key) < LONGEST_STORED:
            record = b"\0" + value
        else:
            key, record = stored_key(key), self._packed(key, value, expires)
        # What follows is _write() for the common case: a call of its own would cost as much as half of it.
        cells, held = self._cells, self._held
        needed = 1 if len(record) < _ONE_PAGE else room.cost(key, record)
        held.append(None)
        txn = None
        try:
            txn = self._environment.begin(None, None, True)  # positions are read faster than names
            left = cells[C_ROOM]
            if left >= needed:
                cells[C_ROOM] = left - needed
                if self._mask:
                    self._stamps[crc32(key) & self._mask] = monotonic_ns()
                if record[0] & records.EXPIRES:
                    room.note_expiry(self._store, records.expiry(record))
                txn.put(key, record)
                txn.commit()
                return
            txn.abort()
        except BaseException as error:
            # Its traceback would keep the transaction, and so the lock.
            if txn is not None:
                txn.abort()
            # The long way says what is wrong, and mends it. All else is a signal handler's.
            if not isinstance(error, lmdb.Error):
                raise
        finally:
            held.pop()
        self._write(key, record)

    def set_many(self, entries: Mapping[Key, Any], expires: float = 0) -> None:
        """Write several values, one after the other."""
        for key, value in entries.items():
            self.set(key, value, expires)

    def add(self, key: Key, value: Any, expires: float = 0) -> bool:
        """Write a value if the key is not there. True if it was written."""
        key = values.key_bytes(key)
        return self._write(stored_key(key), self._packed(key, value, expires), lambda there: not there)

    def update(self, key: Key | Mapping[Key, Any], value: Any = None, expires: float = 0) -> bool:
        """Write a value if the key is there. True if it was written. With a mapping, as set_many()."""
        if isinstance(key, Mapping):
            self.set_many(key, expires)
            return True
        key = values.key_bytes(key)
        return self._write(stored_key(key), self._packed(key, value, expires), lambda there: there)

    def delete(self, key: Key) -> bool:
        """Remove a key. True if it was there."""
        key = stored_key(values.key_bytes(key))

        def delete(txn: Any) -> bool:
            record = txn.get(key)
            return bool(record is not None and txn.delete(key) and not values.has_expired(record))

        return bool(self._transaction(delete))

    def pop(self, key: Key, *default: Any) -> Any:
        """Remove a key and return its value; default, else KeyError, if it is not there."""
        stored = stored_key(values.key_bytes(key))
        record = self._transaction(lambda txn: txn.pop(stored))
        value = _MISSING if record is None else self._value(record, _MISSING)
        if value is not _MISSING:
            return value
        if default:
            return default[0]
        raise KeyError(key)

    def touch(self, key: Key, expires: float = 0) -> bool:
        """Let a key expire in so many seconds (0: never). True if it is there."""
        at = values.moment(expires)
        return (
            self.change(key, lambda there: None if there is None else there._replace(expires=at)) is not None
        )

    def incr(self, key: Key, delta: int = 1) -> int:
        """Add to a number and return it; one that is not there begins with 0.

        Its expiry stays. Raises CacheError for a value that is no number, and for a sum beyond 64 bits.
        """
        if isinstance(delta, bool) or not isinstance(delta, int):
            raise CacheError(f"delta={delta!r}: give a whole number")

        def add(there: records.Record | None) -> records.Record:
            before = self._store.spec.initial
            if there is not None:
                if not there.flags & NUMBER:
                    raise CacheError(
                        f"{key!r} holds {len(there.value)} bytes, no number: write a number with set()"
                    )
                before = int.from_bytes(there.value, "little", signed=True)
            return values.changed(there, before + delta)

        done = self.change(key, add)
        assert done is not None
        return int.from_bytes(done.value, "little", signed=True)

    def decr(self, key: Key, delta: int = 1) -> int:
        """As incr(key, -delta)."""
        return self.incr(key, -delta)

    def clear(self) -> None:
        """Remove everything."""
        database = self._environment.opened().open_db()
        self._transaction(lambda txn: txn.drop(database, delete=False))
        self._cells[C_ROOM] = 0

    def __setitem__(self, key: Key, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def change(
        self, key: Key, function: Callable[[records.Record | None], records.Record | None]
    ) -> records.Record | None:
        """Replace the record of a key by what the function makes of it, in one step: None for nothing.

        The function gets None where the key is not there. Returns what it returned.
        """
        whole = values.key_bytes(key)
        stored = stored_key(whole)
        while True:
            before = self._record(stored)
            there = None if before is None or values.has_expired(before) else records.unpack(before)
            after = function(there)
            if after is None:
                return None
            record = records.pack(after.value, after.flags & (NUMBER | PICKLED), after.expires, whole)
            # What was there when the function was called is compared under the lock.
            if self._write(stored, record, before=before):
                return after

    # How

    def _packed(self, key: bytes, value: Any, expires: float) -> bytes:
        spec = self._store.spec
        data, flags = values.data_of(value, self._pickled)
        if spec.largest and len(data) > spec.largest:
            raise CacheFull(
                f"a value of {len(data)} bytes is too long for cache {spec.name!r}: at most {spec.largest}"
            )
        if len(key) > spec.keysize:
            raise CacheError(
                f"a key of {len(key)} bytes is too long for cache {spec.name!r}: at most {spec.keysize}"
            )
        at = values.moment(expires or spec.expires) if spec.expiring and (expires or spec.expires) else 0
        if not flags and not at and len(key) < LONGEST_STORED:
            return b"\0" + data
        return records.pack(data, flags, at, key)

    def _value(self, record: bytes, default: Any) -> Any:
        found = records.unpack(record)
        if 0 < found.expires <= time.time_ns():
            return default
        if found.flags & NUMBER:
            return int.from_bytes(found.value, "little", signed=True)
        if found.flags & PICKLED and self._pickled:
            return pickle.loads(found.value)
        return found.value
