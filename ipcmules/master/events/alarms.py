"""Alarms: what happened is told to who wants to know, by a signal or a command, once a minute a kind.

An alarm of an app (@on) is an event of the book, whose signal is raised; one of an option (--on) is a
command. Knows the table, the loop and the book's events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ipcmules.bus import alarms, log
from ipcmules.bus.alarms import KINDS, Alarm
from ipcmules.bus.table import H_ALARMS
from ipcmules.events.specs import AlarmSpec
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.events.catalogue import Event
from ipcmules.master.loop.control_socket import Control
from ipcmules.master.loop.selector import Loop
from ipcmules.master.objects.objects import Objects

#: Seconds between two of a kind.
EVERY = 60.0


@dataclass
class _Kind:
    """One kind. waits: how many have happened and were not told."""

    events: dict[str, Event] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    due: float = 0.0  #: time.monotonic() from which on the next may be told
    waits: int = 0
    latest: Alarm | None = None


class Alarms:
    """All of one bus; a Source of the book."""

    def __init__(self, loop: Loop, objects: Objects, control: Control, fire: Callable[[Event], None]) -> None:
        self._loop = loop
        self._objects = objects
        self._fire = fire
        self._kinds = {each: _Kind() for each in KINDS}
        self._closed = False
        #: Runs a command: what it is called, the command, and more for its environment.
        self.run: Callable[[str, str, dict[str, str]], None] = lambda _name, _command, _environment: None
        control.on("alarm", self._told)

    def start(self, event: Event) -> None:
        """As book.Source."""
        assert isinstance(event.spec, AlarmSpec)
        self._kinds[event.spec.name].events[event.digest] = event
        self._say_wanted()

    def stop(self, event: Event) -> None:
        """As book.Source."""
        assert isinstance(event.spec, AlarmSpec)
        self._kinds[event.spec.name].events.pop(event.digest, None)
        self._say_wanted()

    def replace(self, given: tuple[str, ...]) -> None:
        """Have these commands, and no others: KIND=COMMAND each."""
        pairs = [each.partition("=") for each in given]
        for name, kind in self._kinds.items():
            kind.commands = [command for known, _equals, command in pairs if known == name]
        self._say_wanted()

    def close(self) -> None:
        """The bus stops: nobody is told any more."""
        self._closed = True

    def happened(self, kind: str, text: str, count: int = 1, **fields: object) -> None:
        """Something has happened."""
        found = self._kinds[kind]
        if self._closed or not (found.events or found.commands):
            return
        found.waits += count
        found.latest = Alarm(kind, text, time.time(), found.waits, dict(fields))
        if found.waits > count:
            return  # it is told with others at the end of the minute
        wait = found.due - time.monotonic()
        if wait > 0:
            self._loop.later(wait, lambda: self._tell(found))
        else:
            self._tell(found)

    def _tell(self, kind: _Kind) -> None:
        alarm, kind.waits = kind.latest, 0
        kind.due = time.monotonic() + EVERY
        if self._closed or alarm is None:
            return
        try:
            alarms.leave(self._objects.where, alarm)
        except OSError as error:
            log.event("error", f"the alarm {alarm.kind} cannot be written down: {error}")
        for event in list(kind.events.values()):
            self._fire(event)
        environment = {
            "IPCMULES_ALARM": alarm.kind,
            "IPCMULES_ALARM_TEXT": alarm.text.replace("\0", ""),
            "IPCMULES_ALARM_TIMES": str(alarm.times),
            "IPCMULES_ALARM_FIELDS": json.dumps(alarm.fields, default=str),
        }
        for command in kind.commands:
            self.run(f"on {alarm.kind}:", command, environment)

    def _told(self, question: dict[str, Any], _peer: ProcessId) -> dict[str, Any]:
        kind, fields = question["kind"], question["fields"]
        if kind not in self._kinds or not isinstance(fields, dict):
            raise ValueError(f"{kind!r} is no kind of alarm: there are {', '.join(KINDS)}")
        known = {str(key): value for key, value in fields.items() if key not in ("kind", "text", "count")}
        self.happened(kind, str(question["text"]), max(int(question["count"]), 1), **known)
        return {"heard": True}

    def _say_wanted(self) -> None:
        wanted = [bool(each.events or each.commands) for each in self._kinds.values()]
        self._objects.table.cells[H_ALARMS] = sum(1 << bit for bit, each in enumerate(wanted) if each)
