"""What is known of a task of the cluster, and what is needed of the engine for it. Values only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ipcmules.spooler import attempts
from ipcmules.spooler.attempts import Record

#: Characters of the reason and the traceback of a failure that go with a task: headers have 64 KiB.
_LONGEST = 12_000


#: Until when the key of a task is its own: it is free again (unique_until="started", and it has begun).
FREE = "free"
#: The note that says what is paused of a spooler on all hosts.
PAUSED = "paused"


class Superseded(Exception):
    """The task is not as it was any more: done, cancelled, or put back by somebody else."""


@dataclass(frozen=True)
class Stored:
    """A task as it is in the cluster.

    name: its file's. due: seconds since 1970, 0.0 for now. until: when its key is free again
    (manner.UNTIL), '' for a task without. place: which version of it this is; a task that is put back gets
    another.
    """

    spooler: str
    name: str
    data: bytes
    due: float = 0.0
    record: Record = attempts.NONE
    until: str = ""
    place: int = 0


@dataclass(frozen=True)
class Delivery:
    """A task that is here. token: by which it is acknowledged. task: None where it makes no sense."""

    token: str
    place: int
    deliveries: int
    task: Stored | None
    data: bytes = b""


@dataclass(frozen=True)
class State:
    """What was last said of a task. what: 'runs', or 'ended' with what a result's file has
    (spooler/outcomes.py).

    place: of the version that runs. host: which runs it. record: its failures before.
    """

    what: str
    host: str = ""
    place: int = 0
    since: float = 0.0
    record: Record = attempts.NONE
    data: bytes = b""


class Taker(Protocol):
    """Takes the tasks of one spooler, the lowest priority number first."""

    async def take(self) -> Delivery | None:
        """Wait for the next one; None every now and then, where there was none."""


class TaskEngine(Protocol):
    """What the cluster's servers do for tasks. All raise engine.Away where they do not answer."""

    async def store(self, task: Stored, seconds: float, called: str = "") -> None:
        """Store a new task; a second one that is called so is the same one ('': its name). Raises Refused."""

    async def store_keyed(self, task: Stored, seconds: float) -> str:
        """Store a new task whose name has a key, unless there is one of that key; the name of the one there
        is."""

    async def put_back(self, task: Stored, seconds: float) -> None:
        """Store a task after the version that it says, which is to be ended then. Raises Superseded."""

    def taker(self, spooler: str) -> Taker:
        """What takes the tasks of a spooler."""

    async def extend(self, token: str) -> None:
        """It is worked on."""

    async def done(self, token: str) -> None:
        """It is over: returns when the cluster has removed it."""

    async def back(self, token: str, delay: float = 0.0) -> None:
        """Somebody is to get it, in so many seconds."""

    async def bury(self, task: Stored) -> None:
        """Put it among the dead ones."""

    async def say(self, spooler: str, name: str, state: State, keep: float) -> None:
        """Say for so many seconds how a task stands."""

    def say_soon(self, spooler: str, name: str, state: State, keep: float) -> None:
        """As say(), without waiting; it may be lost."""

    async def state(self, spooler: str, name: str) -> State | None:
        """What was last said of a task."""

    async def flow(self, spooler: str, name: str) -> tuple[bytes, int]:
        """How far a chain or group is, and which version of that this is; b'', 0 where nothing is said."""

    async def save_flow(self, spooler: str, name: str, data: bytes, version: int) -> int:
        """Say how far a chain or group is, after that version; the new one. Raises Superseded."""

    async def forget_flow(self, spooler: str, name: str, parts: Iterable[str]) -> None:
        """Forget how parts stood, and then how far the whole is."""

    async def note(self, spooler: str, about: str) -> tuple[bytes, int]:
        """What all hosts keep of a spooler about something, and its place; b"" and 0 for nothing."""

    async def set_note(self, spooler: str, about: str, text: bytes, place: int) -> int:
        """Put something in place of what note() gave; its place. Raises Superseded, Refused."""

    def on_pauses(self, heed: Any) -> None:
        """Have heed(spooler, text) called with that note, before the cluster is there and when it changes."""

    async def find(self, spooler: str, name: str) -> Stored | None:
        """The task that is stored by that name."""

    async def find_dead(self, spooler: str, name: str) -> Stored | None:
        """The dead task of that name."""

    async def remove(self, task: Stored) -> bool:
        """Remove a task that find() gave, whoever has it. False where it is there no more."""

    async def remove_dead(self, spooler: str, name: str) -> None:
        """Remove a dead task."""

    async def some(self, spooler: str, dead: bool, after: int, most: int) -> list[Stored]:
        """Tasks that are stored, or dead ones, from that place on."""

    async def counts(self, spooler: str) -> dict[str, int]:
        """How many are stored, and dead."""

    async def tell(self, host: str, what: dict[str, Any]) -> None:
        """Tell the carrier of a host something."""

    def on_word(self, heed: Any) -> None:
        """Have heed(what) called with what others tell this host."""


def packed(record: Record) -> str:
    """A record of failures as text."""
    kept = record._replace(reason=record.reason[-_LONGEST:], traceback=record.traceback[-_LONGEST:])
    return json.dumps(kept._asdict()) if record != attempts.NONE else ""


def unpacked(text: str) -> Record:
    """The reverse of packed()."""
    try:
        values: dict[str, Any] = json.loads(text)
        return Record(**{key: type(default)(values[key]) for key, default in attempts.NONE._asdict().items()})
    except (ValueError, TypeError, KeyError):
        return attempts.NONE
