"""Which tasks a command of `ipcmules tasks` means."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ipcmules.cli import tasks_of_cluster
from ipcmules.cli.target import bus_places
from ipcmules.cluster.tasks import OUT, shown
from ipcmules.cluster.tasks import named as named_in_cluster
from ipcmules.errors import ConfigError
from ipcmules.spooler import names, peek
from ipcmules.spooler.peek import Peek

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)\Z", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Filter:
    """What a task must be to be meant. Times are in seconds since 1970."""

    state: str | None = None
    function: str | None = None
    before: float | None = None
    after: float | None = None
    #: IDs or parts of them; the task must have one. Empty: any will do.
    ids: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        state: str | None = None,
        function: str | None = None,
        older: str | None = None,
        newer: str | None = None,
        ids: tuple[str, ...] = (),
    ) -> Filter:
        """Read the options. Raises ConfigError."""
        states = (*peek.STATES, *peek.ENDED)
        if state is not None and state not in states:
            raise ConfigError(f"--state {state!r}: give one of {', '.join(states)}")
        now = time.time()
        before = None if older is None else now - _age("--older", older)
        after = None if newer is None else now - _age("--newer", newer)
        return cls(state, function, before, after, ids)

    def may_be(self, name: str) -> bool:
        """False if the name of a file says that it is not meant: then it need not be read."""
        if self.ids and not any(each in name for each in self.ids):
            return False
        written = names.fifo_key(name)
        return written is None or self._in_time(written / 1e6)

    def means(self, task: Peek) -> bool:
        """True if a task is meant."""
        if self.state is not None and task.state != self.state:
            return False
        return (self.function is None or task.function == self.function) and self._in_time(task.enqueued)

    def _in_time(self, enqueued: float) -> bool:
        return (self.before is None or enqueued < self.before) and (
            self.after is None or enqueued >= self.after
        )


def _age(option: str, text: str) -> float:
    match = _AGE.match(text)
    if match is None:
        raise ConfigError(f"{option} {text!r} is no age: give seconds, or 30m, 2h, 1d")
    return float(match[1]) * _UNITS[match[2]]


def directories(place: str | None, bus: str | None) -> list[str]:
    """The spool directories that are meant: the one given, else those of the bus.

    Raises ConfigError; FormatError if another version of ipcmules started the bus, AccessError if it is
    another user's.
    """
    if place is not None and os.path.isdir(place):
        return [os.path.realpath(place)]
    from ipcmules.bus import description

    where = bus_places(bus)
    found = description.load(where)
    if place is not None:
        named = [each.directory for each in found.config.spoolers if each.name == place] if found else []
        clustered = named_in_cluster(found.config, place) if found else None
        if clustered is not None:
            named = [tasks_of_cluster.of(shown(clustered.name), where), f"{clustered.directory}/{OUT}"]
        if not named:
            raise ConfigError(f"{place!r} is no directory: give a spool directory, or the name of a queue")
        return named
    if found is None:
        raise ConfigError(
            f"there is no bus {where.bus!r} whose directories could be looked at: give the spool "
            "directory, or name a bus with --bus or IPCMULES_BUS"
        )
    declared = [each.directory for each in found.config.spoolers]
    if found.config.cluster_spoolers:
        declared = tasks_of_cluster.places(found.config, where)
    if not declared:
        raise ConfigError(
            f"bus {where.bus!r} has no spool directory: start it with --spooler DIR, or give one"
        )
    return declared


def tasks(places: Sequence[str], wanted: Filter) -> Iterator[Peek]:
    """The tasks in directories that a filter means; in each, what waits and then what is dead.

    Those that have ended are meant where their state or an ID is given.
    """
    ended = wanted.state in peek.ENDED
    for place in places:
        if tasks_of_cluster.is_one(place):
            yield from filter(wanted.means, _of_cluster(place, wanted))
            continue
        if tasks_of_cluster.is_hand(place) and wanted.state not in (None, peek.DEAD):
            continue
        if tasks_of_cluster.is_hand(place):
            yield from filter(wanted.means, peek.buried(place, wanted.may_be))
            continue
        if wanted.state != peek.DEAD and not ended and os.path.isdir(place):
            yield from filter(wanted.means, peek.waiting(place, wanted.may_be))
        if wanted.state in (None, peek.DEAD):
            yield from filter(wanted.means, peek.buried(place, wanted.may_be))
        if ended or (wanted.state is None and wanted.ids):
            yield from filter(wanted.means, peek.ended(place, wanted.may_be))


def _of_cluster(place: str, wanted: Filter) -> Iterator[Peek]:
    """As tasks(); ends are told by handles alone."""
    if wanted.state in peek.ENDED:
        return
    for dead in (False, True):
        if wanted.state is None or (wanted.state == peek.DEAD) == dead:
            yield from tasks_of_cluster.found(place, dead, wanted.may_be, bool(wanted.ids))


def some(found: Iterable[Peek], limit: int) -> tuple[list[Peek], bool]:
    """The first tasks, and whether there are more. limit: 0 for all."""
    if not limit:
        return list(found), False
    first = list(itertools.islice(found, limit + 1))
    return first[:limit], len(first) > limit


def by_ids(ids: Sequence[str], candidates: Iterable[Peek]) -> list[Peek]:
    """The tasks that IDs, parts of them, or paths name. Raises ConfigError where that is not one each."""
    found = list(candidates)
    chosen: dict[str, Peek] = {}
    for each in ids:
        matching = [
            task
            for task in found
            if each in (task.id, task.name, task.path, f"{names.TASK}{task.id}", names.id_of(task.name))
        ]
        matching = matching or [task for task in found if each in task.id]
        # A task whose process was killed at its end is there still, and its end too, for a moment.
        matching = list({(task.directory, task.id): task for task in matching}.values())
        if len(matching) != 1:
            what = "no task has" if not matching else f"{len(matching)} tasks have"
            raise ConfigError(f"{what} the ID {each!r}: 'ipcmules tasks list' shows them")
        chosen[matching[0].path] = matching[0]
    return list(chosen.values())


def count(found: Iterable[Peek]) -> list[dict[str, Any]]:
    """How many tasks there are, for each directory."""
    counted: dict[str, dict[str, Any]] = {}
    now = time.time()
    for task in found:
        place = counted.setdefault(task.directory, _nothing(task.directory))
        place["states"][task.state] = place["states"].get(task.state, 0) + 1
        place["bytes"] += task.size
        if task.problem:
            place["malformed"] += 1
        function = place["functions"].setdefault(task.function, dict.fromkeys(peek.STATES, 0))
        function[task.state] = function.get(task.state, 0) + 1
        if task.state == peek.QUEUED:
            place["oldest_queued"] = max(place["oldest_queued"], round(now - task.enqueued, 3))
    return list(counted.values())


def _nothing(directory: str) -> dict[str, Any]:
    return {
        "directory": directory,
        "states": dict.fromkeys(peek.STATES, 0),
        "bytes": 0,
        "malformed": 0,
        "oldest_queued": 0.0,
        "functions": {},
    }
