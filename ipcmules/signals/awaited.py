"""Workers of a web server that have ended, and that the server is about to start again: what is raised for
them meanwhile waits for their successors, as it does in uWSGI, whose workers keep their pipes.

Knows the table. Who they are the records say (R_PARENT), which api/webworkers.py writes by way of
member/workers.py.
"""

from __future__ import annotations

from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.table import Table
from ipcmules.kernel import atomics
from ipcmules.signals import handles

#: So many of a signal wait for such a worker: a server that has fewer workers than before starts no other,
#: and what is for it must not grow for ever. uWSGI's pipe holds about as many.
MOST = 256


def expected(table: Table) -> list[int]:
    """The numbers of the workers that live or are awaited."""
    return [each for each in range(1, WORKER_SLOTS + 1) if table.expected(table.worker(each))]


def handling(table: Table, signum: int) -> list[int]:
    """Those of them that handle a signal: an awaited one whose predecessor did."""
    return [each for each in expected(table) if handles.has(table, each, signum)]


def among(table: Table, numbers: list[int]) -> list[int]:
    """Those of some workers that are awaited."""
    return [each for each in numbers if table.awaited(table.worker(each))]


def is_full(table: Table, number: int, signum: int) -> bool:
    """True if a worker is awaited, and as many of a signal wait for it as may."""
    if not table.awaited(table.worker(number)):
        return False
    return atomics.value(table.counter(table.layout.worker_endpoint(number), signum)) >= MOST
