"""The names of uWSGI's module that are there only with the options of what they belong to, as there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ipcmules.compat import queueing, sharing, snmp, state


class Part(NamedTuple):
    """Calls by name, and whether this bus has what they belong to."""

    calls: Mapping[str, Callable[..., Any]]
    there: Callable[[], bool]


PARTS = (
    Part({**queueing.CALLS, "queue_size": queueing.size}, lambda: queueing.size() > 0),
    Part(sharing.CALLS, sharing.there),
    Part(snmp.CALLS, lambda: state.asked_for(snmp.OPTIONS)),
)
#: All such names.
NAMES = frozenset(name for part in PARTS for name in part.calls)


def find(name: str) -> Any:
    """What a name stands for on this bus. Raises KeyError where it is not there."""
    for part in PARTS:
        if name in part.calls and part.there():
            return queueing.size() if name == "queue_size" else part.calls[name]
    raise KeyError(name)


def names() -> set[str]:
    """Those that are there on this bus."""
    return {name for part in PARTS if part.there() for name in part.calls}
