"""What the kernel has of a bus: queues and locks; and the files of its caches and its ring."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import replace
from operator import itemgetter

import posix_ipc
import sysv_ipc

from ipcmules.areas import area
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.places import Places
from ipcmules.caches import control
from ipcmules.caches.places import path_of
from ipcmules.errors import AccessError
from ipcmules.messages.lanes import saving
from ipcmules.messages.lanes.directory import Directory, number_of
from ipcmules.options.caches import CacheSpec
from ipcmules.rings import ring as rings
from ipcmules.snapshot.values import Area, Cache, Lock, Queue, Ring

#: Of a page with LMDB's own account: its magic number, the page's size, the pages and entries of the data,
#: the last page in use, and which of the two accounts is the newer one (lmdb's mdb.c, MDB_meta).
_META = struct.Struct("=16x I4x 8x Q I44x 8x 3Q Q 8x Q Q")
_LMDB = 0xBEEFC0DE


def queues(where: Places, found: Description) -> tuple[Queue, ...]:
    """The message queues of a bus."""
    try:
        directory = Directory(where) if found.config.mules else None
    except (posix_ipc.Error, AccessError):
        directory = None  # it is being made, or removed
    return tuple(_queue(each, found, directory) for each in found.queues)


def _queue(spec: QueueSpec, found: Description, directory: Directory | None) -> Queue:
    messages = waiting = taken = number = 0
    still = 0.0
    if directory is not None and not spec.is_spool:
        number = number_of(found.config, spec.endpoint)
        taken = directory.taken(number)  # first: what is taken meanwhile is missed, and not told twice
    try:
        queue = posix_ipc.MessageQueue(spec.name, write=False)
    except (posix_ipc.Error, OSError):
        pass  # removed while we look: the bus is stopping
    else:
        messages = queue.current_messages
        # When something was sent or received last, in whole seconds (ipc/mqueue.c).
        still = round(max(time.time() - os.fstat(queue.mqd).st_mtime - 1, 0.0), 3)
        queue.close()
    if directory is not None and not spec.is_spool:
        waiting = saving.count(directory, number)
    oldest = still if messages else 0.0 if waiting else None
    return Queue(spec.endpoint, messages, spec.depth, spec.size, waiting, taken, oldest)


def locks(found: Description) -> tuple[Lock, ...]:
    """The locks of a bus, as far as they can be looked at."""
    seen = []
    for number, key in enumerate(found.semaphores):
        try:
            semaphore = sysv_ipc.Semaphore(key)
            taken, holder = semaphore.value == 0, semaphore.last_pid
            seen.append(Lock(number, holder if taken else 0, semaphore.waiting_for_nonzero))
        except (sysv_ipc.Error, OSError):
            continue  # removed while we look
    return tuple(seen)


def caches(where: Places, found: Description) -> tuple[Cache, ...]:
    """The caches of a bus."""
    return tuple(_cache(path_of(where, each), each) for each in found.config.caches)


def _cache(path: str, spec: CacheSpec) -> Cache:
    """What the files say, read without opening the cache: that would be a lock, and once a process."""
    nothing = Cache(spec.name, path, spec.items, spec.size, spec.full)
    try:
        with open(path, "rb") as file:
            head = file.read(_META.size)
            page = _META.unpack(head)[2]
            accounts = (_META.unpack(head), _META.unpack(os.pread(file.fileno(), _META.size, page)))
            size = os.fstat(file.fileno()).st_size
        with open(f"{path}-use", "rb") as file:
            cells = memoryview(file.read(8 * control.FIRST)).cast("Q")
            evicted = int(cells[control.C_EVICTED])
    except (OSError, ValueError, struct.error, IndexError):
        return nothing
    magic, most, _page, _branches, _leaves, _overflow, entries, last, _number = max(
        accounts, key=itemgetter(-1)
    )
    if magic != _LMDB:
        return nothing
    return replace(nothing, size=most or size, entries=entries, used=(last + 1) * page, evicted=evicted)


def ring(where: Places, found: Description) -> Ring | None:
    """The queue of slots, None where the bus has none."""
    slots = found.config.queue
    if not slots:
        return None
    try:
        with open(rings.path_of(where, found.config), "rb") as file:
            push, pull = struct.unpack("=QQ", file.read(16))
    except (OSError, struct.error):
        return None
    return Ring(slots, push, pull)


def areas(found: Description) -> tuple[Area, ...]:
    """The shared areas of a bus, by number."""
    ordered = enumerate(area.ordered(found.config.areas))
    return tuple(Area(number, each.size, each.file) for number, each in ordered)
