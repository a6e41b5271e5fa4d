"""What a signal's target names: which endpoints of a bus, and whether that depends on its workers.

Knows the words of docs/targets.md, a bus's configuration and how many mules and farms it has; of files only
what the real path of a spool directory is.
A target that names nothing on a bus is no error: one code base runs with and without mules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from ipcmules.bus.layout import WORKER_SLOTS, Layout
from ipcmules.errors import SignalError

if TYPE_CHECKING:
    from ipcmules.bus.config import BusConfig

#: Bytes that the table has for a target (docs/formats-table.md).
LONGEST = 63

_NUMBERED = re.compile(r"(mule|worker|farm)([0-9]{1,9})\Z", re.ASCII)
_FIRST_WORKER = ("", "worker", "worker0")
_ALL_WORKERS = ("workers", "active-workers")


class Resolved(NamedTuple):
    """What a target means on one bus.

    `fixed` are endpoint numbers (bus/layout.py) that hold whoever is there; the rest depends on which
    workers live: `first` means the worker pool or, without workers, the endpoints in `instead`;
    `everyone` every worker; `worker` that one.
    """

    fixed: tuple[int, ...] = ()
    first: bool = False
    everyone: bool = False
    worker: int = 0
    instead: tuple[int, ...] = ()
    launched: int = 0  #: workers 1 to this number are the master's: they come back, so they always count

    @property
    def follows_workers(self) -> bool:
        """True if endpoints() can change while the bus runs."""
        return self.first or self.everyone or self.worker > 0

    def endpoints(self, layout: Layout, live: Collection[int]) -> tuple[int, ...]:
        """The endpoints to deliver to, given the numbers of the living workers; empty if there is nobody."""
        if self.first:
            return (layout.worker_pool,) if live or self.launched else self.instead
        if self.everyone:
            numbers = sorted({*live, *range(1, self.launched + 1)})
            return tuple(layout.worker_endpoint(each) for each in numbers)
        if self.worker:
            there = self.worker in live or self.worker <= self.launched
            return (layout.worker_endpoint(self.worker),) if there else ()
        return self.fixed


def check(target: object) -> str:
    """Return target if it can be written to the table.

    Raises TypeError if it is not a str, SignalError if it is longer than 63 bytes in UTF-8 or cannot be
    encoded. From uWSGI, which accepts any text and resolves it when the signal is raised.
    """
    if not isinstance(target, str):
        raise TypeError(
            f"a signal's target is a str such as 'mule1' or 'workers', not {type(target).__name__}"
        )
    try:
        size = len(target.encode())
    except UnicodeEncodeError:
        raise SignalError(f"target {target!r} is not valid text: it cannot be written as UTF-8") from None
    if size > LONGEST:
        raise SignalError(
            f"target {target!r} is {size} bytes long: at most {LONGEST} fit into the signal table"
        )
    if "\0" in target:
        raise SignalError(f"target {target!r} holds a NUL character: name a process, for example 'mule1'")
    return target


def of_cluster(target: str, config: BusConfig) -> bool:
    """True if a target names processes of other hosts too: 'mules@all', 'mule@any', 'worker1@web2'."""
    return "@" in target and bool(config.cluster)


def resolve(target: str, config: BusConfig) -> Resolved:
    """What a target means on the bus of this configuration. Unknown ones resolve to nothing."""
    layout = Layout.of(config)
    pool = (layout.mule_pool,) if config.mules else ()
    if target in _FIRST_WORKER:
        return Resolved(first=True, instead=pool, launched=config.processes)
    if target in _ALL_WORKERS:
        return Resolved(everyone=True, launched=config.processes)
    if target in ("mule", "mule0"):
        return Resolved(pool)
    if target == "mules":
        return Resolved(tuple(layout.mule_endpoint(each) for each in range(1, layout.mules + 1)))
    if target.startswith("farm_"):
        names = [each.name for each in config.farms]
        name = target[len("farm_") :]
        return Resolved((layout.farm_endpoint(1 + names.index(name)),)) if name in names else Resolved()
    if target == "spooler":
        return Resolved((layout.spool_endpoint(0),) if layout.spools else ())
    if target.startswith("/"):
        return _spool(os.path.realpath(target), layout, config)
    return _numbered(target, layout, config)


def _spool(directory: str, layout: Layout, config: BusConfig) -> Resolved:
    directories = [each.directory for each in config.spooled]
    if directory not in directories:
        return Resolved()
    return Resolved((layout.spool_endpoint(1 + directories.index(directory)),))


def _numbered(target: str, layout: Layout, config: BusConfig) -> Resolved:
    found = _NUMBERED.match(target)
    if found is None:
        return Resolved()
    kind, number = found[1], int(found[2])
    if kind == "mule":
        if number == 0:
            return Resolved((layout.mule_pool,) if config.mules else ())
        return Resolved((layout.mule_endpoint(number),) if number <= layout.mules else ())
    if kind == "farm":
        return Resolved((layout.farm_endpoint(number),) if 1 <= number <= layout.farms else ())
    if number == 0:
        return resolve("worker", config)
    return Resolved(worker=number, launched=config.processes) if number <= WORKER_SLOTS else Resolved()
