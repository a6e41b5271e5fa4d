"""Which events there are: by identity, so that ten processes that load one app have one; over reloads.

Knows what an event is and who needs it, not when it is due: a Source starts and stops it. What code
registers that a reload has on trial is remembered with what was there before, and taken back if the reload
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ipcmules.events.specs import Spec
from ipcmules.kernel.processes import ProcessId


@dataclass(eq=False)
class Event:
    """One event of the bus."""

    digest: str  #: its identity, in hexadecimal
    spec: Spec
    signal: int  #: shared number
    code: (
        int  #: generation of the code that registered it last; 0: only processes the master did not start did
    )
    runtime: bool  #: registered outside loading the app
    owner: ProcessId  #: who registered it first; of dead ones, whoever registered it then
    #: How far the schedule is; a source's own. None: it begins anew.
    schedule: Any = None
    ticks: int = 0  #: how often it was due and the signal was raised
    skips: int = 0  #: how often it was due and a former run was still going
    last: float = 0.0  #: when the signal was raised last, in seconds since 1970; 0.0: never
    paused: bool = False  #: somebody asked that nothing comes of its ticks


class Source(Protocol):
    """What knows when events of a kind are due."""

    def start(self, event: Event) -> None:
        """From now on it fires, by the schedule it has or a new one."""

    def stop(self, event: Event) -> None:
        """It fires no more; its schedule is kept in it."""


class Book:
    """The registered events. source(kind) gives who starts and stops an event of that kind."""

    def __init__(self, source: Callable[[str], Source]) -> None:
        self._source = source
        self._events: dict[str, Event] = {}
        #: What was removed of what the app had registered, and the generation of that code: processes that
        #: load the same code again (--lazy-apps) do not bring it back.
        self._removed: dict[str, int] = {}
        #: Generation of the code that a reload has on trial, 0: none; and what it changed: what was there
        #: before.
        self._trial = 0
        self._changed: dict[str, Event | None] = {}

    def __iter__(self) -> Iterator[Event]:
        return iter(list(self._events.values()))

    def __len__(self) -> int:
        return len(self._events)

    def get(self, digest: str) -> Event | None:
        """The event of an identity."""
        return self._events.get(digest)

    def add(self, wanted: Event) -> None:
        """Register an event. The same one again keeps its phase, counts and iterations, if unchanged."""
        if 0 < wanted.code <= self._removed.get(wanted.digest, 0):
            return
        known = self._events.get(wanted.digest)
        self._remember(wanted.digest, wanted.code)
        if known is None:
            self._put(wanted)
            return
        if 0 < wanted.code < known.code:
            return  # a process of old code, after a reload
        if not known.owner.alive():
            known.owner, known.code = wanted.owner, max(known.code, wanted.code)
        elif known.code or not wanted.code:
            known.code = max(known.code, wanted.code)
        # Else a living process that the master did not start needs it, whatever the code does.
        known.signal = wanted.signal
        if known.spec != wanted.spec:
            self._change(known, wanted.spec, None)

    def remove(self, event: Event, code: int = 0) -> None:
        """It is wanted no more. code: the generation of who says so."""
        self._remember(event.digest, code)
        self._drop(event)
        if not event.runtime:
            self._removed[event.digest] = event.code

    # Reloads

    def begin_trial(self, code: int) -> None:
        """A reload tries code of this generation."""
        self._trial, self._changed = code, {}

    def take_back(self) -> None:
        """The code on trial is not taken: what it registered, changed or removed is as it was."""
        changed, self._changed = self._changed, {}
        for digest, before in changed.items():
            self._removed.pop(digest, None)
            now = self._events.get(digest)
            if before is None:
                if now is not None:
                    self._drop(now)
            elif now is None:
                self._put(before)
            else:
                now.code, now.owner, now.runtime = before.code, before.owner, before.runtime
                now.signal = before.signal
                if now.spec != before.spec:
                    self._change(now, before.spec, before.schedule)

    def drop_outdated(self, code: int) -> list[Event]:
        """The code of this generation is taken: drop what only older code registered. Returns that.

        What was registered outside loading the app stays while its owner lives.
        """
        self._trial, self._changed = 0, {}
        self._removed = {digest: each for digest, each in self._removed.items() if each >= code}
        dropped = [each for each in self._events.values() if _is_outdated(each, code)]
        for each in dropped:
            self._drop(each)
        return dropped

    def _remember(self, digest: str, code: int) -> None:
        if self._trial and code == self._trial and digest not in self._changed:
            known = self._events.get(digest)
            self._changed[digest] = replace(known) if known is not None else None

    def _put(self, event: Event) -> None:
        self._events[event.digest] = event
        self._source(event.spec.kind).start(event)

    def _drop(self, event: Event) -> None:
        if self._events.pop(event.digest, None) is not None:
            self._source(event.spec.kind).stop(event)

    def _change(self, event: Event, spec: Spec, schedule: Any) -> None:
        self._source(event.spec.kind).stop(event)
        event.spec, event.schedule = spec, schedule
        self._source(spec.kind).start(event)


def _is_outdated(event: Event, code: int) -> bool:
    if event.runtime:
        return event.code < code and not event.owner.alive()
    return 0 < event.code < code
