"""The signature of a task that travels over a socket: HMAC-SHA256 with a key that both sides share.

Specified in docs/formats-wire.md. Knows the wire; nothing of a bus.
"""

from __future__ import annotations

import os

from ipcmules.errors import ConfigError
from ipcmules.kernel.exhaustion import importing
from ipcmules.wire import packets

SIGNATURE = b"ipcmules_signature"


def sign(variables: dict[bytes, bytes], key: bytes) -> dict[bytes, bytes]:
    """The variables with their signature."""
    return {**variables, SIGNATURE: _digest(variables, key)}


def take(variables: dict[bytes, bytes], key: bytes) -> bool:
    """Take the signature out of the variables. True if there was a right one."""
    with importing:
        import hmac

    given = variables.pop(SIGNATURE, b"")
    return bool(key and given) and hmac.compare_digest(given, _digest(variables, key))


def _digest(variables: dict[bytes, bytes], key: bytes) -> bytes:
    with importing:
        import hmac

    return hmac.digest(key, packets.pack_vars(variables), "sha256").hex().encode()


def read_key(path: str) -> bytes:
    """The shared key: what is in the file, without spaces around. Raises ConfigError, OSError."""
    with open(path, "rb") as file:
        key = file.read(65536).strip()
        found = os.fstat(file.fileno())
    if len(key) < 16:
        raise ConfigError(
            f"the key in {path} has {len(key)} bytes: give at least 16, for example "
            f"`openssl rand -hex 32 > {path}`"
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"the key file {path} belongs to uid {found.st_uid}, who knows the key: make one of your own"
        )
    if found.st_mode & 0o077:
        raise ConfigError(f"the key file {path} can be read by others: chmod 600 {path}")
    return key
