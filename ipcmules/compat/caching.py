"""uwsgi.cache_*: uWSGI's calls of a cache, over the bus's own ones.

What each takes, returns and raises is uWSGI 2.0.31's (plugins/python/uwsgi_pymodule.c, core/cache.c); both
are held side by side in tests/interop. A call without the name of a cache means the first one. Where the bus
has none, they answer what uWSGI does without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipcmules.compat import quiet, remote_caches
from ipcmules.compat.remote_caches import RemoteCache
from ipcmules.errors import CacheError
from ipcmules.member import membership

if TYPE_CHECKING:
    from ipcmules.caches.cache import Cache
    from ipcmules.caches.records import Record

#: Those that were opened on this bus, by name, '' for the first one.
_opened: dict[str, Cache | RemoteCache | None] = {}

_LOST = "this bus has no such cache"
_WIDTH = 1 << 64


def cache_get(key: bytes | str, cache: str = "", /) -> bytes | None:
    """The value of a key; None if it is not there."""
    found = _cache("cache_get", cache)
    key = _key("cache_get", key)
    value = found.get(key) if found is not None and key else None
    return value.to_bytes(8, "little", signed=True) if isinstance(value, int) else value


def cache_exists(key: bytes | str, cache: str = "", /) -> bool | None:
    """True, or None."""
    found = _cache("cache_exists", cache)
    key = _key("cache_exists", key)
    return (found is not None and key and found.exists(key)) or None


def cache_set(key: bytes | str, value: bytes | str, expires: int = 0, cache: str = "", /) -> bool | None:
    """Write if the key is not there: True, or None if it is, and where it cannot be written."""
    found = _cache("cache_set", cache)
    key, value, seconds = _key("cache_set", key), _key("cache_set", value, 2), _expires("cache_set", expires)
    return _tried(lambda: key and value and found is not None and found.add(key, value, seconds))


def cache_update(key: bytes | str, value: bytes | str, expires: int = 0, cache: str = "", /) -> bool | None:
    """Write whether the key is there or not: True, or None where it cannot be written."""
    found = _cache("cache_update", cache)
    key, value = _key("cache_update", key), _key("cache_update", value, 2)
    seconds = _expires("cache_update", expires)

    def write() -> bool:
        if found is None or not key or not value:
            return False
        found.set(key, value, seconds)
        return True

    return _tried(write)


def cache_del(key: bytes | str, cache: str = "", /) -> bool | None:
    """Remove a key: True, or None if it was not there."""
    found = _cache("cache_del", cache)
    key = _key("cache_del", key)
    return _tried(lambda: key and found is not None and found.delete(key))


def cache_clear(cache: str = "", /) -> bool | None:
    """Remove all: True, None where there is no such cache."""
    found = _cache("cache_clear", cache)
    if found is None or found.clear() is False:
        return None
    return True


def cache_keys(cache: str = "", /) -> list[bytes]:
    """All keys. ValueError where there is no such cache."""
    found = _cache("cache_keys", cache)
    if found is None or isinstance(found, RemoteCache):
        raise ValueError("no local uWSGI cache available")
    return found.keys()


def cache_num(key: bytes | str, cache: str = "", /) -> int:
    """The number that a value of 8 bytes is; 0 for any other."""
    value = cache_get(key, cache)
    return int.from_bytes(value, "little", signed=True) if value is not None and len(value) == 8 else 0


def _calculation(name: str, usual: int, calculate: Callable[[int, int], int]) -> Callable[..., bool | None]:
    def call(key: bytes | str, value: int = usual, expires: int = 0, cache: str = "", /) -> bool | None:
        opened = _cache(name, cache)
        key, value, seconds = _key(name, key), _int(name, value, 2), _expires(name, expires)
        if isinstance(opened, RemoteCache):
            remote_caches.no_number(name)
        found = opened

        def change(there: Record | None) -> Record:
            from ipcmules.caches import records, values

            assert found is not None
            if there is None:
                spec = found.spec
                at = values.moment(seconds or spec.expires) if spec.expiring else 0
                return records.Record(records.NUMBER, at, b"", _bytes(calculate(spec.initial, value)))
            # Of any value the first 8 bytes, as there.
            before = int.from_bytes(there.value[:8].ljust(8, b"\0"), "little", signed=True)
            return records.Record(records.NUMBER, there.expires, b"", _bytes(calculate(before, value)))

        return _tried(lambda: key and found is not None and found.change(key, change) is not None)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{name}(key, value={usual}, expires=0, cache=''): change a number; True, or None."
    return call


def _divided(there: int, by: int) -> int:
    """As C does: towards 0, and by 0 it is 0."""
    if by == 0:
        return 0
    return abs(there) // abs(by) * (1 if (there < 0) == (by < 0) else -1)


#: All of them, by name.
CALLS: dict[str, Callable[..., Any]] = {
    "cache_get": cache_get,
    "cache_exists": cache_exists,
    "cache_set": cache_set,
    "cache_update": cache_update,
    "cache_del": cache_del,
    "cache_clear": cache_clear,
    "cache_keys": cache_keys,
    "cache_num": cache_num,
    "cache_inc": _calculation("cache_inc", 1, lambda there, by: there + by),
    "cache_dec": _calculation("cache_dec", 1, lambda there, by: there - by),
    "cache_mul": _calculation("cache_mul", 2, lambda there, by: there * by),
    "cache_div": _calculation("cache_div", 2, _divided),
}


def _cache(call: str, name: str) -> Cache | RemoteCache | None:
    """The cache of that name, None where there is none."""
    known = name in _opened and membership.peek() is not None
    found = _opened[name] if known else _open(call, name)
    if found is None and call != "cache_keys":
        quiet.say(call, _LOST)
    return found


def _open(call: str, name: str) -> Cache | RemoteCache | None:
    if not isinstance(name, str):
        raise TypeError(f"{call}(): the name of a cache must be str, not {type(name).__name__}")
    if "@" in name:
        return _opened.setdefault(name, RemoteCache(name))
    member = membership.find()
    if member is None:
        return None
    from ipcmules.caches import places

    specs = member.description.config.caches
    wanted = (name or specs[0].name) if specs else ""
    found: Cache | None = None
    if wanted in {each.name for each in specs}:
        from ipcmules.caches import store
        from ipcmules.caches.cache import Cache

        found = Cache(store.opened(places.find(member.where, specs, wanted)))
    return _opened.setdefault(name, found)


def _tried(write: Callable[[], Any]) -> bool | None:
    """True, or None where it did not work: a full cache, a key that is too long."""
    try:
        return True if write() else None
    except CacheError:
        return None


def _key(call: str, value: Any, position: int = 1) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError(
        f"{call}() argument {position} must be read-only bytes-like object, not {type(value).__name__}"
    )


def _int(call: str, value: Any, position: int = 3) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{call}() argument {position} must be int, not {type(value).__name__}")
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError("Python int too large to convert to C long")
    return int(value)


def _expires(call: str, value: Any) -> float:
    """Seconds. A negative number is a time that has passed, as there."""
    seconds = _int(call, value)
    return seconds if seconds >= 0 else 1e-9


def _bytes(number: int) -> bytes:
    """64 bits of it, which wrap around as in C."""
    return (number % _WIDTH).to_bytes(8, "little")


membership.on_join.append(lambda _member: _opened.clear())
