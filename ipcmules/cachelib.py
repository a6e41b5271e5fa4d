"""A cache for Flask and whatever else takes one of cachelib's: Flask-Caching, Flask-Session.

    from ipcmules.cachelib import Cache
    sessions = Cache("sessions")

Knows the flat functions and cachelib alone.
"""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cachelib.base import BaseCache

from ipcmules.api.caches import cache
from ipcmules.errors import CacheError, CacheFull

if TYPE_CHECKING:
    from ipcmules.caches.cache import Cache as Shared

#: Seconds of an entry that never expires, whatever the cache itself says.
_FOREVER = 9e9


class Cache(BaseCache):
    """cachelib's interface. Values are pickled; whole numbers are numbers, so inc() is one step.

    name: of one of the bus's caches, or a path, which needs no bus; more is for ipcmules.cache().
    default_timeout: seconds, 0 for never.
    """

    def __init__(
        self, name: str | os.PathLike[str] = "default", default_timeout: int = 300, **more: Any
    ) -> None:
        super().__init__(default_timeout)
        self._name = name
        self._more = more
        self._opened: Shared | None = None

    @property
    def _shared(self) -> Shared:
        if self._opened is None:
            self._opened = cache(self._name, pickled=True, **self._more)
        return self._opened

    def _seconds(self, timeout: int | timedelta | None) -> float:
        """Of a timeout as cachelib has it: 0 is never."""
        return self._normalize_timeout(timeout) or _FOREVER

    def get(self, key: str) -> Any:
        """See BaseCache."""
        return self._shared.get(key)

    def delete(self, key: str) -> bool:
        """See BaseCache."""
        return self._shared.delete(key)

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool | None:
        """See BaseCache."""
        with contextlib.suppress(CacheFull):
            self._shared.set(key, value, self._seconds(timeout))
            return True
        return False

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        """See BaseCache."""
        with contextlib.suppress(CacheFull):
            return self._shared.add(key, value, self._seconds(timeout))
        return False

    def has(self, key: str) -> bool:
        """See BaseCache."""
        return self._shared.exists(key)

    def clear(self) -> bool:
        """See BaseCache."""
        self._shared.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """See BaseCache. None where the value is no number."""
        try:
            return self._shared.incr(key, delta)
        except CacheError:
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """See BaseCache."""
        return self.inc(key, -delta)
