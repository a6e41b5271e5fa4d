"""Kept messages: how many, and how old. Of many only the first are read."""

from __future__ import annotations

import time

from ipcmules.bus.places import Places
from ipcmules.errors import IpcMulesError
from ipcmules.messages import kept
from ipcmules.snapshot.values import NO_LETTERS, Letters

#: So many are read to see which wait to be queued again; all others count as dead letters.
_LOOKED_AT = 1000


def letters(where: Places) -> Letters:
    """How many kept messages a bus has."""
    try:
        paths = kept.listing(where)
    except (IpcMulesError, OSError):
        return NO_LETTERS
    if not paths:
        return NO_LETTERS
    waiting = gone = 0
    for each in paths[:_LOOKED_AT]:
        try:
            waiting += kept.header(each).again
        except FileNotFoundError:
            gone += 1
        except (OSError, ValueError):
            pass  # no whole message: it is for people to look at
    dead = len(paths) - waiting - gone
    return Letters(dead, waiting, _age(paths[0]) if dead + waiting else None)


def _age(path: str) -> float:
    return round(max(time.time() - kept.place_of(path) / 1e9, 0.0), 3)
