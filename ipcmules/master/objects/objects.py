"""The kernel objects and files of a bus: created at its start, removed at its end.

Knows the parts that own each kind of object only to call their create and remove. The order matters: the
description names semaphores before they exist, so that whatever a killed master leaves can be found.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import posix_ipc

from ipcmules.areas import area
from ipcmules.bus import description as descriptions
from ipcmules.bus import log, table
from ipcmules.bus.config import BusConfig
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.layout import ENDPOINT, Layout
from ipcmules.bus.places import Places, private_directory
from ipcmules.caches import places as cache_places
from ipcmules.counters import counter
from ipcmules.errors import LimitError
from ipcmules.kernel import exhaustion, processes
from ipcmules.locks import locks
from ipcmules.messages import large, queues, slots, spill
from ipcmules.messages.lanes import directory as lanes
from ipcmules.messages.lanes import saving
from ipcmules.messages.lanes.directory import Directory
from ipcmules.rings import ring
from ipcmules.signals import fifos

if TYPE_CHECKING:
    from ipcmules.caches.owned import Owned

#: What the system refuses while a bus is removed is tried again for so long, and so often, seconds.
_PATIENCE, _AGAIN = 2.0, 0.05


@dataclass
class Objects:
    """What exists of a bus. The table is mapped, the FIFOs are held open: wake-ups outlive their readers."""

    where: Places
    description: Description
    table: table.Table
    #: None for a bus without mules.
    lanes: Directory | None = None
    fifos: list[int] = field(default_factory=list)
    caches: list[Owned] = field(default_factory=list)
    notify: int = -1
    #: Queues a message again whose file it is given (Feeder.add), once there is somebody who does that.
    requeue: Callable[[str], object] | None = None
    #: Has senders' saved messages queued again (Feeder.look).
    collect: Callable[[], object] | None = None
    #: True once another master has the bus: nothing under its names is this one's any more.
    lost: bool = False

    def set_state(self, state: int) -> None:
        """Write H_STATE; of a bus that is another master's it stays STOPPED."""
        self.table.cells[table.H_STATE] = table.STOPPED if self.lost else state
        if self.lost and self.lanes is not None:
            saving.announce(self.lanes)

    def close(self) -> None:
        """Close the FIFOs, and put away the caches."""
        for each in self.caches:
            each.end(lost=self.lost)
        self.caches.clear()
        for descriptor in self.fifos:
            os.close(descriptor)
        self.fifos.clear()


def create(
    where: Places, config: BusConfig, prepare: Callable[[Description, table.Table], None] | None = None
) -> Objects:
    """Create everything; if anything fails, nothing is left. Raises LimitError, AccessError, OSError.

    prepare is called with the description and the table before any process can join.
    """
    private_directory(where.runtime)
    found = Description(config, time.time_ns(), processes.current())
    try:
        descriptions.write(where, found)
        found = _create_named(where, found)
        return _create_rest(where, found, prepare)
    except BaseException:
        remove(where, _written(where) or found, None)
        raise


def _written(where: Places) -> Description | None:
    try:
        return descriptions.read(where)
    except LimitError:
        return None


def _create_named(where: Places, found: Description) -> Description:
    """The objects that the description names: it is written before they exist, or as soon as they do."""
    found = replace(found, queues=queues.create_all(where, found.config))
    descriptions.write(where, found)

    def announce(keys: tuple[int, ...]) -> None:
        descriptions.write(where, replace(found, semaphores=keys))

    return replace(found, semaphores=locks.create_new(found.config.locks + 1, announce))


