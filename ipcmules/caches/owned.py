"""A cache as the master of its bus has it: made at the start, swept meanwhile, ended with the bus."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.caches import places, room, store
from ipcmules.caches.cache import Cache
from ipcmules.caches.environment import lmdb
from ipcmules.caches.store import Store
from ipcmules.errors import AccessError, BusRunning, CacheError
from ipcmules.kernel.printable import for_people
from ipcmules.options.caches import CacheItem, CacheSpec

#: Keys that a step of a sweep looks at.
_STEP = 500


class Owned:
    """A cache that the master has made."""

    def __init__(self, where: Places, spec: CacheSpec, items: Sequence[CacheItem] = ()) -> None:
        """items: what it begins with, as far as that is for it.

        Raises LimitError, AccessError, CacheError, BusRunning.
        """
        self.spec = spec
        self._path = places.path_of(where, spec)
        self._lock = -1
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory):
            raise AccessError(
                f"cache {spec.name!r}: the directory {directory} of store= does not exist: make it"
            )
        if spec.store:
            self._hold()
        try:
            self.store: Store = store.made(self._path, store.sized(spec, directory), anew=True)
        except BaseException:
            self._release()
            raise
        kept = self.store.environment.opened().stat()["entries"]
        size = self.store.spec.size
        log.event(
            "info",
            f"cache {spec.name!r}: {size / 2**20:.3g} MiB at {self._path}"
            + (f", {kept} entries" if kept else ""),
        )

        self._fill(items)

    def _fill(self, items: Sequence[CacheItem]) -> None:
        """As uWSGI: files first, what is there already stays, and what cannot be is logged."""
        cache = Cache(self.store)
        for each in sorted(items, key=lambda each: not each.file):
            if each.cache not in ("", self.spec.name):
                continue
            try:
                if not cache.add(each.key, _content(each)):
                    log.event(
                        "info", f"cache {self.spec.name!r} has {for_people(each.key)} already: it stays"
                    )
            except (OSError, CacheError) as error:
                log.event("error", f"{for_people(each.key)} is not in cache {self.spec.name!r}: {error}")

    def _hold(self) -> None:
        """No other bus may have the same file."""
        self._lock = os.open(
            f"{self._path}-bus", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release()
            raise BusRunning(
                f"the file {self._path} of cache {self.spec.name!r} belongs to a bus that runs: stop that, "
                "or give another store="
            ) from None

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def sweep(self, going_on: bool = False) -> bool:
        """A step of a sweep, if one is due. True if there is more to do at once."""
        if not going_on and not room.is_due(self.store):
            return False
        try:
            with self.store.environment.call():
                return not room.sweep(self.store, _STEP)
        except lmdb.Error as error:
            log.event("warning", f"cache {self.spec.name!r} cannot be swept: {error}")
            return False

    def end(self, lost: bool = False) -> None:
        """The bus ends: what is to be kept goes to the disk, the rest is removed.

        lost: it is another master's now.
        """
        if lost:
            self.store.close()
            self._release()
            return
        self.store.control.finish()
        if self.spec.store:
            self.store.environment.sync()
            self.store.control.end()
        self.store.close()
        if not self.spec.store:
            store.removed(self._path)
        self._release()


def _content(item: CacheItem) -> bytes:
    """The value of an entry. Raises OSError, and CacheError for an empty file, as uWSGI stores none."""
    if not item.file:
        return os.fsencode(item.value)
    with open(item.file, "rb") as file:
        data = file.read()
    if not data:
        raise CacheError(f"{item.file} is empty")
    if item.gzip:
        import gzip

        return gzip.compress(data, mtime=0)
    return data
