"""The flat function of caches: ipcmules.cache(). Knows membership and where a bus has its caches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership

if TYPE_CHECKING:
    from ipcmules.caches.cache import Cache


def cache(
    name: str | os.PathLike[str] = "default",
    pickled: bool = False,
    *,
    items: int = 0,
    size: int | str = "64M",
    full: str = "evict",
    expires: float = 0,
) -> Cache:
    """A cache: a mapping that all processes of the bus share, or all that name a path.

    name: as --cache has it; a path (with a slash, or a PathLike) needs no bus: then the first one to open it
    makes it, with `items` at most (0: as many as fit), in a file of `size` bytes (64M), `full` 'evict' (the
    least recently used entries go) or 'refuse', and entries that last `expires` seconds where nothing is said
    (0: for ever). Who comes later takes it as it is. pickled: values are whatever pickle takes.

    Raises CacheError for a cache that the bus does not have, and where the package lmdb is missing,
    NotAttached for a name on no bus, LimitError where there is no room for a new one.
    """
    with importing:
        from ipcmules.caches import places, store
        from ipcmules.caches.cache import Cache
        from ipcmules.options import caches

    if isinstance(name, os.PathLike) or "/" in name:
        wanted = caches.size(size) if isinstance(size, str) else size
        spec = caches.CacheSpec("path", items, wanted, full, "", expires)
        return Cache(store.opened(os.fspath(name), spec), pickled)
    member = membership.current()
    path = places.find(member.where, member.description.config.caches, name)
    return Cache(store.opened(path), pickled)
