"""The flat function of counters: ipcmules.counter(). Knows membership and where a bus has its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership

if TYPE_CHECKING:
    from ipcmules.counters.counter import Counter
    from ipcmules.counters.segment import Segment


def counter(name: str, initial: int = 0) -> Counter:
    """A counter of the bus this process is on: a number that all its processes share.

    name: letters, digits, '.', '-' and '_'; one that is not declared (--metric) is made now. initial: what it
    begins with then. `ipcmules status` shows all of them.

    Raises CounterError for a name that cannot be, and beyond 1,024 counters, NotAttached on no bus,
    LimitError where shared memory is full.
    """
    with importing:
        from ipcmules.counters.counter import Counter

    return Counter(name, segment, initial)


def segment() -> Segment:
    """The counters of the bus this process is on, the next one if that has ended. Raises NotAttached,
    BusStopped."""
    with importing:
        from ipcmules.counters import counter

    member = membership.find() or membership.current()
    return counter.opened(member.where, member.table)
