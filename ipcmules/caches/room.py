"""Room in a cache: counting what is in it, removing what has expired or was not used for the longest time.

LMDB's own statistics are the truth. Since they cost more than a write, one cell says how much may be written
before somebody has to look again: each write takes from it as if all it writes were new.

What was used last is not looked for among all: the hand goes over the keys in their order, and of each
window of keys the oldest ones go (exactly the oldest where all fit into one window).
"""

from __future__ import annotations

import contextlib
import time
from typing import NamedTuple

from ipcmules.caches import records
from ipcmules.caches.control import C_EVICTED, C_ROOM, C_SOONEST, C_SWEEPING
from ipcmules.caches.environment import lmdb
from ipcmules.caches.store import Store

#: Keys that are looked at together, and how many go at least from a cache of many.
WINDOW = 64
_BATCH, _MANY = 8, 256
#: More room than any cache has.
_ENDLESS = 1 << 60


def cost(key: bytes, record: bytes) -> int:
    """What an entry takes, in pages or entries, whichever is more: never too little."""
    return 1 + (len(key) + len(record)) // 2048


class Shortage(NamedTuple):
    """How many entries and pages are missing for one more entry; none where both are 0."""

    entries: int
    pages: int


def shortage(store: Store, needed: int) -> Shortage:
    """What is missing for an entry of that cost; how much room there is now is noted for all.

    Call it with LMDB's lock held, before anything changes.
    """
    found = store.environment.opened().stat()
    pages = store.quota - found["branch_pages"] - found["leaf_pages"] - found["overflow_pages"]
    items = store.spec.items - found["entries"] if store.spec.items else _ENDLESS
    store.control.cells[C_ROOM] = max(min(items, pages), 0)
    return Shortage(max(1 - items, 0), max(needed - pages, 0))


def evict(store: Store, txn: lmdb.Transaction, needed: int, number: int) -> None:
    """Make room for an entry of that cost: what has expired goes, then what was used least recently.

    number: how often that has not been enough. txn: one that writes, with buffers.
    """
    used = store.control.when
    entries, pages = shortage(store, needed)
    if number:
        # LMDB writes a large value into pages that follow each other: more than so many may have to go.
        pages = min(max(pages, needed << number), store.quota)
    if not entries and not pages:
        return  # somebody else has made some
    there = store.environment.opened().stat()["entries"]
    if there > _MANY:
        entries = max(entries, _BATCH)
    for _ in range(there // WINDOW + 2):
        window = _window(store, txn)
        now = time.time_ns()
        expired = [each for each in window if 0 < each.expires <= now]
        others = sorted(
            (each for each in window if not 0 < each.expires <= now), key=lambda each: used(each.key)
        )
        # Of many windows each gives a half at most: what the next ones hold may be older.
        most = len(others) if there <= WINDOW else (len(others) + 1) // 2
        for place, each in enumerate([*expired, *others[:most]]):
            if place >= len(expired) and entries <= 0 and pages <= 0:
                break
            txn.delete(each.key)
            store.control.cells[C_EVICTED] += 1
            entries, pages = entries - 1, pages - each.size
        if not window or (entries <= 0 and pages <= 0):
            break
    store.control.cells[C_ROOM] = 0  # somebody counts


def sweep(store: Store, limit: int) -> bool:
    """Remove what has expired among the next `limit` keys. True when the hand has come round."""
    now = time.time_ns()
    cells = store.control.cells
    begun = not store.sweeping
    if begun:
        store.next_expiry = 0
        cells[C_SWEEPING] = 1
        cells[C_SOONEST] = 0  # who writes from now on says so itself
    with store.environment.begin(buffers=True) as txn:
        keys, last = [], b""
        cursor = txn.cursor()
        found = cursor.set_range(store.sweeping) if store.sweeping else cursor.first()
        for number, (key, value) in enumerate(cursor.iternext() if found else ()):
            if number == limit:
                last = bytes(key)
                break
            expires = records.expiry(value)
            if 0 < expires <= now:
                keys.append(bytes(key))
            elif expires and (not store.next_expiry or expires < store.next_expiry):
                store.next_expiry = expires
    store.sweeping = last
    if keys:
        with contextlib.suppress(lmdb.MapFullError):  # the next sweep does it
            _remove_expired(store, keys, now)
    if last:
        return False
    if store.next_expiry:
        note_expiry(store, store.next_expiry)
    cells[C_SWEEPING] = 0
    return True


def _remove_expired(store: Store, keys: list[bytes], now: int) -> None:
    with store.environment.begin(write=True, buffers=True) as txn:
        for key in keys:
            found = txn.get(key)  # it may be another by now
            if found is not None and 0 < records.expiry(found) <= now:
                txn.delete(key)
        store.control.cells[C_ROOM] = 0


def note_expiry(store: Store, expires: int) -> None:
    """Something expires then: a sweep is due."""
    cells = store.control.cells
    soonest = cells[C_SOONEST]
    if not soonest or expires < soonest:
        cells[C_SOONEST] = expires


def is_due(store: Store) -> bool:
    """True if something has expired since the last sweep, or that did not come to its end."""
    cells = store.control.cells
    return bool(cells[C_SWEEPING]) or 0 < cells[C_SOONEST] <= time.time_ns()


class _Seen(NamedTuple):
    """An entry that the hand went over: what it takes, as cost() has it."""

    key: bytes
    expires: int
    size: int


def _window(store: Store, txn: lmdb.Transaction) -> list[_Seen]:
    """The next entries. The hand goes on behind them."""
    cursor = txn.cursor()
    if not (store.hand and cursor.set_range(store.hand)) and not cursor.first():
        return []
    found: list[_Seen] = []
    store.hand = b""
    for key, value in cursor.iternext():
        if len(found) == WINDOW:
            store.hand = bytes(key)
            break
        found.append(_Seen(bytes(key), records.expiry(value), 1 + (len(key) + len(value)) // 2048))
    return found
