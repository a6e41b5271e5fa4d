"""Waiting for tasks of spool directories: one inotify descriptor and one thread, however many wait.

Each task's own file is watched (its inode): it changes when a task fails, moves when it dies, and goes when
it is over. So a busy directory wakes nobody, and functions that keep no results can be waited for, too. Where
the kernel gives no watch, who waits looks again by himself, at growing pauses.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from inotify_simple import Event, INotify, flags

from ipcmules.kernel import unpatched, unpatched_polls
from ipcmules.kernel.inotify import open_inotify

#: A name that goes changes its inode's count of links (IN_ATTRIB, inotify(7)).
_MASK = flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF | flags.DONT_FOLLOW
#: The thread ends when nobody has waited for so many seconds.
_LINGER = 5.0

Wake = Callable[[], None]


class Watcher:
    """Calls functions when a task's file changes. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = unpatched.Lock()
        self._inotify: INotify | None = None
        #: By watch: what to call. Only under the lock.
        self._wakes: dict[int, list[Wake]] = {}

    def add(self, path: str, wake: Wake) -> int:
        """Have `wake` called at each change of the file at path, from the watcher's thread.

        Returns what remove() takes. Raises OSError: FileNotFoundError where it is gone, others where the
        kernel gives no watch.
        """
        with self._lock:
            if self._inotify is None:
                self._inotify = open_inotify()
                unpatched.thread(self._run, "ipcmules-tasks", (self._inotify,)).start()
            watch: int = self._inotify.add_watch(path, _MASK)
            self._wakes.setdefault(watch, []).append(wake)
            return watch

    def remove(self, watch: int, wake: Wake) -> None:
        """Call it no more."""
        with self._lock:
            wakes = self._wakes.get(watch)
            if wakes is None or wake not in wakes:
                return
            wakes.remove(wake)
            if not wakes:
                del self._wakes[watch]
                try:
                    assert self._inotify is not None
                    self._inotify.rm_watch(watch)
                except OSError:
                    pass  # the file is gone, and its watch went with it

    def _run(self, inotify: INotify) -> None:
        poll = unpatched_polls.poll()
        poll.register(inotify.fileno(), select.POLLIN)
        idle_since = time.monotonic()
        while True:
            ready = poll.poll(_LINGER * 1000)
            events = inotify.read(timeout=0) if ready else []
            with self._lock:
                for wake in self._woken(events):
                    wake()
                if self._wakes or events:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since >= _LINGER:
                    inotify.close()
                    self._inotify = None
                    return

    def _woken(self, events: list[Event]) -> list[Wake]:
        if any(mask & flags.Q_OVERFLOW for _watch, mask, _cookie, _name in events):
            return [wake for wakes in self._wakes.values() for wake in wakes]
        changed = {watch for watch, _mask, _cookie, _name in events}
        return [wake for watch in changed for wake in self._wakes.get(watch, ())]


watcher = Watcher()


def _after_fork() -> None:
    """The thread stayed in the parent; so does what is watched."""
    global watcher
    watcher = Watcher()


os.register_at_fork(after_in_child=_after_fork)
