"""What is raised and not taken: all counters of a table that are not 0, by endpoint and number."""

from __future__ import annotations

from collections.abc import Callable

from ipcmules.bus import table
from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import ENDPOINT, SIGNALS, WORKER_SLOTS
from ipcmules.bus.table import Table
from ipcmules.signals import fifos

#: Counts by endpoint's name and signal's number.
Counts = dict[tuple[str, int], int]


def all_counts(shared: Table, config: BusConfig, look: Callable[[int], int]) -> Counts:
    """All counts that are not 0. look: takes the address of a counter, gives its count."""
    found: Counts = {}
    for endpoint in _endpoints(shared, config):
        start = shared.layout.counter_offset(endpoint)
        if shared.memory[start : start + ENDPOINT].count(0) == ENDPOINT:
            continue
        name = fifos.name_of(endpoint, config)
        for number in range(SIGNALS):
            count = look(shared.counter(endpoint, number))
            if count:
                found[name, number] = count
    return found


def _endpoints(shared: Table, config: BusConfig) -> list[int]:
    """The endpoints that can have counts: to look at the memory of a worker that never was allocates it."""
    layout = shared.layout
    there = list(range(layout.worker_endpoint(1)))
    for number in range(1, WORKER_SLOTS + 1):
        if number <= config.processes or shared.cells[shared.worker(number) + table.R_SINCE]:
            there.append(layout.worker_endpoint(number))
    return there
