"""Signals that were raised and not handled when a bus ended: saved, and raised again at its next start.

Saved as STATE/BUS/signals.json (docs/formats.md) when a dead bus is taken over and at the end of a named
bus, given to the new bus's table before any process of it runs. Knows the table's counters and entries.

The app's registrations are saved with them, pending or not: attached processes raise signals at the new bus
while it still loads the app, and what nobody has registered would be dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from ipcmules import atomics, log, table
from ipcmules.config import BusConfig
from ipcmules.description import Description
from ipcmules.errors import LimitError
from ipcmules.places import Places, private_state
from ipcmules.signals import fifos
from ipcmules.signals.raiser import Raiser
from ipcmules.table import Layout, Table

#: Counts by endpoint's name and signal's number.
_Counts = dict[tuple[str, int], int]


def save(where: Places, found: Description, shared: Table) -> None:
    """End the bus for whoever raises, and save what is pending. An unnamed bus's signals are dropped.

    Saving again, because who did was killed before the table was removed, adds what was not saved yet.
    """
    shared.cells[table.H_STATE] = table.STOPPED
    atomics.fence()
    config, layout = found.config, shared.layout
    if layout != Layout.of(config):
        log.event("error", f"the table of bus {where.bus!r} is not that of its description: signals are lost")
        return
    if not config.named:
        _drop(config, shared)
    elif shared.cells[table.H_GIVEN]:
        _save(where, found, shared)
    # Else who started the bus was killed before the table had all that was saved, and nobody has joined it.


def _drop(config: BusConfig, shared: Table) -> None:
    total = sum(_all_counts(shared, config, atomics.value).values())
    if total:
        log.event("warning", f"{total} signals were not handled and are dropped: the bus has no name")


def _save(where: Places, found: Description, shared: Table) -> None:
    """Write down all counts, then take them, then write down what was taken.

    Taking tells whoever raises at this moment that his count is saved (Raiser); writing before it keeps the
    counts if this process is killed in between. Lives in the file other than this one are over: the table was
    given all they had.
    """
    life = str(found.generation)
    before = _read(where).get(life, {})
    there = _all_counts(shared, found.config, atomics.value)
    total = _total(before, there)
    if total:
        _write(where, life, _life(shared, total, taken=False))
    # What came or went between the two looks at the counters.
    for key, taken in _all_counts(shared, found.config, _take).items():
        total[key] = total.get(key, 0) + taken - there.pop(key, 0)
    for key, gone in there.items():
        total[key] -= gone
    total = {key: count for key, count in total.items() if count > 0}
    saved = _life(shared, total, taken=True)
    if saved["entries"] or total:
        _write(where, life, saved)
    else:
        _remove(where)
    if total:
        text = f"{sum(total.values())} signals were not handled; they are raised again at the next start"
        log.event("warning", text)


def _total(before: dict[str, Any], there: _Counts) -> _Counts:
    """What is in the file and in the counters, where who saved may have been killed between any two steps."""
    total = dict(there)
    for name, counts in before.get("pending", {}).items():
        for number, count in counts:
            key = (name, number)
            # Not taken yet, or not all of it: then the counters have a part of what is in the file.
            total[key] = count + there.get(key, 0) if before.get("taken") else max(count, there.get(key, 0))
    return total


def _life(shared: Table, total: _Counts, taken: bool) -> dict[str, Any]:
    """A life of the bus as it is in the file."""
    pending: dict[str, list[list[int]]] = {}
    for (name, number), count in total.items():
        pending.setdefault(name, []).append([number, count])
    numbers = {number for _name, number in total} | _apps(shared)
    entries = [[number, _entry(shared, number).hex()] for number in sorted(numbers) if _entry(shared, number)]
    return {"pending": pending, "entries": entries, "taken": taken}


def give(where: Places, found: Description, shared: Table) -> None:
    """Raise again what was saved, at the endpoints this bus has; before any of its processes runs."""
    saved = _read(where)
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
    # From this store on the table has them, whatever becomes of this process, and the file does not count.
    shared.cells[table.H_GIVEN] = 1
    _remove(where)


def release(shared: Table, raiser: Raiser) -> None:
    """The bus is ready: raise what was raised before the app was loaded; unregistered numbers are dropped."""
    atomics.fence()  # after the state was set: who raises later sees that
    for number in range(table.SIGNALS):
        while not atomics.take(shared.counter(shared.layout.held, number)):
            raiser.raise_signal(number)


def _endpoints(shared: Table, config: BusConfig) -> list[int]:
    """The endpoints that can have counts: to look at the memory of a worker that never was allocates it."""
    layout = shared.layout
    there = list(range(layout.worker_endpoint(1)))
    for number in range(1, table.WORKER_SLOTS + 1):
        if number <= config.processes or shared.cells[shared.worker(number) + table.R_SINCE]:
            there.append(layout.worker_endpoint(number))
    return there


def _names(config: BusConfig) -> dict[str, int]:
    """Every endpoint the new bus has from its start, by name."""
    return dict([*fifos.endpoint_names(config), ("held", Layout.of(config).held)])


def _all_counts(shared: Table, config: BusConfig, look: Callable[[int], int]) -> _Counts:
    """All counts that are not 0, by the endpoint's name and the signal's number."""
    found: _Counts = {}
    for endpoint in _endpoints(shared, config):
        start = shared.layout.counter_offset(endpoint)
        if not any(shared.memory[start : start + table.ENDPOINT]):
            continue
        name = fifos.name_of(endpoint, config)
        for number in range(table.SIGNALS):
            count = look(shared.counter(endpoint, number))
            if count:
                found[name, number] = count
    return found


def _take(address: int) -> int:
    """Take everything from a counter. Returns how much that was."""
    count = 0
    while not atomics.take(address):
        count += 1
    return count


def _entry(shared: Table, number: int) -> bytes:
    """What a signal's entry says of its registration, empty if nobody registered it."""
    if not shared.cells[shared.entry(number) + table.E_STAMP]:
        return b""
    start = shared.layout.entries + number * table.ENTRY
    return shared.memory[start : start + table.REGISTRATION]


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
    if len(entry) != table.REGISTRATION or cells[first + table.E_STAMP]:
        return
    shared.memory[start : start + table.REGISTRATION] = entry
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


def _remove(where: Places) -> None:
    try:
        os.unlink(_path(where))
    except FileNotFoundError:
        pass


def _write(where: Places, life: str, saved: dict[str, Any]) -> None:
    private_state(where)
    temporary = f"{_path(where)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({life: saved}, file)
    os.replace(temporary, _path(where))
