"""The common task in as few system calls as it takes: open, lock, look, read, run, unlink, close.

Common is a small file of ours that is due, never failed, and has nobody else at it. Whatever is not goes the
long way (spooler/claim.py), which sees why. Names are looked up relative to a descriptor of the directory.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Final

from ipcmules.spooler import claim, codec
from ipcmules.spooler.directory import problem_below

#: Mode of a task that never failed: a regular file, 0600. One that failed has 0700, and goes the long way.
_MODE: Final = 0o100600
#: A file that is not longer is read at once.
_LONGEST: Final = codec.HEADER + codec.MOST
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOCK: Final = fcntl.LOCK_EX | fcntl.LOCK_NB

_open, _close, _fstat, _read, _unlink = os.open, os.close, os.fstat, os.read, os.unlink
_lockf, _unpack, _now = fcntl.lockf, codec.unpack, time.time

#: A file with the lock that this process has, its status, arguments and body.
Taken = tuple[int, os.stat_result, dict[bytes, bytes], bytes]


class Quick:
    """Takes tasks of one directory. One thread uses it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = -1
        self._uid = os.geteuid()
        self.renew()

    @property
    def directory(self) -> int:
        """A descriptor of the directory, -1 if there is none."""
        return self._directory

    def renew(self) -> None:
        """Open the directory again: it may have been removed and made anew."""
        before = self._directory
        try:
            self._directory = _open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._directory = -1
        if before >= 0:
            _close(before)

    def close(self) -> None:
        """Close the directory."""
        if self._directory >= 0:
            _close(self._directory)
            self._directory = -1

    def take(self, name: str, seen: bool) -> Taken | str | None:
        """Lock and read a task. claim.GONE or claim.BUSY where it is; None: not the common case, take the
        long way.

        seen: it was there a moment ago, in the directory as it is. Else nothing is said that may be wrong.
        """
        if "/" in name and problem_below(self._path, os.path.dirname(name)):
            return None  # others can write to the directory of its priority
        if self._directory < 0:
            self.renew()
            if self._directory < 0:
                return None
        try:
            file = _open(name, _FLAGS, dir_fd=self._directory)
        except FileNotFoundError:
            if not seen and not _fstat(self._directory).st_nlink:
                self.renew()  # the directory was removed, and made again
            return claim.GONE if seen else None
        except OSError:
            return None
        try:
            try:
                _lockf(file, _LOCK)
            except (BlockingIOError, PermissionError):
                _close(file)
                return claim.BUSY if seen else None
            status = _fstat(file)
            size = status.st_size
            # After the lock: it may have been run, put off or given up since it was opened; whoever renames a
            # task changes its mode before (spooler/dead_tasks.py).
            if (
                status.st_nlink
                and status.st_mode == _MODE
                and size <= _LONGEST
                and status.st_mtime <= _now()
                and status.st_uid == self._uid
            ):
                data = _read(file, size)
                arguments, end = _unpack(data)
                claim.hold(f"{self._path}/{name}")
                return file, status, arguments, data[end:]
        except (OSError, codec.Malformed):
            pass
        except BaseException:
            _close(file)
            raise
        _close(file)
        return None

    def give_back(self, name: str, file: int) -> None:
        """Leave it as it was."""
        claim.unhold(f"{self._path}/{name}")
        _close(file)

    def done(self, name: str, file: int) -> None:
        """It succeeded: remove it. Raises OSError if the file is there and cannot be removed."""
        try:
            _unlink(name, dir_fd=self._directory)
        except FileNotFoundError:
            pass  # moved or removed by hand meanwhile
        finally:
            claim.unhold(f"{self._path}/{name}")
            _close(file)
