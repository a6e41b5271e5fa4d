"""The loops of the cache's measure, the same for every side: one call an entry, over 1,000 keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

KEYS = [b"key:%d" % number for number in range(1000)]


def sets(write: Callable[[bytes, bytes], Any], size: int, count: int) -> float:
    value = bytes(size)
    start = time.monotonic()
    for number in range(count):
        write(KEYS[number % 1000], value)
    return time.monotonic() - start


def gets(read: Callable[[bytes], Any], size: int, count: int) -> float:
    start = time.monotonic()
    for number in range(count):
        if len(read(KEYS[number % 1000])) != size:
            raise AssertionError(f"{KEYS[number % 1000]!r} is not what was written")
    return time.monotonic() - start
