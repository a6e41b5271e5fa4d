"""File monitors: they raise an event when a file or directory changes, appears, goes or becomes another one.

Brings together what the kernel says (watches.py), what a path depends on (routes.py), and a slow look of its
own for what the kernel does not tell (sights.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ipcmules.events.specs import MonitorSpec
from ipcmules.master.events import file_states, routes
from ipcmules.master.events.watches import Watches
from ipcmules.master.loop.selector import Loop, Timer

#: Changes are gathered for so long: an editor's write and rename is one event. Seconds.
_GATHER = 0.05
#: How often each path is looked at, whatever the kernel says; where it says nothing. Seconds.
_SLOW, _BLIND = 5.0, 1.0
#: Judging changes takes at most one part in so many of the master's time, with large trees.
_JUDGING = 10
#: Looking goes on for so long at most before the master does something else, seconds...
_SLICE = 0.005
#: ...and takes one part in so many of its time.
_SHARE = 100

_CHANGED, _STRUCTURE = 1, 2


@dataclass(eq=False)
class _Monitor:
    spec: MonitorSpec
    sight: file_states.Sight = None
    blind: bool = False  #: not everything that should be watched can be


class Monitors:
    """All monitors of a bus, by key. Nothing is opened before the first one is added."""

    def __init__(self, loop: Loop, raise_event: Callable[[str], None]) -> None:
        """raise_event(key) is called from the loop, once for changes within 50 ms."""
        self._loop = loop
        self._raise = raise_event
        self._watches = Watches(loop, self._heard)
        self._monitors: dict[str, _Monitor] = {}
        self._pending: dict[str, int] = {}
        self._telling: Timer | None = None
        self._told = 0.0  #: how long the last telling took, seconds
        self._looking: Timer | None = None
        #: Keys that are still to be looked at in this round, and how long the round took, seconds.
        self._round: list[str] = []
        self._took = 0.0

    def add(self, key: str, spec: MonitorSpec) -> None:
        """Watch a path from now on; what the key stood for before is forgotten."""
        monitor = _Monitor(spec)
        self._pending.pop(key, None)
        self._monitors[key] = monitor
        self._arm(key, monitor)
        monitor.sight = file_states.look(spec.path, spec.recursive)
        if self._looking is None or monitor.blind:
            self._look_later(self._period())

    def remove(self, key: str) -> None:
        """Forget a monitor; nothing if there is none."""
        if self._monitors.pop(key, None) is not None:
            self._pending.pop(key, None)
            self._watches.set(key, set())

    def close(self) -> None:
        """Forget all of them."""
        for timer in (self._telling, self._looking):
            if timer is not None:
                timer.cancel()
        self._telling = self._looking = None
        self._monitors.clear()
        self._pending.clear()
        self._watches.close()

    def _arm(self, key: str, monitor: _Monitor) -> None:
        interests, complete = routes.arm(monitor.spec.path, monitor.spec.recursive, self._watches.watch)
        monitor.blind = not complete
        self._watches.set(key, interests)

    # What the kernel says

    def _heard(self, key: str, changed: bool, structure: bool) -> None:
        bits = (_CHANGED if changed else 0) | (_STRUCTURE if structure else 0)
        self._pending[key] = self._pending.get(key, 0) | bits
        if self._telling is None:
            self._telling = self._loop.later(max(_GATHER, self._told * _JUDGING), self._tell)

    def _tell(self) -> None:
        self._telling = None
        began = time.monotonic()
        pending, self._pending = self._pending, {}
        for key, bits in pending.items():
            monitor = self._monitors.get(key)
            if monitor is not None:
                self._judge(key, monitor, bool(bits & _CHANGED), bool(bits & _STRUCTURE))
        self._told = time.monotonic() - began

    def _judge(self, key: str, monitor: _Monitor, changed: bool, structure: bool) -> None:
        if structure:
            self._arm(key, monitor)
        now = file_states.look(monitor.spec.path, monitor.spec.recursive)
        if not changed and now == monitor.sight:
            return
        monitor.sight = now
        if now is not None or not monitor.spec.present:
            self._raise(key)

    # A look of its own

    def _period(self) -> float:
        return _BLIND if any(each.blind for each in self._monitors.values()) else _SLOW

    def _look_later(self, seconds: float) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.later(seconds, self._look)

    def _look(self) -> None:
        self._looking = None
        if not self._round:
            self._round, self._took = list(self._monitors), 0.0
        began = time.monotonic()
        while self._round and time.monotonic() - began < _SLICE:
            key = self._round.pop()
            monitor = self._monitors.get(key)
            if monitor is not None and key not in self._pending:
                if file_states.look(monitor.spec.path, monitor.spec.recursive) != monitor.sight:
                    self._judge(key, monitor, False, True)
                elif monitor.blind:
                    self._arm(key, monitor)
        took = time.monotonic() - began
        self._took += took
        if self._round:
            self._look_later(took * _SHARE)
        elif self._monitors:
            self._look_later(max(self._period(), self._took * _SHARE))
