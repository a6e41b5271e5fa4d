"""What an inbox waits for: sets of descriptors, each with its epoll.

Knows epoll and descriptors, not what is behind them. The rules (epoll(7), epoll_ctl(2), measured):

- Descriptors that other processes wait for too are added with EPOLLEXCLUSIVE, so that one message does not
  wake every idle mule. Such a descriptor is reported only if its wake-up ran here, or when it is added: after
  a wake-up was lost with a killed process, rearm() adds them again.
- One event at a time, and the caller takes from the source it names: else a pool message that woke this mule
  would wait for the handler of a direct one, beside idle mules.
- The kernel's ready list goes round: no source starves the others.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ipcmules.kernel import unpatched_polls

_EXCLUSIVE = select.EPOLLIN | select.EPOLLEXCLUSIVE

#: Which shared queues a receive reads, beside the name of one farm.
NO_QUEUES, POOL, FARMS, POOL_AND_FARMS = "-", "pool", "farms", "pool and farms"


class Want(NamedTuple):
    """What a receive waits for: signals, its mule's own queue, and which shared ones ('farm.NAME': one)."""

    signals: bool
    own: bool
    shared: str


#: What a receive of messages waits for, by its flags signals and farms.
WANTS = {
    (signals, farms): Want(signals, True, POOL_AND_FARMS if farms else POOL)
    for signals in (True, False)
    for farms in (True, False)
}
#: What a receive waits for that was told nothing.
EVERYTHING = WANTS[True, True]
SIGNALS = Want(True, False, NO_QUEUES)


def takes(want: Want, numbers: dict[str, int]) -> Callable[[int], bool]:
    """Says of a queue's number whether that receive reads it. numbers: of the queues, by name."""
    if want.own:
        return (lambda number: True) if want.shared == POOL_AND_FARMS else (lambda number: number <= 1)
    if want.shared == FARMS:
        return lambda number: number > 1
    return lambda number: number == numbers.get(want.shared)


class Sources:
    """A set of descriptors to wait for.

    shared: those that other processes wait for; own: the others. signals and queues: those of them to
    glance at between two buffered messages. own_queues: those of `own` that are queues.
    """

    def __init__(
        self,
        shared: Iterable[int],
        own: Iterable[int],
        signals: Iterable[int],
        queues: Iterable[int],
        own_queues: Iterable[int] = (),
    ) -> None:
        self.signals = tuple(signals)
        self.shared = tuple(shared)
        self.all = (*own, *self.shared)
        #: False while not every descriptor is waited for: then rearm().
        self.armed = True
        self._epoll = unpatched_polls.epoll()
        #: poll(seconds, most) as epoll's: the first ready descriptor as [(descriptor, events)].
        self.poll = self._epoll.poll
        for descriptor in own:
            self._epoll.register(descriptor, select.EPOLLIN)
        for descriptor in self.shared:
            self._epoll.register(descriptor, _EXCLUSIVE)
        self.shared_queues = tuple(queues)
        #: All queues among the descriptors.
        self.queues = (*self.shared_queues, *own_queues)
        self._glance = (*self.signals, *self.shared_queues)

    def ready(self) -> list[int]:
        """Which signal sources and shared queues are ready now; the signals first."""
        return _ready(self._glance)

    def ready_queues(self) -> list[int]:
        """Which queues are ready now."""
        return _ready(self.queues)

    def ready_signals(self) -> list[int]:
        """Which signal sources are ready now."""
        return _ready(self.signals)

    def rearm(self) -> None:
        """Add the shared descriptors again, so that they are reported if they are ready."""
        # A signal handler may raise between the two, or do the same: `armed` says what is to be done again.
        self.armed = False
        for descriptor in self.shared:
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(descriptor)
            with contextlib.suppress(FileExistsError):
                self._epoll.register(descriptor, _EXCLUSIVE)
        self.armed = True

    def fileno(self) -> int:
        """A descriptor that is readable while one of them may be."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()


def _ready(descriptors: tuple[int, ...]) -> list[int]:
    poller = unpatched_polls.poll()  # one a call: two threads must not use one at once
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(0)]
