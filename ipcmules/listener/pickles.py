"""Tasks that a spooler would unpickle: from a socket they need a signature, else they go to dead/ unread.

Whoever can have a pickle loaded can run anything. The signature is HMAC-SHA256 over the packed variables, in
the variable ipcmules_signature (docs/formats-wire.md). Knows the wire and files.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import time

from ipcmules import wire

SIGNATURE = b"ipcmules_signature"

#: Variables whose values uWSGI's decorators and uwsgi-tasks unpickle.
_PICKLED = frozenset({b"args", b"kwargs", b"setup"})


def sign(variables: dict[bytes, bytes], key: bytes) -> dict[bytes, bytes]:
    """The variables with their signature."""
    return {**variables, SIGNATURE: _digest(variables, key)}


def take_signature(variables: dict[bytes, bytes], key: bytes) -> bool:
    """Take the signature out of the variables. True if there was a right one."""
    given = variables.pop(SIGNATURE, b"")
    return bool(key and given) and hmac.compare_digest(given, _digest(variables, key))


def _digest(variables: dict[bytes, bytes], key: bytes) -> bytes:
    return hmac.digest(key, wire.pack_vars(variables), "sha256").hex().encode()


def would_be_loaded(variables: dict[bytes, bytes]) -> bool:
    """True if somebody would unpickle a value: by its name, or because it looks like a pickle."""
    return bool(_PICKLED & variables.keys()) or any(_looks_pickled(each) for each in variables.values())


def _looks_pickled(value: bytes) -> bool:
    # Protocols 2 to 5 begin with their number, and every pickle ends with a dot.
    return value[:1] == b"\x80" and value[1:2] in b"\x02\x03\x04\x05" and value.endswith(b".")


def bury(variables: dict[bytes, bytes], directory: str) -> str:
    """Put a task into dead/ of a spool directory, with the reason beside it; returns its path."""
    dead = os.path.join(directory, "dead")
    os.makedirs(dead, mode=0o750, exist_ok=True)
    now = time.time()
    name = (
        f"uwsgi_spoolfile_on_{socket.gethostname()}_{os.getpid()}_1_{secrets.randbelow(2**31)}_"
        f"{int(now)}_{int(now % 1 * 1e6)}"
    )
    path = os.path.join(dead, name)
    packed = wire.pack_vars(variables)
    _write(path, wire.pack_header(wire.SPOOL, len(packed)) + packed)
    reason = "It came over a socket without a valid signature, and its arguments are pickled: not read.\n"
    _write(f"{path}.reason", reason.encode())
    return path


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
