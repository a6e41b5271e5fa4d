"""The output of a command, line by line: a pipe that the master reads as its loop finds the time."""

from __future__ import annotations

import os
from collections.abc import Callable

from ipcmules.master.loop.selector import Loop

#: Read at once: not so much that many short lines hold up the master, bytes.
_READ = 4096
#: A line longer than this is logged in pieces, bytes.
_LONGEST = 8192
#: When the command has ended: what a pipe can hold (pipe(7)), bytes.
_PIPE = 65536


class Output:
    """One pipe. writer is for the command; close_writer() once the command has it."""

    def __init__(self, loop: Loop, line: Callable[[str], None]) -> None:
        """line(text) is called for each line, without its end."""
        self._loop = loop
        self._line = line
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._rest = b""
        loop.watch(self._reader, self._ready)

    def close_writer(self) -> None:
        """Only the command is to hold the other end."""
        os.close(self.writer)

    def drain(self) -> None:
        """The command has ended: log what it has written. Others may still write to it."""
        for _ in range(_PIPE // _READ):
            if self._reader < 0 or not self._read():
                return

    def close(self) -> None:
        """Read no more."""
        if self._reader < 0:
            return
        self._loop.forget(self._reader)
        os.close(self._reader)
        self._reader = -1
        if self._rest:
            self._say(self._rest)
            self._rest = b""

    def _ready(self) -> None:
        self._read()

    def _read(self) -> bool:
        """Read once. Returns False if there was nothing."""
        try:
            data = os.read(self._reader, _READ)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for each in lines:
            self._say(each)
        while len(self._rest) > _LONGEST:
            self._say(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]
        return True

    def _say(self, line: bytes) -> None:
        self._line(line.rstrip(b"\r").decode(errors="backslashreplace"))