def _create_rest(
    where: Places, found: Description, prepare: Callable[[Description, table.Table], None] | None
) -> Objects:
    config = found.config
    shared = table.create(where.table, Layout.of(config), found.generation)
    shared.cells[table.H_FREQUENCY] = int(config.spooler_frequency * 1e9)
    shared.cells[table.H_MASTER_START] = found.master.start
    shared.cells[table.H_MASTER_PID] = found.master.pid
    slots.create(where, len(config.mules), max((each.size for each in found.queues), default=0))
    lanes.create(where, config, found.generation)
    objects = Objects(where, found, shared, Directory(where) if config.mules else None)
    try:
        _reserve_workers(where, found.config, shared)
        for name, _endpoint in fifos.endpoint_names(config):
            fifos.create(where.fifo(name))
            objects.fifos.append(fifos.open_fifo(where.fifo(name)))
        fifos.create(where.notify)
        objects.notify = fifos.open_fifo(where.notify)
        objects.fifos.append(objects.notify)
        _make_caches(objects)
        if config.queue:
            ring.make(where, config)
        if config.areas:
            area.make(where, config.areas)
        for metric in config.metrics:
            counter.opened(where, None).place(metric.name, metric.initial)
        if prepare is not None:
            prepare(found, shared)
        objects.description = replace(found, complete=True)
        descriptions.write(where, objects.description)
    except BaseException:
        objects.close()
        raise
    return objects


def _make_caches(objects: Objects) -> None:
    config = objects.description.config
    for spec in config.caches:
        from ipcmules.caches.owned import Owned  # lmdb: only a bus with a cache needs it

        objects.caches.append(Owned(objects.where, spec, config.cache_items))


def _reserve_workers(where: Places, config: BusConfig, shared: table.Table) -> None:
    """Signals for the workers that the master starts are counted from the start, as those for mules are."""
    layout = shared.layout
    for number in range(1, config.processes + 1):
        table.reserve(where.table, layout.counter_offset(layout.worker_endpoint(number)), ENDPOINT)


def remove(
    where: Places, found: Description | None, shared: table.Table | None, follows: bool = False
) -> None:
    """Remove everything of a bus that still exists, by its description. What cannot be removed is logged.

    follows: a bus of this name is being started: large messages of senders that wait are its own.
    """
    if shared is not None:
        shared.cells[table.H_STATE] = table.STOPPED
    steps: list[Callable[[], object]] = [
        lambda: large.sweep(where, spare=follows),
        lambda: slots.remove(where),
        lambda: lanes.remove(where),
        lambda: cache_places.remove(where),
        lambda: counter.remove(where),
        lambda: ring.remove(where),
        lambda: area.remove(where),
        lambda: _remove_segment(where.table),
        lambda: _remove_directory(where.runtime),
    ]
    if found is not None and not found.config.named:
        steps.append(lambda: shutil.rmtree(where.state, ignore_errors=True))  # it keeps nothing after its end
        steps += [partial(os.unlink, path) for path in spill.listing(where)]
    if found is not None:
        specs, keys = found.queues or possible_queues(where, found.config), found.semaphores
        steps[:0] = [lambda: queues.remove_all(specs), lambda: locks.remove(keys)]
    until = time.monotonic() + _PATIENCE
    for step in steps:
        _make_sure(step, until)


def _make_sure(step: Callable[[], object], until: float) -> None:
    """Make a step of the removal; one that the system refuses is made again until that time (monotonic)."""
    while True:
        try:
            step()
            return
        except Exception as error:
            if not isinstance(error, OSError) or not exhaustion.refused(error):
                log.exception("removing what the bus leaves:")
                return
            if time.monotonic() > until:
                why = exhaustion.explain(error, "some of what the bus leaves cannot be removed")
                log.event("error", f"{why}, then `ipcmules clean`")
                return
        time.sleep(_AGAIN)


def possible_queues(where: Places, config: BusConfig) -> tuple[QueueSpec, ...]:
    """The queues a description without them may have left: its master was killed while it created them."""
    return tuple(QueueSpec(each, where.queue(each), 0, 0) for each in queues.endpoints(config))


def _remove_segment(name: str) -> None:
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        pass


def _remove_directory(path: str) -> None:
    """Remove the bus's directory: ours, private and flat (only FIFOs and files)."""
    try:
        with os.scandir(path) as entries:
            names = [entry.path for entry in entries]
    except FileNotFoundError:
        return
    for name in names:
        os.unlink(name)
    os.rmdir(path)
