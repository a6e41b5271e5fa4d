"""A timerfd (timerfd_create(2)) in the master's loop, opened when it is first set."""

from __future__ import annotations

import os
from collections.abc import Callable

from ipcmules.kernel import linux
from ipcmules.master.loop.selector import Loop


class TimerFd:
    """Calls ring() at the moment it is set to, on one of the kernel's clocks (time.CLOCK_...)."""

    def __init__(self, loop: Loop, clock: int, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._ring = ring
        self._descriptor = -1

    def set(self, moment: int, sets: bool = False) -> None:
        """As linux.set_timer(), instead of what it was set to before."""
        if self._descriptor < 0:
            self._descriptor = linux.timer(self._clock)
            self._loop.watch(self._descriptor, self._readable)
        linux.set_timer(self._descriptor, moment, sets)

    def close(self) -> None:
        """Ring no more."""
        if self._descriptor >= 0:
            self._loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _readable(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except OSError:
            pass  # ECANCELED: the clock was set; EAGAIN: it was set anew while this was on its way here
        self._ring()
