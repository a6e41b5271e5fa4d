"""The signature of a task that travels over a socket: HMAC-SHA256 with a key that both sides share.

Specified in docs/formats-wire.md. Knows the wire; nothing of a bus.
"""

from __future__ import annotations

import os

from ipcmules import wire
from ipcmules.errors import ConfigError

SIGNATURE = b"ipcmules_signature"


def sign(variables: dict[bytes, bytes], key: bytes) -> dict[bytes, bytes]:
    """The variables with their signature."""
    return {**variables, SIGNATURE: _digest(variables, key)}


def take(variables: dict[bytes, bytes], key: bytes) -> bool:
    """Take the signature out of the variables. True if there was a right one."""
    import hmac

    given = variables.pop(SIGNATURE, b"")
    return bool(key and given) and hmac.compare_digest(given, _digest(variables, key))


def _digest(variables: dict[bytes, bytes], key: bytes) -> bytes:
    import hmac

    return hmac.digest(key, wire.pack_vars(variables), "sha256").hex().encode()


def read_key(path: str) -> bytes:
    """The shared key: what is in the file, without spaces around. Raises ConfigError, OSError."""
    with open(path, "rb") as file:
        key = file.read(65536).strip()
        mode = os.fstat(file.fileno()).st_mode
    if len(key) < 16:
        raise ConfigError(
            f"the key in {path} has {len(key)} bytes: give at least 16, for example "
            f"`openssl rand -hex 32 > {path}`"
        )
    if mode & 0o077:
        raise ConfigError(f"the key file {path} can be read by others: chmod 600 {path}")
    return key
