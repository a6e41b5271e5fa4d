"""The caches of a bus: where their files are, and how to remove them. Needs no lmdb.

A cache without `store=` is in /dev/shm, under the name that the bus's other objects there have, with
`c.NAME.mdb` behind it (a NAME has no dot). May know buses.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

from ipcmules.bus.places import Places
from ipcmules.caches import control
from ipcmules.errors import CacheError
from ipcmules.options.caches import CacheSpec

_DIRECTORY = "/dev/shm"


def path_of(where: Places, spec: CacheSpec) -> str:
    """The path of a cache's data."""
    return spec.store or os.path.join(_DIRECTORY, f"{where.kernel.lstrip('/')}c.{spec.name}.mdb")


def find(where: Places, specs: Iterable[CacheSpec], name: str) -> str:
    """The path of the cache of that name. Raises CacheError."""
    specs = tuple(specs)
    for each in specs:
        if each.name == name:
            return path_of(where, each)
    if not specs:
        raise CacheError(
            f"bus {where.bus!r} has no cache, so none called {name!r}: start it with --cache name={name}"
        )
    names = ", ".join(repr(each.name) for each in specs)
    raise CacheError(f"unknown cache {name!r}: bus {where.bus!r} has {names}; add --cache name={name}")


def remove(where: Places) -> list[str]:
    """Remove the files of a bus's caches in /dev/shm, whatever its description says. Returns them."""
    prefix = glob.escape(os.path.join(_DIRECTORY, f"{where.kernel.lstrip('/')}c."))
    found = [
        each for each in glob.glob(f"{prefix}*.mdb*") if "." not in each[len(prefix) :].partition(".mdb")[0]
    ]
    for each in found:
        if each.endswith("-use"):
            control.mark_over(each)
        os.unlink(each)
    return found
