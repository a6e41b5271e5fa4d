"""Noticing that whoever embeds the bus is gone: its end of the socket closed, or its process ended.

Both are watched: a fork of the embedding program may hold the socket open for longer than it lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ipcmules.kernel import kill
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.loop.selector import Loop

#: How often the owner is looked at where the kernel gives no pidfd, seconds.
_LOOK = 1.0


def watch(loop: Loop, owner: tuple[int, int], control: int | None, gone: Callable[[], None]) -> None:
    """Call gone() once when control reaches its end of file or the owner (pid, start) ends."""
    _Watch(loop, ProcessId(*owner), control, gone).begin()


class _Watch:
    def __init__(self, loop: Loop, owner: ProcessId, control: int | None, gone: Callable[[], None]) -> None:
        self._loop = loop
        self._owner = owner
        self._control = control
        self._gone = gone
        self._pidfd = -1
        self._said = False

    def begin(self) -> None:
        if self._control is not None:
            self._loop.watch(self._control, self._control_readable)
        if self._owner.pid:
            self._watch_owner()

    def _watch_owner(self) -> None:
        try:
            self._pidfd = kill.open_process(self._owner)
        except ProcessLookupError:
            self._say()
            return
        except OSError:
            self._look()
            return
        self._loop.watch(self._pidfd, self._owner_ended)

    def _owner_ended(self) -> None:
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self._say()

    def _look(self) -> None:
        if self._owner.alive():
            self._loop.later(_LOOK, self._look)
        else:
            self._loop.later(0, self._say)

    def _control_readable(self) -> None:
        assert self._control is not None
        try:
            data = os.read(self._control, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._control)
            self._say()

    def _say(self) -> None:
        if not self._said:
            self._said = True
            self._gone()
