"""Removing what dead buses left in this runtime directory: `ipcmules clean`, and the start of any bus.

A bus is touched only with its lock held, so never a living one, and never one whose processes still run.
What a dead bus has queued is saved first, as at a takeover. Other users' objects have other names and
are in other directories; so are those of other runtime directories, whose buses cannot be asked here.
"""

from __future__ import annotations

import os

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, log
from ipcmules.bus.places import NAME, Places, places, private_directory, state_root
from ipcmules.errors import BusRunning, FormatError, IpcMulesError
from ipcmules.master.leftovers import saved_messages, saved_signals, takeover
from ipcmules.master.objects import inventory, objects
from ipcmules.messages import kept


def dead_buses() -> list[Places]:
    """Every bus of this runtime directory of which something is left and that has no living master."""
    found = [places(name) for name in sorted(inventory.names()) if NAME.match(name)]
    return [where for where in found if not liveness.is_alive(where) and _left(where)]


def _left(where: Places) -> bool:
    try:
        return bool(inventory.of(where))
    except FormatError:
        return True  # bus() and remains.of() say so


def bus(where: Places) -> list[str]:
    """Remove what a dead bus left, having saved its messages and signals. Returns what that was.

    Raises BusRunning if it is alive after all, or processes of it still run; AccessError if something under
    its names is not ours.
    """
    lock = liveness.hold(where)
    try:
        if os.path.lexists(where.runtime):
            private_directory(where.runtime)
        inventory.check_owners(where)
        left = [each for each in inventory.of(where) if each != where.lock] or [where.lock]
        shared = takeover.old_table(where)
        survivors = takeover.survivors(shared) if shared is not None else []
        if survivors:
            names = ", ".join(f"{name} (pid {process.pid})" for name, process in survivors[:10])
            raise BusRunning(
                f"bus {where.bus!r} has no master, but processes of it still run: {names}; wait for their end"
            )
        found = inventory.described(where)
        if shared is not None and found.generation:
            saved_signals.save(where, found, shared)
        saved_messages.save(where, found)
        objects.remove(where, found, shared)
        return left
    finally:
        liveness.release(where, lock)


def unnamed(root: str) -> None:
    """Remove what unnamed buses left whose masters were killed: nobody starts them again."""
    for name in inventory.names_in(root):
        if not NAME.match(name) or not os.path.isdir(os.path.join(root, name)):
            continue
        where = places(name)
        try:
            found = descriptions.read(where)
            if found is None or found.config.named or liveness.is_alive(where):
                continue
            bus(where)
            log.event("info", f"removed what the dead bus {name!r} left: it had no name")
        except BusRunning:
            continue  # its processes are still ending: another start will see to it
        except (IpcMulesError, OSError, ValueError, TypeError, KeyError) as error:
            log.event("warning", f"what the dead bus {name!r} left cannot be removed: {error}")


def dead_letters() -> dict[str, int]:
    """How many dead letters each bus of this user has."""
    counts: dict[str, int] = {}
    for name in inventory.names_in(state_root()):
        if NAME.match(name):
            count = sum(not waits(path) for path in [*kept.older(places(name)), *kept.listing(places(name))])
            if count:
                counts[name] = count
    return counts


def waits(path: str) -> bool:
    """True if a kept message is no dead letter, but queued again by the bus itself."""
    try:
        return kept.header(path).again
    except (OSError, ValueError):
        return False
