"""The texts of --cache and --cache2, and what they describe."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ipcmules.errors import ConfigError
from ipcmules.options import keyvals

#: Names of caches: no dot, so that the name of a file is read in one way (docs/formats-state.md).
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SIZE = re.compile(r"(\d{1,15})([KMGkmg]?)i?[Bb]?\Z")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
#: Bytes: the smallest and the largest file of a cache.
SMALLEST, LARGEST = 256 * 1024, 1 << 46

#: uWSGI's: bytes of a block, which is the longest value, and of the longest key.
_BLOCK, _KEY = 65536, 2048


@dataclass(frozen=True)
class CacheSpec:
    """A cache of a bus. It travels as JSON.

    items: most of them, 0 for no limit but the size. size: bytes of its file, 0: chosen at the start. full:
    'evict' or 'refuse'. store: the file that outlives the bus, '' for shared memory. expires: seconds that
    an entry lasts where nothing is said. largest: bytes of the longest value, 0: what fits. keysize: bytes
    of the longest key. initial: what a number that is not there begins with. expiring: False: nothing does.
    """

    name: str
    items: int = 0
    size: int = 0
    full: str = "evict"
    store: str = ""
    expires: float = 0.0
    largest: int = 0
    keysize: int = 65535
    initial: int = 0
    expiring: bool = True

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigError(
                f"cache name {self.name!r} is not allowed: use 1 to 64 letters, digits, '_' or '-'"
            )
        if self.full not in ("evict", "refuse"):
            raise ConfigError(f"full={self.full!r} is not known: a cache that is full can evict or refuse")
        if self.size and not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"size={self.size}: give 256K or more, or leave it out")
        if self.items < 0 or self.expires < 0 or self.largest < 0 or not 1 <= self.keysize <= 65535:
            raise ConfigError(f"cache {self.name!r} has a number that cannot be: give 0 or more")


@dataclass(frozen=True)
class CacheItem:
    """An entry that caches begin with. It travels as JSON.

    cache: the name of one, '' for all. value: the text; of one with a file the file's content counts, which
    is compressed if gzip is set.
    """

    cache: str
    key: str
    value: str = ""
    file: str = ""
    gzip: bool = False


def cache(text: str) -> CacheSpec:
    """A CacheSpec from --cache's value: 'name=sessions,items=100000,size=64M', or uWSGI's plain number."""
    if text.strip().isascii() and text.strip().isdigit():
        return cache2(f"name=default,items={text.strip()}")
    return _described(text, CacheSpec("default"), _OURS)


def cache2(text: str) -> CacheSpec:
    """A CacheSpec from --cache2's value, as uWSGI has it; it needs name and items, as there."""
    usual = CacheSpec("default", full="refuse", largest=_BLOCK, keysize=_KEY)
    found = _described(text, usual, _UWSGIS | _OURS)
    if not re.search(r"(^|,)\s*name\s*=", text) or not found.items:
        raise ConfigError(f"{text!r} does not say {'items' if 'name' in text else 'name'}: add {_EXAMPLE}")
    return found


def item(text: str) -> CacheItem:
    """A CacheItem from --add-cache-item's value: '[CACHE ]KEY=VALUE', cut at the first space, as in uWSGI."""
    cache_name, space, rest = text.partition(" ")
    key, equals, value = (rest if space else text).partition("=")
    if not equals or not key or not value:
        raise ConfigError(f"{text!r} is no entry of a cache: write [CACHE ]KEY=VALUE")
    return CacheItem(cache_name if space else "", key, value)


def file_item(text: str, gzip: bool = False) -> CacheItem:
    """A CacheItem from --load-file-in-cache's value: '[CACHE ]FILE', whose key is FILE as it is written."""
    cache_name, space, rest = text.partition(" ")
    key = rest if space else text
    if not key:
        raise ConfigError(f"{text!r} names no file: write [CACHE ]FILE")
    return CacheItem(cache_name if space else "", key, file=key, gzip=gzip)


#: What a cache2 of several machines has beside: uWSGI sends changes to the others.
REMOTE = frozenset({"node", "nodes", "sync", "udp", "udp_servers", "udp_server", "udpservers", "udpserver"})
_EXAMPLE = "name=sessions,items=1000"


def _described(text: str, found: CacheSpec, known: dict[str, Callable[[str], dict[str, Any]]]) -> CacheSpec:
    blocks = 1
    values: dict[str, Any] = {"name": found.name}
    for key, value in keyvals.pairs(text, _EXAMPLE):
        if key in REMOTE:
            raise ConfigError(f"{key} in {text!r}: a cache is this machine's alone here: leave it out")
        if key not in known:
            raise ConfigError(f"{key!r} in {text!r} is not known: a cache has {', '.join(sorted(known))}")
        if key == "blocks":
            blocks = _number(value)
        values |= known[key](value)
    if values.pop("bitmap", False):
        values["largest"] = values.get("largest", found.largest) * max(blocks, values.get("items", 1))
    return replace(found, **values)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ConfigError(f"{text!r} is not a whole number, 0 or more: give one")
    return int(text)


def size(text: str) -> int:
    """Bytes, of a text such as 64M. Raises ConfigError."""
    found = _SIZE.match(text)
    if found is None:
        raise ConfigError(f"{text!r} is no size: give bytes, or a number with K, M or G, such as 64M")
    return int(found[1]) * _UNITS[found[2].lower()]


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e10:
        raise ConfigError(f"{text!r} is not a time: give seconds, 0 or more")
    return value


def _nothing(_text: str) -> dict[str, Any]:
    return {}


_OURS: dict[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda text: {"name": text},
    **dict.fromkeys(("items", "maxitems", "max_items"), lambda text: {"items": _number(text)}),
    "size": lambda text: {"size": size(text)},
    "full": lambda text: {"full": text},
    "store": lambda text: {"store": text},
    "expires": lambda text: {"expires": _seconds(text)},
    "largest": lambda text: {"largest": size(text)},
    **dict.fromkeys(("keysize", "key_size"), lambda text: {"keysize": _number(text)}),
}
#: What uWSGI has besides. Expired entries are never seen here, room for one is made by evicting, and there is
#: no hash table.
_UWSGIS: dict[str, Callable[[str], dict[str, Any]]] = {
    "math_initial": lambda text: {"initial": int(text) if text.lstrip("-").isdigit() else 0},
    "no_expire": lambda _text: {"expiring": False},
    "blocksize": lambda text: {"largest": _number(text)},
    "bitmap": lambda _text: {"bitmap": True},
    **dict.fromkeys(("purge_lru", "lru", "clear_on_full"), lambda _text: {"full": "evict"}),
    **dict.fromkeys(
        (
            *("blocks", "hash", "hashsize", "hash_size", "store_sync", "storesync", "store_delete"),
            *("storedelete", "lastmod", "ignore_full", "lazy_expire", "lazy", "sweep_on_full"),
        ),
        _nothing,
    ),
}
