"""What a process that joins looks up: the bus that an ancestor embeds, and the table of a description."""

from __future__ import annotations

import os

import posix_ipc

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, table
from ipcmules.bus.description import Description
from ipcmules.bus.places import Places, places, runtime_root
from ipcmules.errors import AccessError, NotAttached
from ipcmules.kernel import processes


def ancestral_bus() -> Places | None:
    """The bus that an ancestor embeds: that of a child of a forkserver older than the bus."""
    try:
        names = [entry.name for entry in os.scandir(runtime_root()) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return None
    if not names:
        return None
    ancestors = {(each.pid, each.start) for each in processes.ancestors()}
    for name in names:
        where = places(name)
        found = descriptions.read(where)
        if found is not None and tuple(found.config.owner) in ancestors and liveness.is_alive(where):
            return where
    return None


def table_of(where: Places, found: Description) -> table.Table:
    """The table that a description belongs to. Another bus of the name may be taking its place just now.

    Raises NotAttached if it is not there (yet), AccessError if it is not ours or not of this version.
    """
    try:
        shared = table.open(where.table)
    except posix_ipc.ExistentialError as error:
        raise NotAttached(f"bus {where.bus!r} is stopping: its table is gone; try again") from error
    except posix_ipc.PermissionsError as error:
        raise AccessError(f"shared memory {where.table} belongs to another user: have it removed") from error
    except AccessError as error:
        now = descriptions.read(where)
        if now == found and found.master.alive():
            raise
        raise NotAttached(f"bus {where.bus!r} is being started: its table is half made; try again") from error
    if shared.cells[table.H_GENERATION] != found.generation:
        raise NotAttached(f"bus {where.bus!r} is being started: its table is another's; try again")
    return shared
