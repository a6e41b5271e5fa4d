"""Which tasks a command of `ipcmules tasks` means, and what it does to each."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ipcmules.cli.target import bus_places
from ipcmules.errors import ConfigError
from ipcmules.spooler import attempts, claim, dead, names, peek
from ipcmules.spooler.claim import Refusal
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
        if state is not None and state not in peek.STATES:
            raise ConfigError(f"--state {state!r}: give one of {', '.join(peek.STATES)}")
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
    """The spool directories that are meant: the one given, else those of the bus. Raises ConfigError."""
    if place is not None:
        if not os.path.isdir(place):
            raise ConfigError(f"{place!r} is no directory: give a spool directory")
        return [os.path.realpath(place)]
    from ipcmules import description

    where = bus_places(bus)
    try:
        found = description.read(where)
    except (OSError, ValueError, TypeError, KeyError):
        found = None
    if found is None:
        raise ConfigError(
            f"there is no bus {where.bus!r} whose directories could be looked at: give the spool "
            "directory, or name a bus with --bus or IPCMULES_BUS"
        )
    declared = [each.directory for each in found.config.spoolers]
    if not declared:
        raise ConfigError(
            f"bus {where.bus!r} has no spool directory: start it with --spooler DIR, or give one"
        )
    return declared


def tasks(places: Sequence[str], wanted: Filter) -> Iterator[Peek]:
    """The tasks in directories that a filter means; in each, what waits and then what is dead."""
    for directory in places:
        if wanted.state != peek.DEAD and os.path.isdir(directory):
            yield from filter(wanted.means, peek.waiting(directory, wanted.may_be))
        if wanted.state in (None, peek.DEAD):
            yield from filter(wanted.means, peek.buried(directory, wanted.may_be))


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
            task for task in found if each in (task.id, task.name, task.path, f"{names.TASK}{task.id}")
        ]
        matching = matching or [task for task in found if each in task.id]
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
        place["states"][task.state] += 1
        place["bytes"] += task.size
        if task.problem:
            place["malformed"] += 1
        function = place["functions"].setdefault(task.function, dict.fromkeys(peek.STATES, 0))
        function[task.state] += 1
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


def retry(task: Peek) -> str:
    """Have a task run now, with no failures; returns why that cannot be, or ""."""
    if task.pid:
        return _runs(task.pid)
    try:
        if task.state == peek.DEAD:
            dead.restore(task.directory, os.path.basename(task.name))
            return ""
        attempts.remove(task.path)
        os.chmod(task.path, 0o600)
        os.utime(task.path)  # also seen by the bus that watches the directory
    except OSError as error:
        return f"it cannot be run again: {error.strerror}"
    return ""


def drop(task: Peek) -> str:
    """Remove a task; returns why that cannot be, or ""."""
    try:
        if task.state == peek.DEAD:
            dead.drop(task.directory, os.path.basename(task.name))
            return ""
        seen = claim.look(task.path)
        held = seen if isinstance(seen, Refusal) else claim.lock(task.path, seen)
        if isinstance(held, Refusal):
            return _runs(task.pid) if held.why == claim.BUSY else held.reason or "it is gone"
        try:
            os.unlink(task.path)
            attempts.remove(task.path)
        finally:
            claim.release(held)
    except OSError as error:
        return f"it cannot be removed: {error.strerror}"
    return ""


def _runs(pid: int) -> str:
    who = f" (pid {pid})" if pid > 0 else ""
    return f"a process has it{who}, which runs or writes it: wait, or stop that process"
