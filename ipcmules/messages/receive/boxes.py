"""The queues a mule receives from, opened: its own, the pool's and those of its farms.

Knows the description and queues; not when they are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.errors import NotAMule
from ipcmules.messages import queues

#: An iterator each step of which receives a frame and never waits (posix_ipc.BusyError: the queue is empty),
#: and the queue's number in the slots.
Box = tuple[Iterator[tuple[bytes, int]], int]


class Boxes:
    """One mule's queues. Raises NotAMule if the bus has no such mule."""

    def __init__(self, where: Places, description: Description, number: int) -> None:
        farms = description.config.farms
        own = f"mule{number}"
        shared = ["pool", *(f"farm.{each.name}" for each in farms if number in each.mules)]
        # What the slots call a queue: 0 its own, 1 the pool, then all farms as the configuration has them.
        sources = {own: 0, "pool": 1, **{f"farm.{each.name}": at for at, each in enumerate(farms, 2)}}
        #: By descriptor.
        self.all: dict[int, Box] = {}
        #: What sends a frame to each, without waiting, by descriptor.
        self.senders: dict[int, Callable[[bytes, None, int], None]] = {}
        #: The numbers of the queues in the slots, by name.
        self.numbers = sources
        self.by_name: dict[str, int] = {}
        #: Bytes of the largest frame any of them carries.
        self.widest = 0
        for name in (own, *shared):
            spec = description.queue(name)
            if spec is None:
                raise NotAMule(
                    f"bus {where.bus!r} has no queue {name!r}: mule {number} is not one of its mules"
                )
            queue = queues.open_queue(spec)
            self.all[queue.mqd] = (map(queue.receive, itertools.repeat(None)), sources[name])
            self.senders[queue.mqd] = queue.send
            self.by_name[name] = queue.mqd
            self.widest = max(self.widest, spec.size)
        #: The descriptor of its own queue, and those of the others, the pool's first.
        self.own = self.by_name[own]
        self.shared = tuple(self.by_name[name] for name in shared)
