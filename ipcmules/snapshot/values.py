"""What a snapshot is made of: frozen values. Times are seconds, moments seconds since 1970, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ipcmules.spooler.figures import Figures


@dataclass(frozen=True)
class Process:
    """A mule, a spooler or a worker. messages, signals, exceptions: of the process that runs now.

    state: 'absent', 'loading', 'running', 'waiting', 'busy' or 'ending'. doing: what the app does in it, in
    words; '' for nothing. kind, signal: the same as values: '', 'signal', 'message', 'body' or 'task', and
    the signal's number. since: for how long it is in its state. doing_since: for how long it does that.
    """

    role: str
    number: int
    pid: int
    state: str
    doing: str
    kind: str
    signal: int | None
    since: float
    doing_since: float
    uptime: float
    messages: int
    signals: int
    exceptions: int
    all_messages: int  #: and all processes before it: these never go down while the bus runs
    all_signals: int
    all_exceptions: int
    respawns: int
    last_death: str  #: how the process before it ended, '' for none
    last_death_ago: float | None
    memory: int  #: resident
    cpu: float  #: seconds of CPU that this process has used
    harakiri_in: float | None  #: after so many seconds it is killed, None for never

    @property
    def name(self) -> str:
        """As commands call it: 'mule 3'."""
        return f"{self.role} {self.number}"


@dataclass(frozen=True)
class Mule(Process):
    """A mule."""

    program: str
    farms: tuple[str, ...]


@dataclass(frozen=True)
class Spooler(Process):
    """A spooler; its messages are tasks."""

    directory: str
    queue: str  #: the name of its directory, '' for none
    paused: tuple[str, ...]  #: functions, or '*' for everything
    task: str  #: the name of the task in hand, '' for none


@dataclass(frozen=True)
class Worker(Process):
    """A worker. launched: the master started it."""

    launched: bool


@dataclass(frozen=True)
class Program:
    """A process beside them: the master, the command, a daemon, the listener. pid 0: it does not run."""

    name: str
    pid: int
    memory: int = 0
    cpu: float = 0.0
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Queue:
    """A message queue. messages: frames in it, of which one of a mule's own may carry many messages. waiting:
    messages behind it, in lanes. A spool directory's carries names of tasks: what is told of tasks is
    Directory's."""

    endpoint: str
    messages: int
    depth: int
    size: int
    waiting: int
    taken: int = 0  #: messages that mules have taken since the bus's start, about; 0 of a spool directory's
    #: For how long at least the first of what waits has been there; None: nothing does. Of a single look: for
    #: how long nobody has sent and nobody has taken. Who looks again and again knows more (ages.py).
    oldest: float | None = None

    @property
    def left(self) -> int:
        """How many messages wait in it and behind it."""
        return self.messages + self.waiting

    @property
    def come(self) -> int:
        """How many messages have come since the bus's start."""
        return self.taken + self.left

    @property
    def is_spool(self) -> bool:
        """True for that of a spool directory."""
        return self.endpoint.startswith("spool.")


@dataclass(frozen=True)
class Lock:
    """A lock. holder: pid of who took it last where it is taken, else 0. waiters: who waits in the kernel."""

    number: int
    holder: int
    waiters: int


@dataclass(frozen=True)
class Signal:
    """A signal that is registered. last: when a run ended last. late: see Event."""

    number: int
    target: str
    handler: str
    runs: int  #: that were begun
    exceptions: int
    pending: int  #: raised and not taken
    running: int  #: processes that have it in hand
    last: float | None
    last_duration: float | None
    spent: float  #: seconds of all runs together, about


@dataclass(frozen=True)
class Event:
    """A timer, cron, monitor or command, as the master tells it; row: all that `ipcmules events` has.

    next: when it is due. last: when it was, and its signal raised. late: how long after that its handler
    began; where it has not yet, how long it has been waiting; None where that cannot be said.
    """

    kind: str
    signal: int | None
    schedule: str
    handler: str
    target: str
    next: float | None
    last: float | None
    late: float | None
    ticks: int
    skips: int
    runs: int
    exceptions: int
    last_duration: float | None
    row: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True)
class Directory:
    """A spool directory. Of a large backlog, scheduled is what a sample says (sampled)."""

    path: str
    name: str
    external: bool
    waiting: int  #: that are due and do not run yet
    scheduled: int
    running: int
    failing: int  #: that have failed and wait to be tried again
    dead: int
    oldest: float | None  #: for how long the first of those that are due has been there
    paused: tuple[str, ...]
    sampled: bool = False
    begun: int = 0  #: attempts that its spoolers have begun since the bus's start
    ended: int = 0  #: tasks that were done or given up since then

    @property
    def left(self) -> int:
        """How many tasks are there that may run yet, or do."""
        return self.waiting + self.scheduled + self.running


@dataclass(frozen=True)
class Tasks:
    """What spoolers have and have done. functions: figures since the bus's start, the busiest first."""

    directories: tuple[Directory, ...] = ()
    functions: tuple[Figures, ...] = ()


@dataclass(frozen=True)
class Letters:
    """Kept messages: dead letters, and such as the bus queues again by itself."""

    dead: int = 0
    waiting: int = 0
    oldest: float | None = None  #: the age of the oldest of them


@dataclass(frozen=True)
class Cache:
    """A cache. items: most entries, 0 for no limit. size: of its file at most; used: of its pages.
    entries, used and evicted are None where its file is being made."""

    name: str
    path: str
    items: int
    size: int
    full: str  #: 'evict' or 'refuse'
    entries: int | None = None
    used: int | None = None
    evicted: int | None = None


@dataclass(frozen=True)
class Ring:
    """uWSGI's queue of slots: where the next push and the next pull go."""

    slots: int
    push: int
    pull: int


@dataclass(frozen=True)
class Area:
    """A shared area of so many bytes. file: what it is mapped from, '' for memory alone."""

    id: int
    size: int
    file: str


#: What is told where there is nothing, or was not looked.
NO_MASTER, NO_TASKS, NO_LETTERS = Program("master", 0), Tasks(), Letters()
