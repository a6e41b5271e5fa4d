"""Transactions of a cache: reading one record, writing one and making room for it, going over the keys.

Knows an open store, records and room; nothing of values.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

from ipcmules.caches import records, room, values
from ipcmules.caches import store as stores
from ipcmules.caches.control import C_OVER, C_ROOM
from ipcmules.caches.environment import Environment, lmdb
from ipcmules.caches.records import LONGEST_STORED
from ipcmules.caches.store import Store
from ipcmules.errors import BusStopped, CacheError, CacheFull
from ipcmules.kernel.unpatched import sleep

#: So often room is made for an entry before it is given up.
_TRIES = 12
#: A full file is tried again after so many seconds each.
_WAITS = (0.0, 0.0005, 0.002, 0.008, 0.02)
#: Of the reads of a cache of many entries these are noted, a quarter: noting costs a third of a read. In no
#: order and a prime number of them, so that none of the keys that are read in a round is always left out.
_CHANCE = random.Random(1021)
_SAMPLES = tuple(_CHANCE.random() < 0.25 for _ in range(1021))
#: Keys that are read in one transaction where all are asked for.
_SLICE = 1000


class Transactions:
    """What a Cache is made on."""

    def __init__(self, store: Store) -> None:
        self._bind(store)

    def _bind(self, store: Store) -> None:
        self._store = store
        self._environment: Environment = store.environment
        self._held = store.environment.held
        self._cells = store.control.cells
        self._mask = store.control.mask
        self._stamps = store.control.stamps
        #: True for each read that is noted: all of them where the least recently used entry is found exactly.
        exact = 0 < store.spec.items <= room.WINDOW
        self._noted = itertools.cycle((bool(self._mask),) if exact or not self._mask else _SAMPLES)
        spec = store.spec
        #: True where nothing is said about values, keys and times: then a value needs no look.
        self._plain = not (spec.largest or spec.expires) and spec.keysize >= LONGEST_STORED

    def _write(
        self,
        key: bytes,
        record: bytes,
        condition: Callable[[bool], bool] | None = None,
        before: bytes | object | None = ...,
    ) -> bool:
        """Write a record, making room for it. condition: asked whether the key is there; before: what must be
        there. False if one of them does not hold. Raises CacheFull."""
        if self._cells[C_OVER]:
            self._rebind()
        needed = room.cost(key, record)
        store, cells = self._store, self._cells

        def write(txn: Any) -> bool | None:
            there: Any = ...
            if condition is not None or before is not ...:
                there = txn.get(key)
                if before is not ... and there != before:
                    return False
                if condition is not None and not condition(
                    there is not None and not values.has_expired(there)
                ):
                    return False
            left = cells[C_ROOM]
            if left < needed:
                short, left = room.shortage(store, needed), cells[C_ROOM]
                if any(short) and not self._fits_in_its_place(txn.get(key), record, short):
                    return None
            cells[C_ROOM] = max(left - needed, 0)
            if record[0] & records.EXPIRES:
                room.note_expiry(store, records.expiry(record))
            if self._mask:
                store.control.used(key)
            return bool(txn.put(key, record))

        for number in range(_TRIES if needed * 2 < store.quota else 0):
            with contextlib.suppress(CacheFull):
                done = self._transaction(write)
                if done is not None:
                    return bool(done)
            if not self._make_room(needed, number):
                break
        raise self._full(key, record)

    @staticmethod
    def _fits_in_its_place(there: bytes | None, record: bytes, short: room.Shortage) -> bool:
        """True if the record takes the place of another one and no more room than there is."""
        return there is not None and (not short.pages or len(record) <= len(there))

    def _transaction(self, work: Callable[[Any], Any], buffers: bool = False) -> Any:
        """What work(transaction) returns, which is then committed. Raises CacheFull if the file is full."""
        store = self._store
        for wait in _WAITS:
            held = self._held
            held.append(None)
            try:
                with self._environment.begin(write=True, buffers=buffers) as txn:
                    return work(txn)
            except lmdb.MapFullError:
                pass  # a reader that is going on holds the pages of what was replaced meanwhile
            except lmdb.Error as error:
                if "same thread" in str(error):
                    raise CacheError(
                        "a signal handler writes to a cache in the middle of a write of its thread, which "
                        "would wait for itself: let the handler set a flag, and write later"
                    ) from error
                raise CacheError(f"the cache {store.path} cannot be written: {error}") from error
            finally:
                held.pop()
            with self._environment.call():
                reading = self._environment.free_readers()
            if not reading and wait:
                break
            sleep(wait)
        raise CacheFull(f"the file {store.path} of cache {store.spec.name!r} is full: give it a larger size=")

    def _make_room(self, needed: int, number: int) -> bool:
        """False where there is nothing that could be removed."""
        store = self._store
        if store.spec.full == "evict":
            with contextlib.suppress(CacheFull):
                self._transaction(lambda txn: room.evict(store, txn, needed, number), buffers=True)
            return True
        if not room.is_due(store):
            return False
        self._sweep()
        return True

    def _sweep(self) -> None:
        """Remove all that has expired."""
        over = False
        while not over:
            with self._environment.call():
                over = room.sweep(self._store, _SLICE)

    def _full(self, key: bytes, record: bytes) -> CacheFull:
        spec, path = self._store.spec, self._store.path
        if room.cost(key, record) * 2 >= self._store.quota:
            return CacheFull(
                f"an entry of {len(record)} bytes is too large for cache {spec.name!r}, whose file {path} "
                f"has {spec.size}: give the cache a larger size="
            )
        return CacheFull(
            f"cache {spec.name!r} is full ({self._environment.opened().stat()['entries']} entries, at most "
            f"{spec.items or 'as many as fit'}; {spec.size} bytes): give it more items= or size=, or let "
            "it evict"
        )

    def _rebind(self) -> None:
        """Its bus has ended: go on with that of the next one."""
        path = self._store.path
        try:
            self._bind(stores.opened(path))
        except CacheError as error:
            raise BusStopped(f"the cache at {path} is gone: its bus has stopped") from error

    def _record(self, key: bytes) -> bytes | None:
        if self._cells[C_OVER]:
            self._rebind()
        try:
            return self._environment.read().get(key)  # type: ignore[no-any-return]
        except lmdb.Error as error:
            return self._read_again(key, error)

    def _read_again(self, key: bytes, error: Exception) -> bytes | None:
        """A fork has closed the environment, or killed readers have left all places taken."""
        with self._environment.call():
            self._environment.free_readers()
            try:
                return self._environment.begin().get(key)  # type: ignore[no-any-return]
            except lmdb.Error as again:
                raise CacheError(f"the cache {self._store.path} cannot be read: {again}") from error

    def _slice(self, at: bytes) -> tuple[list[bytes], bytes | None]:
        """Some keys, and where the next ones begin: None behind the last."""
        found: list[bytes] = []
        now = time.time_ns()
        with self._environment.call(), self._environment.begin(buffers=True) as txn:
            cursor = txn.cursor()
            if not (cursor.set_range(at) if at else cursor.first()):
                return [], None
            for number, (key, record) in enumerate(cursor.iternext()):
                if number == _SLICE:
                    return found, bytes(key)
                if not 0 < records.expiry(record) <= now:
                    long = len(key) == LONGEST_STORED
                    found.append(records.unpack(bytes(record)).key if long else bytes(key))
        return found, None
