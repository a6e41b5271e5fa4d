"""Files that are there whole or not at all: written under another name, then renamed (rename(2) is atomic).

Knows the file system and nothing of a bus.
"""

from __future__ import annotations

import os

from ipcmules.kernel.interruption import opened

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW


def replace(path: str, *parts: bytes, temporary: str = "") -> None:
    """Write a file, mode 0600, or put another in its place, in one step for whoever reads it.

    parts: its content. temporary: the name while it is written, which must not exist, for files that several
    processes write at once. Without it there is one writer, and the name is path with '.new' behind it.
    Raises OSError; then path is as it was and nothing else is left.
    """
    name = temporary or f"{path}.new"
    try:
        with opened(name, _FLAGS | (os.O_EXCL if temporary else os.O_TRUNC)) as file:
            _write(file.fileno(), parts)
        os.rename(name, path)
    except FileExistsError:
        raise
    except BaseException:
        remove(name)
        raise


def _write(file: int, parts: tuple[bytes, ...]) -> None:
    for part in parts:
        done = os.write(file, part)
        while done < len(part):  # a write is short where the disk ends, and at 2 GiB (write(2))
            done += os.write(file, memoryview(part)[done:])


def remove(path: str) -> bool:
    """Remove a file. False if it is not there, or cannot be removed."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
