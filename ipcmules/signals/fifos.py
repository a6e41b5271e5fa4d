"""The FIFOs that wake whoever waits for signals: one an endpoint, a byte a wake-up.

A FIFO says "look", the counters in the table say what there is: bytes may be lost with a process, counts
may not. Knows names and the file system, nothing of counting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import Layout
from ipcmules.bus.places import RUNTIME_VARIABLE
from ipcmules.errors import AccessError, LimitError
from ipcmules.kernel.interruption import noted

#: Where a FIFO's link leads that was removed while a process had it open: a descriptor of that one (proc(5)).
_LINK = re.compile(r"/proc/\d+/fd/\d+\Z")


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
    """The name of an endpoint, workers' included: by arithmetic, for a bus has hundreds and asks for each."""
    layout = Layout.of(config)
    if endpoint == layout.held:
        return "held"
    ranges = ((layout.worker_endpoint(0), "worker"), (layout.spool_endpoint(0) - 1, "spool"))
    for before, name in (*ranges, (layout.mule_endpoint(0), "mule"), (layout.farm_endpoint(0), "farm")):
        number = endpoint - before
        if number <= 0:
            continue
        if name == "farm":
            return f"farm.{config.farms[number - 1].name}"
        return f"{name}{number - 1 if name == 'spool' else number}"
    return "worker0" if endpoint == layout.worker_pool else "mule0"


def create(path: str) -> None:
    """Make the FIFO, mode 0600; one of ours that is there already is kept, with what is in it.

    Raises AccessError if something else has that name, LimitError where its directory has no room,
    FileNotFoundError where there is no such directory.
    """
    try:
        os.mkfifo(path, 0o600)
        return
    except FileExistsError:
        found = os.lstat(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LimitError(
            f"no room for {path}, by which this process is woken: {error.strerror}; make room in that file "
            f"system (df -i shows its inodes), or set {RUNTIME_VARIABLE} to a directory elsewhere"
        ) from error
    if stat.S_ISLNK(found.st_mode):
        try:
            os.close(open_fifo(path))
        except (OSError, AccessError):
            os.unlink(path)  # it leads to a process that has ended
            create(path)
        return
    _verify(path, found)


def link(path: str, pid: int, descriptor: int) -> None:
    """Give a FIFO that was removed its name again: a link to the descriptor that a process has of it.

    linkat(2) gives an inode without a name no other one, so a link must do. Nothing is done where the name is
    taken.
    """
    with contextlib.suppress(FileExistsError):
        os.symlink(f"/proc/{pid}/fd/{descriptor}", path)


def open_fifo(path: str) -> int:
    """Open a FIFO for reading and writing, without ever blocking. Returns the descriptor.

    With both ends in every process's hands no open waits for the other side and no write gets EPIPE
    (fifo(7)). Raises FileNotFoundError if there is none, AccessError if it is not ours or no FIFO.
    """
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
    opened: list[int] = []
    try:
        try:
            descriptor = noted(opened, os.open, path, flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            descriptor = noted(opened, os.open, _followed(path), flags)
        _verify(path, os.fstat(descriptor))
        return descriptor
    except BaseException:
        for each in opened:
            os.close(each)
        raise


def _followed(path: str) -> str:
    """Where a FIFO's link leads. Raises FileNotFoundError if nothing is there any more."""
    target = os.readlink(path)
    if not _LINK.match(target):
        raise AccessError(f"{path} is a symbolic link to {target}: remove it")
    # The number may be another process's by now. What was removed still shows its name.
    name = os.path.basename(os.readlink(target)).removesuffix(" (deleted)")
    if name != os.path.basename(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return target


def _verify(path: str, found: os.stat_result) -> None:
    if not stat.S_ISFIFO(found.st_mode):
        raise AccessError(f"{path} is in the way and is no FIFO: remove it")
    if found.st_uid != os.geteuid():
        raise AccessError(
            f"{path} belongs to uid {found.st_uid}, this process is uid {os.geteuid()}: remove it"
        )
    if found.st_mode & 0o077:
        raise AccessError(f"{path} is open to others: chmod 600 {path}")
