"""The FIFOs that wake whoever waits for signals: one an endpoint, a byte a wake-up.

A FIFO says "look", the counters in the table say what there is: bytes may be lost with a process, counts
may not. Knows names and the file system, nothing of counting.
"""

from __future__ import annotations

import os
import stat

from ipcmules.config import BusConfig
from ipcmules.errors import AccessError
from ipcmules.table import Layout


def endpoint_names(config: BusConfig) -> list[tuple[str, int]]:
    """Name and number of every endpoint a bus has from its start (that of an attached worker comes with it).

    The names are what Places.fifo takes: 'mule0', 'worker0', 'farm.NAME', 'muleN', 'spool0' (all spoolers),
    'spoolN' (those of the N-th directory), 'workerN'.
    """
    layout = Layout.of(config)
    names = [("mule0", layout.mule_pool), ("worker0", layout.worker_pool)]
    names += [
        (f"farm.{each.name}", layout.farm_endpoint(index)) for index, each in enumerate(config.farms, 1)
    ]
    names += [(f"mule{number}", layout.mule_endpoint(number)) for number in range(1, layout.mules + 1)]
    if layout.spools:
        names += [(f"spool{number}", layout.spool_endpoint(number)) for number in range(layout.spools + 1)]
    names += [
        (f"worker{number}", layout.worker_endpoint(number)) for number in range(1, config.processes + 1)
    ]
    return names


def name_of(endpoint: int, config: BusConfig) -> str:
    """The name of an endpoint, workers' included."""
    layout = Layout.of(config)
    if endpoint == layout.held:
        return "held"
    worker = endpoint - layout.worker_endpoint(0)
    if worker > 0:
        return f"worker{worker}"
    return next(name for name, number in endpoint_names(config) if number == endpoint)


def create(path: str) -> None:
    """Make the FIFO, mode 0600; one of ours that is there already is kept, with what is in it.

    Raises AccessError if something else has that name.
    """
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        _verify(path, os.lstat(path))


def open_fifo(path: str) -> int:
    """Open a FIFO for reading and writing, without ever blocking. Returns the descriptor.

    With both ends in every process's hands no open waits for the other side and no write gets EPIPE
    (fifo(7)). Raises FileNotFoundError if there is none, AccessError if it is not ours or no FIFO.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _verify(path, os.fstat(descriptor))
    except AccessError:
        os.close(descriptor)
        raise
    return descriptor


def _verify(path: str, found: os.stat_result) -> None:
    if not stat.S_ISFIFO(found.st_mode):
        raise AccessError(f"{path} is in the way and is no FIFO: remove it")
    if found.st_uid != os.geteuid():
        raise AccessError(
            f"{path} belongs to uid {found.st_uid}, this process is uid {os.geteuid()}: remove it"
        )
    if found.st_mode & 0o077:
        raise AccessError(f"{path} is open to others: chmod 600 {path}")
