"""A terminal for tests: pyte shows what a program draws. Import it as `from terminal import Terminal`."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable

import pyte

from support import wait_until

COLUMNS, LINES = 100, 30


class Terminal:
    """A program on a terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "linux", "COLUMNS": str(COLUMNS), "LINES": str(LINES), **environment},
            start_new_session=True,
        )
        os.close(theirs)

    def read(self) -> str:
        """The screen, after what has come by now."""
        while select.select([self._ours], [], [], 0.01)[0]:
            try:
                self._stream.feed(os.read(self._ours, 65536))
            except OSError:
                break
        return "\n".join(self._screen.display)

    def shows(self, condition: Callable[[str], object], what: str) -> str:
        """Wait until the screen shows something."""
        try:
            return wait_until(lambda: text if condition(text := self.read()) else None, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{self.read()}") from None

    def colours(self) -> set[str]:
        """The colours that are on it."""
        return {cell.fg for row in self._screen.buffer.values() for cell in row.values()}

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> int:
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
            os.close(self._ours)
        return code
