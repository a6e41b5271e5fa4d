"""The master's event loop: descriptors, signals and timers. Sleeps until something is due.

Knows nothing of buses. Signals arrive through the wake-up descriptor (signal.set_wakeup_fd), so callbacks
never run inside a Python signal handler. A callback that the system refuses something (a descriptor, memory,
a process: ipcmules/exhaustion.py) is called again a moment later: the bus outlives the shortage.
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

from ipcmules.bus import log
from ipcmules.kernel import exhaustion, lines

Callback = Callable[[], object]

#: How long what was refused is left alone, seconds: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
#: How often lines of the log are tried again that nobody read, seconds.
_DRAIN = 0.5
#: How often a shortage is mentioned, seconds.
_SAY_AGAIN = 60.0

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
        #: Descriptors that are not looked at for a moment, with what is watched, and until when.
        self._paused: dict[int, tuple[int, Callback, Timer]] = {}
        self._draining = False
        self._pause = _FIRST_PAUSE
        self._refused_at = 0.0
        self._said: dict[int, float] = {}
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self.watch(self._wake_reader, self._run_signals)

    def watch(self, descriptor: int, callback: Callback, events: int = READ) -> None:
        """Call back whenever the descriptor is ready; one for which it is refused something stays ready."""
        self._selector.register(descriptor, events, callback)

    def forget(self, descriptor: int) -> None:
        """Undo watch()."""
        paused = self._paused.pop(descriptor, None)
        if paused is not None:
            paused[2].cancel()
            return
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

    def attempt(self, callback: Callback) -> None:
        """Call now; if the system refuses it something, again a moment later, from its beginning."""
        try:
            callback()
        except OSError as error:
            self.later(self._see_refusal(error), lambda: self.attempt(callback))

    def run_once(self) -> None:
        """Wait for the next event, and run what is due."""
        for key, _events in self._selector.select(self._timeout()):
            # A callback earlier in this round may have forgotten this descriptor.
            if self._selector.get_map().get(key.fd) is key:
                self._run_ready(key)
        self._run_timers()
        if lines.waits() and not self._draining:
            self._draining = True
            self.later(_DRAIN, self._drain)

    def _drain(self) -> None:
        """Nobody else here looks whether somebody reads the log again."""
        self._draining = False
        log.drain()

    def _run_ready(self, key: selectors.SelectorKey) -> None:
        try:
            key.data()
        except OSError as error:
            seconds = self._see_refusal(error)
            if self._selector.get_map().get(key.fd) is not key:
                return
            self._selector.unregister(key.fd)
            timer = self.later(seconds, lambda: self._resume(key.fd))
            self._paused[key.fd] = key.events, key.data, timer

    def _resume(self, descriptor: int) -> None:
        events, callback, _timer = self._paused.pop(descriptor)
        self._selector.register(descriptor, events, callback)

    def _see_refusal(self, error: OSError) -> float:
        """How long to wait after a refusal, longer if they go on; the error goes on if it is none."""
        if not exhaustion.refused(error):
            raise error
        now = time.monotonic()
        soon = now - self._refused_at < 2 * _LONGEST_PAUSE
        self._pause = min(1.5 * self._pause, _LONGEST_PAUSE) if soon else _FIRST_PAUSE
        self._refused_at = now
        number = exhaustion.number_of(error)
        if now - self._said.get(number, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[number] = now
            text = exhaustion.explain(error, "the master was refused something, and tries again")
            log.event("error", f"{text} (said once a minute)")
        return self._pause

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
                self.attempt(callback)

    def _run_signals(self) -> None:
        try:
            numbers = os.read(self._wake_reader, 4096)
        except BlockingIOError:
            return
        for number in sorted(set(numbers)):
            callback = self._signals.get(number)
            if callback is not None:
                self.attempt(callback)


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    """The Python handler: the byte in the wake-up descriptor is all that is needed."""
