"""A process that writes and reads a cache as the driver asks: cache_agent.py ipcmules|diskcache PATH NAME."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.programs.cache_loops import gets, sets
from benchmarks.programs.channel import serve


def opened(kind: str, path: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What writes and what reads."""
    if kind == "ipcmules":
        import ipcmules

        ours = ipcmules.cache(path, items=2000, size="64M")
        return ours.set, ours.get
    import diskcache

    theirs = diskcache.Cache(path)
    return theirs.set, theirs.get


if __name__ == "__main__":
    write, read = opened(sys.argv[1], sys.argv[2])
    serve(sys.argv[3], {"cache_sets": partial(sets, write), "cache_gets": partial(gets, read)})
