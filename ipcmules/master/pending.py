"""Signals that were raised and not handled when a bus ended: saved, and raised again at its next start.

Saved as STATE/BUS/signals.json (docs/formats.md) when a dead bus is taken over and at the end of a named
bus, given to the new bus's table before any process of it runs. Knows the table's counters and entries.

The app's registrations are saved with them, pending or not: attached processes raise signals at the new bus
while it still loads the app, and what nobody has registered would be dropped.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ipcmules import atomics, log, table
from ipcmules.config import BusConfig
from ipcmules.description import Description
from ipcmules.errors import LimitError
from ipcmules.places import Places, private_state
from ipcmules.signals import fifos
from ipcmules.table import Layout, Table


def save(where: Places, found: Description, shared: Table) -> None:
    """Save what is pending in the table of a bus that is over. An unnamed bus's signals are dropped.

    Saving it again (who did was killed before the table was removed) replaces what was saved.
    """
    config, layout = found.config, shared.layout
    if layout != Layout.of(config):
        log.event("error", f"the table of bus {where.bus!r} is not that of its description: signals are lost")
        return
    pending = {
        fifos.name_of(endpoint, config): counts
        for endpoint in _endpoints(shared)
        if (counts := _counts(shared, endpoint))
    }
    total = sum(count for counts in pending.values() for _number, count in counts)
    if not config.named:
        if total:
            log.event("warning", f"{total} signals were not handled and are dropped: the bus has no name")
        return
    numbers = {number for counts in pending.values() for number, _count in counts}
    numbers |= _apps(shared)
    if not numbers:
        return
    entries = [[number, _entry(shared, number).hex()] for number in sorted(numbers) if _entry(shared, number)]
    saved = _read(where)
    saved[str(found.generation)] = {"pending": pending, "entries": entries}
    _write(where, saved)
    if total:
        log.event("warning", f"{total} signals were not handled; they are raised again at the next start")


def give(where: Places, found: Description, shared: Table) -> None:
    """Raise again what was saved, at the endpoints this bus has; before any of its processes runs."""
    saved = _read(where)
    if not saved:
        return
    names = _names(found.config)
    for life in saved.values():
        for number, entry in life["entries"]:
            _restore(shared, number, bytes.fromhex(entry))
        for name, counts in life["pending"].items():
            total = sum(count for _number, count in counts)
            if name not in names:
                text = f"{total} saved signals are for {name}, which this bus does not have: dropped"
                log.event("warning", text)
                continue
            _raise(where, shared, names[name], counts)
            log.event("info", f"{total} saved signals for {name} are raised again")
    os.unlink(_path(where))


def _endpoints(shared: Table) -> list[int]:
    """The endpoints that can have counts: to look at the memory of a worker that never was allocates it."""
    layout = shared.layout
    there = list(range(layout.worker_endpoint(1)))
    for number in range(1, table.WORKER_SLOTS + 1):
        if shared.cells[shared.worker(number) + table.R_SINCE]:
            there.append(layout.worker_endpoint(number))
    return there


def _names(config: BusConfig) -> dict[str, int]:
    """Every endpoint the new bus will have from its start, by name."""
    layout = Layout.of(config)
    names = dict(fifos.endpoint_names(config))
    names.update(
        {f"worker{number}": layout.worker_endpoint(number) for number in range(1, config.processes + 1)}
    )
    return names


def _counts(shared: Table, endpoint: int) -> list[list[int]]:
    """Pairs of number and count; the counters keep what they have."""
    start = shared.layout.counter_offset(endpoint)
    if not any(shared.memory[start : start + table.ENDPOINT]):
        return []
    found = []
    for number in range(table.SIGNALS):
        address, count = shared.counter(endpoint, number), 0
        while not atomics.take(address):
            count += 1
        for _ in range(count):
            atomics.increment(address)
        if count:
            found.append([number, count])
    return found


def _entry(shared: Table, number: int) -> bytes:
    """A signal's entry, empty if nobody registered it."""
    if not shared.cells[shared.entry(number) + table.E_STAMP]:
        return b""
    start = shared.layout.entries + number * table.ENTRY
    return shared.memory[start : start + table.ENTRY]


def _apps(shared: Table) -> set[int]:
    """Numbers that the app has registered; of a bus that ended before that, those carried over to it."""
    cells = shared.cells
    by_app: set[int] = set()
    carried: set[int] = set()
    for number in range(table.SIGNALS):
        first = shared.entry(number)
        flags = cells[first + table.E_FLAGS]
        if cells[first + table.E_STAMP] and not flags & table.RUNTIME_ENTRY:
            (carried if flags & table.CARRIED else by_app).add(number)
    return by_app or carried


def _restore(shared: Table, number: int, entry: bytes) -> None:
    cells, first = shared.cells, shared.entry(number)
    start = shared.layout.entries + number * table.ENTRY
    if len(entry) != table.ENTRY or cells[first + table.E_STAMP]:
        return
    shared.memory[start : start + table.ENTRY] = entry
    cells[first + table.E_GENERATION] = 0
    cells[first + table.E_OWNER_PID] = cells[first + table.E_OWNER_START] = 0
    cells[first + table.E_FLAGS] |= table.CARRIED
    cells[table.H_STAMP] += 1
    cells[first + table.E_STAMP] = cells[table.H_STAMP]


def _raise(where: Places, shared: Table, endpoint: int, counts: list[list[int]]) -> None:
    # Nobody needs waking: whoever takes from an endpoint looks at its counters first (Taker.__init__).
    try:
        table.reserve(where.table, shared.layout.counter_offset(endpoint), table.ENDPOINT)
    except OSError as error:
        raise LimitError(
            f"no shared memory for saved signals: {error.strerror}; make room in /dev/shm"
        ) from error
    for number, count in counts:
        for _ in range(count):
            atomics.increment(shared.counter(endpoint, number))


# The file


def _path(where: Places) -> str:
    return os.path.join(where.state, "signals.json")


def _read(where: Places) -> dict[str, Any]:
    try:
        with open(_path(where), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.event("error", f"saved signals in {_path(where)} cannot be read: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _write(where: Places, saved: dict[str, Any]) -> None:
    private_state(where)
    temporary = f"{_path(where)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(saved, file)
    os.replace(temporary, _path(where))
