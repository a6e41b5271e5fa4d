"""A cache for Django's settings: what all processes of the bus share, behind Django's own interface.

    CACHES = {"default": {"BACKEND": "ipcmules.django.Cache", "LOCATION": "sessions"}}

LOCATION is the name of one of the bus's caches (--cache), or a path, which needs no bus; OPTIONS has what
ipcmules.cache() takes for a path: items, size, full. Knows the flat functions and Django alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from ipcmules.api.caches import cache
from ipcmules.errors import CacheError, CacheFull

if TYPE_CHECKING:
    from ipcmules.caches.cache import Cache as Shared

#: Seconds of an entry that never expires, whatever the cache itself says.
_FOREVER = 9e9
#: Of OPTIONS, those that are for ipcmules.cache().
_OURS = frozenset({"items", "size", "full"})


class Cache(BaseCache):  # type: ignore[misc] # Django has no types
    """Django's interface. Values are pickled; whole numbers are numbers, so incr() is one step."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = params.get("OPTIONS") or {}
        self._location = location or "default"
        self._how = {key: value for key, value in options.items() if key in _OURS}
        self._opened: Shared | None = None

    @property
    def _shared(self) -> Shared:
        # Django makes the backend when it is first used, perhaps before there is a bus.
        if self._opened is None:
            where = os.fspath(self._location)
            self._opened = cache(where, pickled=True, **(self._how if "/" in where else {}))
        return self._opened

    def _seconds(self, timeout: Any) -> float:
        """Of a timeout as Django has it; 0 for one that is over already."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return _FOREVER if timeout is None else max(float(timeout), 0.0)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """See BaseCache."""
        return self._shared.get(self.make_and_validate_key(key, version=version), default)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """See BaseCache. What a full cache refuses is not there, as with memcached: nor is its old value."""
        key = self.make_and_validate_key(key, version=version)
        seconds = self._seconds(timeout)
        if seconds:
            with contextlib.suppress(CacheFull):
                self._shared.set(key, value, seconds)
                return
        self._shared.delete(key)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See BaseCache."""
        key = self.make_and_validate_key(key, version=version)
        seconds = self._seconds(timeout)
        if not seconds:
            return not self._shared.exists(key)
        with contextlib.suppress(CacheFull):
            return self._shared.add(key, value, seconds)
        return False

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See BaseCache."""
        key = self.make_and_validate_key(key, version=version)
        seconds = self._seconds(timeout)
        return self._shared.touch(key, seconds) if seconds else self._shared.delete(key)

    def delete(self, key: str, version: int | None = None) -> bool:
        """See BaseCache."""
        return self._shared.delete(self.make_and_validate_key(key, version=version))

    def has_key(self, key: str, version: int | None = None) -> bool:
        """See BaseCache."""
        return self._shared.exists(self.make_and_validate_key(key, version=version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """See BaseCache. Of a whole number one step; ValueError if the key is not there."""
        made = self.make_and_validate_key(key, version=version)
        if type(self._shared.get(made)) is not int:
            return super().incr(key, delta, version=version)  # a float, or what is not there
        try:
            return self._shared.incr(made, delta)
        except CacheError as error:
            raise ValueError(str(error)) from error

    def set_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        """See BaseCache. Returns the keys that a full cache refused."""
        for key, value in data.items():
            self.set(key, value, timeout=timeout, version=version)
        refused = timeout is DEFAULT_TIMEOUT or self._seconds(timeout)
        return [key for key in data if refused and not self.has_key(key, version=version)]

    def clear(self) -> None:
        """See BaseCache: everything goes, whatever its version."""
        self._shared.clear()
