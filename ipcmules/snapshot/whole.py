"""The whole of a snapshot, and how it is told as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ipcmules.snapshot import plain
from ipcmules.snapshot.values import (
    NO_LETTERS,
    NO_MASTER,
    NO_TASKS,
    Area,
    Cache,
    Event,
    Letters,
    Lock,
    Mule,
    Program,
    Queue,
    Ring,
    Signal,
    Spooler,
    Tasks,
    Worker,
)


@dataclass(frozen=True)
class Snapshot:
    """A bus at one moment.

    state: 'absent', 'starting', 'ready', 'stopping', 'stopped' or 'dead' (its master was killed).
    events: None where they were not asked for, or the master did not answer.
    """

    bus: str
    state: str
    time: float
    directory: str  #: its runtime directory
    generation: int = 0
    master: Program = NO_MASTER
    reloads: int = 0
    reload_failed: bool = False  #: the last one did
    mules: tuple[Mule, ...] = ()
    spoolers: tuple[Spooler, ...] = ()
    workers: tuple[Worker, ...] = ()
    farms: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    queues: tuple[Queue, ...] = ()
    listener: Program | None = None
    addresses: tuple[str, ...] = ()  #: of the listener
    command: Program | None = None
    servers: tuple[Program, ...] = ()  #: web servers that run below the command
    daemons: tuple[Program, ...] = ()
    lock_count: int = 0
    locks: tuple[Lock, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    dropped: int = 0  #: signals that nobody was registered for, about
    events: tuple[Event, ...] | None = None
    tasks: Tasks = NO_TASKS
    letters: Letters = NO_LETTERS
    caches: tuple[Cache, ...] = ()
    ring: Ring | None = None
    areas: tuple[Area, ...] = ()

    @property
    def processes(self) -> tuple[Mule | Spooler | Worker, ...]:
        """Mules, spoolers and workers, in this order."""
        return (*self.mules, *self.spoolers, *self.workers)

    @property
    def programs(self) -> tuple[Program, ...]:
        """What runs beside them, the master first."""
        found = [self.master, self.listener, self.command, *self.servers, *self.daemons]
        return tuple(each for each in found if each is not None and each.pid)

    def to_json(self) -> dict[str, Any]:
        """As `ipcmules status --json` prints it (docs/reference/status.md)."""
        return {
            "bus": self.bus,
            "master": {"pid": self.master.pid},
            "state": self.state,
            "time": self.time,
            "directory": self.directory,
            "reloads": self.reloads,
            "reload_failed": self.reload_failed,
            "mules": [plain.mule(each) for each in self.mules],
            "spoolers": [plain.spooler(each) for each in self.spoolers],
            "workers": [plain.worker(each) for each in self.workers],
            "farms": {name: list(mules) for name, mules in self.farms.items()},
            "queues": [asdict(each) for each in self.queues],
            "listener": self._listener(),
            "command": self._command(),
            "daemons": [plain.program(each) for each in self.daemons],
            "programs": [plain.usage(each) for each in self.programs],
            "locks": self.lock_count,
            "locks_held": [asdict(each) for each in self.locks if each.holder or each.waiters],
            "counters": dict(self.counters),
            "signals": {"dropped": self.dropped, "registered": [asdict(each) for each in self.signals]},
            "events": None if self.events is None else [plain.event(each) for each in self.events],
            "tasks": {
                "directories": [asdict(each) for each in self.tasks.directories],
                "functions": [plain.figures(each) for each in self.tasks.functions],
            },
            "dead_letters": asdict(self.letters),
            "caches": [asdict(each) for each in self.caches],
            "ring": None if self.ring is None else asdict(self.ring),
            "areas": [asdict(each) for each in self.areas],
        }

    def _listener(self) -> dict[str, Any] | None:
        if self.listener is None:
            return None
        return {"pid": self.listener.pid, "addresses": list(self.addresses)}

    def _command(self) -> dict[str, Any] | None:
        if self.command is None:
            return None
        servers = [{"name": each.name, "pid": each.pid} for each in self.servers]
        return {**plain.program(self.command), "servers": servers}
