"""What the master knows of each mule, spooler and worker, and when it starts one again.

Values and arithmetic only: no kernel object is touched here.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ipcmules.bus.config import BusConfig

#: A process that ends within this many seconds of its start died young.
YOUNG = 5.0
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0


@dataclass
class Child:
    """A mule, spooler or worker that should run. pid is 0 while it does not, or its pid is not known yet."""

    role: str
    number: int
    pid: int = 0
    born: float = 0.0  #: time.monotonic() when the template reported it
    ready: bool = False  #: it has been ready once
    young_deaths: int = 0  #: in a row
    spawns: int = 0
    code: int = 0  #: generation of the code of the template that was asked for it
    asked: int = 0  #: pid of the template that was asked for it and has not answered yet
    sentence: int = 0  #: what the master has decided about this process (deaths.py), 0: nothing
    death: int = 0  #: how the one before ended (deaths.py)
    stack: str = ""  #: what it was doing when harakiri ended it
    #: True while what the one before had in hand could not be put away: a successor would overwrite it.
    held: bool = False
    put_away: set[int] = field(default_factory=set)  #: which of it was
    given_up: list[str] = field(default_factory=list)  #: tasks that its death made dead
    resting: bool = False  #: a spooler that ended as it had nothing to do (--spooler-cheap)

    @property
    def key(self) -> tuple[str, int]:
        """Role and number: which process it is, whatever its pid."""
        return self.role, self.number

    @property
    def name(self) -> str:
        """As in file names: 'mule3'."""
        return f"{self.role}{self.number}"

    def __str__(self) -> str:
        return f"{self.role} {self.number}"

    def started(self, pid: int) -> None:
        """The template has forked it."""
        self.pid = pid
        self.asked = self.sentence = 0
        self.stack = ""
        self.resting = False
        self.born = time.monotonic()
        self.spawns += 1

    def died(self, of_task: bool = False) -> float:
        """It has ended. Returns how many seconds to wait before it is started again.

        of_task: of a task it had taken, which waits by itself, and no other task with it.
        """
        young = time.monotonic() - self.born < YOUNG and not of_task
        self.young_deaths = self.young_deaths + 1 if young else 0
        return self.delay()

    def delay(self) -> float:
        """Seconds until the next start: none after the first young death in a row, then growing."""
        if self.young_deaths <= 1:
            return 0.0
        return float(min(FIRST_DELAY * 2 ** min(self.young_deaths - 2, 20), LONGEST_DELAY))


class Children:
    """All mules, spoolers and workers of a bus."""

    def __init__(self, config: BusConfig) -> None:
        mules = [Child("mule", number) for number in range(1, len(config.mules) + 1)]
        spoolers = [Child("spooler", number) for number in range(1, len(config.spooler_directories) + 1)]
        workers = [Child("worker", number) for number in range(1, config.processes + 1)]
        self._all = {each.key: each for each in mules + spoolers + workers}
        self._by_pid: dict[int, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(self._all.values())

    def get(self, role: str, number: int) -> Child:
        """One of them."""
        return self._all[role, number]

    def started(self, child: Child, pid: int) -> None:
        """Note that a child runs under this pid."""
        child.started(pid)
        self._by_pid[pid] = child

    def ended(self, pid: int) -> Child | None:
        """Forget a pid; returns whose it was."""
        child = self._by_pid.pop(pid, None)
        if child is not None:
            child.pid = 0
        return child

    def running(self, role: str = "") -> list[Child]:
        """Those that run, of one role or of all."""
        return [each for each in self if each.pid and (not role or each.role == role)]


def describe_status(status: int) -> str:
    """A wait status in words: 'ended with code 1', 'was killed by SIGKILL'."""
    if not is_signaled(status):
        return f"ended with code {exit_code(status)}"
    number = status & 0x7F
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"was killed by {name}"


def is_signaled(status: int) -> bool:
    """True if a signal ended it (wait(2), WIFSIGNALED)."""
    return bool(status & 0x7F)


def exit_code(status: int) -> int:
    """Its exit code, or 128 plus the signal's number, as shells give it."""
    return 128 + (status & 0x7F) if is_signaled(status) else (status >> 8) & 0xFF
