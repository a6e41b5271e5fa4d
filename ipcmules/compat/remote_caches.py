"""A cache of another server, NAME@ADDRESS, with the calls that compat/caching.py makes of one of this bus's.

As in uWSGI, what cannot be reached, or does not answer within the seconds of its socket-timeout, has nothing,
and takes nothing.
"""

from __future__ import annotations

import math
from typing import NoReturn

from ipcmules.bus import log
from ipcmules.compat import state
from ipcmules.compat.absent import Absent
from ipcmules.errors import CacheFull
from ipcmules.wire import cached, signatures

#: uWSGI's socket-timeout, seconds.
_PATIENCE = 4.0


class RemoteCache:
    """See the module."""

    def __init__(self, name: str) -> None:
        """name: NAME@HOST:PORT, or NAME@PATH; without a NAME the first one that is there."""
        cache, _, self._address = name.partition("@")
        self._cache = cache.encode()
        config = state.config()
        file = config.socket_key_file if config is not None else ""
        self._key = signatures.read_key(file) if file else b""

    def _ask(self, command: bytes, key: bytes = b"", value: bytes = b"", expires: float = 0) -> bytes | None:
        variables = {b"cmd": command, b"cache": self._cache}
        if command != b"clear":
            variables[b"key"] = key
        if value:
            variables[b"size"] = b"%d" % len(value)
        if expires:
            variables[b"expires"] = b"%d" % math.ceil(expires)
        try:
            return cached.ask(self._address, variables, value, self._key, _PATIENCE)
        except (OSError, ValueError) as error:
            log.event("warning", f"the cache {self._cache.decode()}@{self._address}: {error}")
            return None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if it is not there."""
        return self._ask(b"get", key) or None

    def exists(self, key: bytes) -> bool:
        """True if the key is there."""
        return self._ask(b"exists", key) is not None

    def add(self, key: bytes, value: bytes, expires: float = 0) -> bool:
        """Write a value if the key is not there. True if it was written."""
        return self._ask(b"set", key, value, expires) is not None

    def set(self, key: bytes, value: bytes, expires: float = 0) -> None:
        """Write a value. Raises CacheFull where it was not taken."""
        if self._ask(b"update", key, value, expires) is None:
            raise CacheFull(f"the cache {self._cache.decode()}@{self._address} did not take a value")

    def delete(self, key: bytes) -> bool:
        """Remove a key. True if it was there."""
        return self._ask(b"del", key) is not None

    def clear(self) -> bool:
        """Remove everything. True if it was done."""
        return self._ask(b"clear") is not None


def no_number(call: str) -> NoReturn:
    """uWSGI's own call overwrites the number: its protocol has no addition."""
    raise Absent(f"uwsgi.{call}() of a cache of another server cannot be: its protocol knows no numbers")
