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

import posix_ipc

from ipcmules import description as descriptions
from ipcmules import locks, log, processes, table
from ipcmules.config import BusConfig
from ipcmules.description import Description, QueueSpec
from ipcmules.errors import LimitError
from ipcmules.messages import inflight, large, queues
from ipcmules.places import Places, private_directory
from ipcmules.signals import fifos


@dataclass
class Objects:
    """What exists of a bus. The table is mapped, the FIFOs are held open: wake-ups outlive their readers."""

    where: Places
    description: Description
    table: table.Table
    fifos: list[int] = field(default_factory=list)
    notify: int = -1
    #: Queues a message again whose file it is given (Feeder.add), once there is somebody who does that.
    requeue: Callable[[str], object] | None = None
    #: Has senders' saved messages queued again (Feeder.look).
    collect: Callable[[], object] | None = None

    def set_state(self, state: int) -> None:
        """Write H_STATE."""
        self.table.cells[table.H_STATE] = state

    def close(self) -> None:
        """Close the FIFOs."""
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
    descriptions.write(where, found)
    try:
        found = _create_named(where, found)
        return _create_rest(where, found, prepare)
    except BaseException:
        remove(where, descriptions.read(where), None)
        raise


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
    shared = table.create(where.table, table.Layout.of(config), found.generation)
    shared.cells[table.H_FREQUENCY] = int(config.spooler_frequency * 1e9)
    shared.cells[table.H_MASTER_START] = found.master.start
    shared.cells[table.H_MASTER_PID] = found.master.pid
    inflight.create(where, len(config.mules))
    objects = Objects(where, found, shared)
    try:
        _reserve_workers(where, found.config, shared)
        for name, _endpoint in fifos.endpoint_names(config):
            fifos.create(where.fifo(name))
            objects.fifos.append(fifos.open_fifo(where.fifo(name)))
        fifos.create(where.notify)
        objects.notify = fifos.open_fifo(where.notify)
        objects.fifos.append(objects.notify)
        if prepare is not None:
            prepare(found, shared)
        objects.description = replace(found, complete=True)
        descriptions.write(where, objects.description)
    except BaseException:
        objects.close()
        raise
    return objects


def _reserve_workers(where: Places, config: BusConfig, shared: table.Table) -> None:
    """Signals for the workers that the master starts are counted from the start, as those for mules are."""
    layout = shared.layout
    try:
        for number in range(1, config.processes + 1):
            table.reserve(where.table, layout.counter_offset(layout.worker_endpoint(number)), table.ENDPOINT)
    except OSError as error:
        raise LimitError(
            f"shared memory for the signals of {config.processes} workers: {error.strerror}; make room in "
            "/dev/shm, or give the container more (docker: --shm-size)"
        ) from error


def remove(
    where: Places, found: Description | None, shared: table.Table | None, follows: bool = False
) -> None:
    """Remove everything of a bus that still exists, by its description. What cannot be removed is logged.

    follows: a bus of this name is being started: large messages that wait in senders' buffers are its own.
    """
    if shared is not None:
        shared.cells[table.H_STATE] = table.STOPPED
    steps: list[Callable[[], object]] = [
        lambda: large.sweep(where, spare=follows),
        lambda: inflight.remove(where),
        lambda: _remove_segment(where.table),
        lambda: _remove_directory(where.runtime),
    ]
    if found is not None and not found.config.named:
        steps.append(lambda: shutil.rmtree(where.state, ignore_errors=True))  # it keeps nothing after its end
    if found is not None:
        specs, keys = found.queues or possible_queues(where, found.config), found.semaphores
        steps[:0] = [lambda: queues.remove_all(specs), lambda: locks.remove(keys)]
    for step in steps:
        try:
            step()
        except Exception:
            log.exception("removing what the bus leaves:")


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
