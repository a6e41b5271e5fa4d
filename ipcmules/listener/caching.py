"""What a packet asks of the bus's caches (modifier 111), done. Knows the wire and the caches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipcmules.errors import CacheError
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.wire import cached
from ipcmules.wire.cached import Request
from ipcmules.wire.packets import PacketError

if TYPE_CHECKING:
    from ipcmules.caches.cache import Cache


def follows(payload: bytes) -> int:
    """How many bytes follow a packet. Raises PacketError, CacheError for more than the cache would take."""
    asked = cached.request(payload)
    if asked.size:
        spec = _cache(asked).spec
        most = spec.largest or spec.size
        if asked.size > most:
            raise CacheError(f"a value of {asked.size} bytes for cache {spec.name!r}, which takes {most}")
    return asked.size


def answer(payload: bytes, value: bytes, key: bytes) -> bytes | None:
    """The reply to a packet; None where there is none, as uWSGI has it for all that was not done.

    key: without its signature nothing is changed. Raises PacketError, CacheError.
    """
    asked = cached.request(payload)
    if key and asked.command in cached.WRITES and not cached.is_signed(payload, value, key):
        raise PacketError("a change of a cache without a valid signature: this bus has a --socket-key-file")
    found = _cache(asked)
    if asked.command == b"get":
        return _value(found, asked.key)
    return cached.granted() if _done(found, asked, value) else None


def _done(found: Cache, asked: Request, value: bytes) -> bool:
    if asked.command == b"exists":
        return found.exists(asked.key)
    if asked.command == b"del":
        return found.delete(asked.key)
    if asked.command == b"set":
        return found.add(asked.key, value, asked.expires)
    if asked.command == b"update":
        found.set(asked.key, value, asked.expires)
    else:
        found.clear()
    return True


def _value(found: Cache, key: bytes) -> bytes | None:
    value = found.get(key)
    if isinstance(value, int):
        value = value.to_bytes(8, "little", signed=True)
    if not value:
        return None
    try:
        left = found.expires(key)
    except KeyError:
        return None
    return cached.granted(value, int(time.time() + left) if left else 0)


def _cache(asked: Request) -> Cache:
    with importing:
        from ipcmules.caches import places, store
        from ipcmules.caches.cache import Cache

    member = membership.current()
    specs = member.description.config.caches
    if not specs:
        raise CacheError("this bus has no cache: start it with --cache name=NAME")
    name = asked.cache.decode(errors="replace") or specs[0].name
    return Cache(store.opened(places.find(member.where, specs, name)))
