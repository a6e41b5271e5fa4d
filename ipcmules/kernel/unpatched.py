"""Threads and locks of the operating system, whatever gevent has put in their place.

gevent.monkey.patch_all() makes greenlets of threads and takes select.epoll away. What ipcmules itself waits
in must go on beside the application's greenlets, so it takes the real ones from here: as they are when this
is imported, and where gevent was faster, what it has saved. Knows gevent by name, and does not need it.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = [
    "Condition",
    "Lock",
    "RLock",
    "Thread",
    "fork",
    "get_ident",
    "is_patched",
    "local",
    "sleep",
    "start_new_thread",
    "thread",
]


def is_patched(module: str = "threading") -> bool:
    """True if gevent has replaced what a module of the standard library has."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))


def is_eventlet() -> bool:
    """True if eventlet has replaced what this needs: it hides even os.read and select.epoll."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and any(map(patcher.is_monkey_patched, ("os", "select", "thread")))


def original(module: Any, name: str) -> Any:
    """What a module had before it was patched."""
    if is_patched(module.__name__):
        return sys.modules["gevent.monkey"].get_original(module.__name__, name)
    return getattr(module, name)


if TYPE_CHECKING:
    from _thread import RLock, get_ident, start_new_thread
    from os import fork as _fork
    from threading import Lock, local
    from time import sleep
else:
    Lock = original(_thread, "allocate_lock")
    RLock = original(_thread, "RLock")
    local = original(_thread, "_local")
    get_ident = original(_thread, "get_ident")
    start_new_thread = original(_thread, "start_new_thread")
    sleep = original(time, "sleep")
    _fork = original(os, "fork")


def fork() -> int:
    """os.fork(), and in the child gevent's loop is made anew. gevent's own fork watches the child besides."""
    pid = _fork()
    if pid == 0 and is_patched("os"):
        sys.modules["gevent"].reinit()
    return pid


class Condition:
    """threading.Condition, as much of it as is used here: that one makes its locks by a patched name."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._waiters: deque[Any] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Free the lock until somebody notifies, seconds at most. False if nobody did."""
        waiter = Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        state = self._lock._release_save()  # type: ignore[attr-defined] # as threading.Condition
        notified = False
        try:
            notified = waiter.acquire(True, -1 if timeout is None else max(timeout, 0))
        finally:
            self._lock._acquire_restore(state)  # type: ignore[attr-defined]
            if not notified and waiter in self._waiters:
                self._waiters.remove(waiter)
        return notified

    def wait_for(self, there: Callable[[], object], timeout: float) -> bool:
        """Wait until there() is true, seconds at most. Returns whether it is."""
        deadline = time.monotonic() + timeout
        while not there():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.wait(left)
        return True

    def notify_all(self) -> None:
        """Wake all who wait."""
        while self._waiters:
            self._waiters.popleft().release()


class _Bare:
    """A thread of the system where threading.Thread starts greenlets: as much of it as is used here."""

    def __init__(self, target: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._target = target
        self._args = args
        self._ended = Lock()
        self.ident: int | None = None

    def start(self) -> None:
        """See threading.Thread."""
        self._ended.acquire()
        try:
            self.ident = start_new_thread(self._run, ())
        except BaseException:
            self._ended.release()
            raise

    def _run(self) -> None:
        self.ident = get_ident()
        try:
            self._target(*self._args)
        finally:
            self._ended.release()

    def is_alive(self) -> bool:
        """See threading.Thread."""
        return bool(self._ended.locked())

    def join(self, timeout: float | None = None) -> None:
        """See threading.Thread."""
        if self._ended.acquire(True, -1 if timeout is None else timeout):
            self._ended.release()


class _Named(threading.Thread):
    """A thread that gevent may patch away under it while it runs: then its entry is not where it was."""

    def _delete(self) -> None:
        try:
            super()._delete()  # type: ignore[misc] # threading.py removes its entry in it
        except KeyError:
            pass


Thread = threading.Thread | _Bare


def thread(target: Callable[..., object], name: str, args: tuple[Any, ...] = ()) -> Thread:
    """A daemon thread of the system, not started yet. start() raises RuntimeError where there can be none."""
    if is_patched():
        return _Bare(target, args)
    return _Named(target=target, name=name, args=args, daemon=True)
