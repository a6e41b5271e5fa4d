"""The events of a bus as its processes see them: what they register, remove and list over the control socket.

Brings the parts together: the book, what knows when something is due, and the raising. One a supervisor.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from ipcmules.bus import log, table
from ipcmules.bus.layout import SIGNALS
from ipcmules.bus.table import Table
from ipcmules.errors import EventError
from ipcmules.events import specs
from ipcmules.events.specs import CronSpec, MonitorSpec, TimerSpec
from ipcmules.kernel import atomics, times
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.events.alarms import Alarms
from ipcmules.master.events.catalogue import Book, Event, Source
from ipcmules.master.events.crons import Crons
from ipcmules.master.events.firing import Firing
from ipcmules.master.events.last_runs import Fired
from ipcmules.master.events.timers import Timers
from ipcmules.master.loop.control_socket import Control
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects.objects import Objects
from ipcmules.signals.raiser import Raiser

#: So many requests to run an event are remembered, as one may come twice (docs/formats.md).
_REMEMBERED = 64


class Others(Protocol):
    """Events that raise no signal and stand in no book: the commands of crons."""

    def rows(self) -> list[dict[str, Any]]:
        """What to list of them, with the keys of _describe()."""

    def get(self, digest: str) -> Event | None:
        """The one of this identity."""

    def run(self, digest: str) -> None:
        """Have it run now."""


class Events:
    """All events of one bus."""

    def __init__(self, loop: Loop, objects: Objects, control: Control, raiser: Raiser) -> None:
        self._objects = objects
        self._firing = Firing(objects, raiser)
        self.fired = Fired(objects.where, objects.description.config.named)
        self._timers = Timers(loop, self._firing.fire, self._over)
        self._crons = Crons(loop, self._firing.fire, self.fired)
        self._monitors = _Monitored(loop, self)
        self.alarms = Alarms(loop, objects, control, self._firing.fire)
        self.book = Book(self._source)
        self.others: Others | None = None
        self._asked: deque[str] = deque(maxlen=_REMEMBERED)
        control.on("events.add", self._add)
        control.on("events.remove", self._remove)
        control.on("events.list", self._list)
        control.on("events.run", self._run)
        control.on("events.pause", self._pause)

    def fire(self, digest: str) -> None:
        """The event of this identity is due now."""
        event = self.book.get(digest)
        if event is not None:
            self._firing.fire(event)

    def drop_outdated(self, code: int) -> None:
        """A reload has succeeded: what the new code does not register any more goes."""
        dropped = self.book.drop_outdated(code)
        if dropped:
            names = ", ".join(f"{each.spec.kind} of signal {each.signal}" for each in dropped)
            log.event("info", f"events that the new code does not register: {names}")

    def close(self) -> None:
        """The bus stops: nothing fires any more."""
        self._timers.close()
        self._crons.close()
        self._monitors.close()
        self.alarms.close()

    def _source(self, kind: str) -> Source:
        if kind == specs.CRON:
            return self._crons
        if kind == specs.ALARM:
            return self.alarms
        return self._monitors if kind == specs.FILE else self._timers

    def _over(self, event: Event) -> None:
        # What loading the app registered stays known: other processes will register it too.
        if event.runtime:
            self.book.remove(event)

    # The verbs

    def _add(self, question: dict[str, Any], peer: ProcessId) -> dict[str, Any]:
        code = _number(question.get("code"), "code", 1 << 62)
        wanted = [_event(each, code, peer) for each in question["events"]]
        if self._objects.table.cells[table.H_STATE] in (table.STARTING, table.READY):
            for event in wanted:
                self.book.add(event)
        return {"added": len(wanted)}

    def _remove(self, question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        signal, path = _number(question.get("signal"), "signal", SIGNALS), question.get("path")
        kinds, code = list(question["kinds"]), _number(question.get("code"), "code", 1 << 62)
        found = [
            each
            for each in self.book
            if each.signal == signal
            and each.spec.kind in kinds
            and (path is None or (isinstance(each.spec, MonitorSpec) and each.spec.path == path))
        ]
        for each in found:
            self.book.remove(each, code)
        return {"removed": len(found)}

    def _list(self, _question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        listed = [self._describe(each) for each in self.book]
        if self.others is not None:
            listed += self.others.rows()
        return {"events": listed}

    def _run(self, question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        digest, once = question["id"], str(question["once"])
        event, other = self._find(digest)
        if event.spec.kind == specs.ALARM:
            raise EventError("an alarm runs when what it waits for happens, and has nothing to tell before")
        if once not in self._asked:  # the answer to the same question was lost
            self._asked.append(once)
            if other is not None:
                other.run(digest)
            else:
                self._firing.run(event)
        return {"run": True}

    def _pause(self, question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        event, _other = self._find(question["id"])
        paused = question["paused"] is True
        if event.paused != paused:
            event.paused = paused
            log.event("info", f"{event.spec.describe()}: {'paused' if paused else 'goes on'}")
        return {"paused": paused}

    def _find(self, digest: object) -> tuple[Event, Others | None]:
        """The event of an identity, and whose it is where it stands in no book. Raises EventError."""
        event = self.book.get(digest) if isinstance(digest, str) else None
        if event is not None:
            return event, None
        other = self.others.get(digest) if self.others is not None and isinstance(digest, str) else None
        if other is None:
            raise EventError(f"there is no event {digest!r}: 'ipcmules events --json' has the id of each")
        return other, self.others

    def _describe(self, event: Event) -> dict[str, Any]:
        due = None
        if isinstance(event.spec, (TimerSpec, CronSpec)):
            due = (self._crons if isinstance(event.spec, CronSpec) else self._timers).next(event)
        return {
            "id": event.digest,
            "kind": event.spec.kind,
            "signal": event.signal,
            **_signal(self._objects.table, event.signal),
            "schedule": event.spec.describe(),
            **_details(event.spec),
            "next": due,
            "next_iso": None if due is None else times.iso(due),
            "last": event.last or None,
            "ticks": event.ticks,
            "skips": event.skips,
            "paused": event.paused,
            "overlap": event.spec.overlap,
            "owner": event.owner.pid,
            "runtime": event.runtime,
            "generation": event.code,
        }


class _Monitored:
    """File monitors as a Source; the watching is imported with the first one."""

    def __init__(self, loop: Loop, events: Events) -> None:
        self._loop = loop
        self._events = events
        self._monitors: Any = None

    def start(self, event: Event) -> None:
        """As book.Source."""
        if self._monitors is None:
            from ipcmules.master.events.monitors import Monitors

            self._monitors = Monitors(self._loop, self._events.fire)
        self._monitors.add(event.digest, event.spec)

    def stop(self, event: Event) -> None:
        """As book.Source."""
        if self._monitors is not None:
            self._monitors.remove(event.digest)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._monitors is not None:
            self._monitors.close()
            self._monitors = None


def _event(data: Any, code: int, peer: ProcessId) -> Event:
    if not isinstance(data, dict):
        raise EventError(f"{data!r} describes no event")
    digest = data.get("id")
    if not isinstance(digest, str) or len(digest) != 32 or not set(digest) <= set("0123456789abcdef"):
        raise EventError(f"{digest!r} is no identity of an event: 32 hexadecimal digits are")
    signal = _number(data.get("signal"), "signal", SIGNALS)
    return Event(digest, specs.from_json(data.get("spec")), signal, code, data.get("runtime") is True, peer)


def _number(value: Any, what: str, end: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < end:
        raise EventError(f"{what} {value!r} cannot be: a number from 0 to {end - 1} is wanted")
    return value


def _signal(shared: Table, number: int) -> dict[str, Any]:
    """Who handles a signal, and how that went."""
    cells, entry = shared.cells, shared.entry(number)
    if not cells[entry + table.E_STAMP]:
        return {"target": None, "handler": None, "runs": 0, "exceptions": 0, "last_duration": None}
    runs = atomics.value(shared.runs(number))
    return {
        "target": shared.text(number, table.E_TARGET),
        "handler": shared.text(number, table.E_HANDLER),
        "runs": runs,
        "exceptions": cells[entry + table.E_EXCEPTIONS],
        "last_duration": cells[entry + table.E_DURATION] / 1e9 if runs else None,
    }


def _details(spec: specs.Spec) -> dict[str, Any]:
    """What is asked for, as values; the same keys for every kind."""
    return {
        "interval": spec.interval / 1e9 if isinstance(spec, TimerSpec) else None,
        "iterations": spec.iterations if isinstance(spec, TimerSpec) else None,
        "fields": list(spec.fields) or None if isinstance(spec, CronSpec) else None,
        "zone": spec.zone if isinstance(spec, CronSpec) else None,
        "path": spec.path if isinstance(spec, MonitorSpec) else None,
        "recursive": spec.recursive if isinstance(spec, MonitorSpec) else None,
    }
