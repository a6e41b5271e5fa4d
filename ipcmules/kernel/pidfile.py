"""The file with a process's pid, for who sends signals by hand: opened early, as root may, written later.

Knows the file system. Nothing of a bus depends on the file: a bus is alive while its lock is held.
"""

from __future__ import annotations

import os
import stat

from ipcmules.errors import AccessError, ConfigError

#: No symbolic link, whoever made it, leads root to another file; and a FIFO holds nobody up.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PidFile:
    """One file. path: absolute."""

    def __init__(self, path: str) -> None:
        """Open it, and make it if it is missing.

        Raises AccessError if that cannot be, ConfigError if what is there is no pid file.
        """
        self._path = path
        self._written = False
        self._file = _open(path)

    def write(self) -> None:
        """Write this process's pid. Raises AccessError if the file was removed and cannot be made again."""
        if not self._is_there():
            os.close(self._file)
            self._file = -1
            self._file = _open(self._path)
        text = f"{os.getpid()}\n".encode()
        # In this order a reader finds a whole number at each moment, and perhaps a blank line behind it.
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))
        self._written = True

    def remove(self) -> None:
        """Remove it, or empty it where this user may not, as after dropping from root."""
        if self._written and self._is_there():
            try:
                os.unlink(self._path)
            except OSError:
                os.ftruncate(self._file, 0)
        self._written = False

    def close(self) -> None:
        """Give it up: one that was made and never written to goes."""
        if self._file < 0:
            return
        if self._is_there() and not os.fstat(self._file).st_size:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # it is not this user's to remove, and says nothing
        os.close(self._file)
        self._file = -1

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._file))
        except OSError:
            return False


def _open(path: str) -> int:
    try:
        file = os.open(path, _FLAGS, 0o644)
    except OSError as error:
        raise AccessError(
            f"--pidfile {path} cannot be written: {error.strerror}; name a file in a directory of your own "
            "(no symbolic link)"
        ) from error
    found = os.fstat(file)
    # What is written over must be a pid: one slip of the hand would be the end of another file.
    if (
        stat.S_ISREG(found.st_mode)
        and found.st_nlink == 1
        and os.pread(file, 32, 0).strip(b" \n0123456789") == b""
    ):
        return file
    os.close(file)
    raise ConfigError(f"--pidfile {path} is there and holds no pid: remove it, or name another file")
