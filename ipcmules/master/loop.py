"""The master's event loop: descriptors, signals and timers. Sleeps until something is due.

Knows nothing of buses. Signals arrive through the wake-up descriptor (signal.set_wakeup_fd), so callbacks
never run inside a Python signal handler.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

Callback = Callable[[], None]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Timer:
    """A callback that is due; cancel() takes it back."""

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Don't call it."""
        self.callback = None


class Loop:
    """Create it in the main thread; close() gives the signal handlers back."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._signals: dict[int, Callback] = {}
        self._handlers: dict[int, Any] = {}
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self.watch(self._wake_reader, self._run_signals)

    def watch(self, descriptor: int, callback: Callback, events: int = READ) -> None:
        """Call back whenever the descriptor is ready."""
        self._selector.register(descriptor, events, callback)

    def forget(self, descriptor: int) -> None:
        """Undo watch()."""
        self._selector.unregister(descriptor)

    def on_signal(self, signum: int, callback: Callback) -> None:
        """Call back when the signal came (once for several that came close together)."""
        self._signals[signum] = callback
        self._handlers[signum] = signal.signal(signum, _nothing)

    def later(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, after that many seconds."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def run_once(self) -> None:
        """Wait for the next event, and run what is due."""
        for key, _events in self._selector.select(self._timeout()):
            # A callback earlier in this round may have forgotten this descriptor.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        self._run_timers()

    def close(self) -> None:
        """Give back the signal handlers and close the loop's own descriptors."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._selector.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _run_signals(self) -> None:
        try:
            numbers = os.read(self._wake_reader, 4096)
        except BlockingIOError:
            return
        for number in sorted(set(numbers)):
            callback = self._signals.get(number)
            if callback is not None:
                callback()


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    """The Python handler: the byte in the wake-up descriptor is all that is needed."""
