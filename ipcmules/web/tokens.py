"""The secret that whoever looks at the page must have: a file of mode 0600 in the bus's state directory.

So it is the same after a restart, and another process of the user can tell it (`ipcmules web --token`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from ipcmules.bus.places import Places, private_state
from ipcmules.errors import AccessError, ConfigError

_FILE = "web.token"
#: A shorter one of the user's own is refused, characters.
SHORTEST = 20


def token(where: Places, path: str = "") -> str:
    """The token of a bus, which is made where there is none yet.

    path: a file with one of the user's own. Raises ConfigError for one that cannot be used or that others can
    read, AccessError where none can be made.
    """
    if path:
        return read(path)
    made = os.path.join(private_state(where), _FILE)
    if not os.path.lexists(made):
        _make(made)
    return read(made)


def _make(path: str) -> None:
    """It appears whole or not at all; where two processes make one, the first one's stays."""
    temporary = f"{path}.{secrets.token_hex(8)}"
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, f"{secrets.token_urlsafe(32)}\n".encode())
        finally:
            os.close(file)
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise AccessError(f"{path} cannot be made: {error.strerror}: make room there") from error


def read(path: str) -> str:
    """The token in a file. Raises as token()."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"the token {path} cannot be read: {error.strerror}: correct the path") from error
    try:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode) or seen.st_mode & 0o077:
            raise ConfigError(f"the token {path} is open to others, or no file: chmod 600 {path}")
        text = os.read(file, 4096).decode("ascii", "replace").strip()
    finally:
        os.close(file)
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            f"the token in {path} cannot be used: write {SHORTEST} or more letters, digits, '-' or '_', or "
            "remove the file, and another is made"
        )
    return text
