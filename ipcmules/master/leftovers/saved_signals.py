"""Signals that were raised and not handled when a bus ended: saved, and raised again at its next start.

Saved as STATE/BUS/signals-DIGEST.json (docs/formats.md) when a dead bus is taken over and at the end of a
named bus, given to the new bus's table before any process of it runs. Knows the table's counters and entries.

The app's registrations are saved with them, pending or not: attached processes raise signals at the new bus
while it still loads the app, and what nobody has registered would be dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from ipcmules.bus import log, table
from ipcmules.bus.config import BusConfig
from ipcmules.bus.description import Description
from ipcmules.bus.layout import ENDPOINT, ENTRY, SIGNALS, Layout
from ipcmules.bus.places import Places, private_state
from ipcmules.bus.table import Table
from ipcmules.kernel import atomics, exhaustion, files
from ipcmules.signals import fifos
from ipcmules.signals.counts import Counts, all_counts
from ipcmules.signals.raiser import Raiser


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
    total = sum(all_counts(shared, config, atomics.value).values())
    if total:
        log.event("warning", f"{total} signals were not handled and are dropped: the bus has no name")


def _save(where: Places, found: Description, shared: Table) -> None:
    """Write down all counts, then take them, then write down what was taken.

    Taking tells whoever raises at this moment that his count is saved (Raiser); writing before it keeps the
    counts if this process is killed in between. Lives in the file other than this one are over: the table was
    given all they had.
    """
    life = str(found.generation)
    _remove(_older(where))  # given to the table; whoever gave it was killed before he could forget() it
    before = _read(where).get(life, {})
    there = all_counts(shared, found.config, atomics.value)
    total = _total(before, there)
    if total:
        _write(where, life, _life(shared, total, taken=False))
    # What came or went between the two looks at the counters.
    for key, taken in all_counts(shared, found.config, _take).items():
        total[key] = total.get(key, 0) + taken - there.pop(key, 0)
    for key, gone in there.items():
        total[key] -= gone
    total = {key: count for key, count in total.items() if count > 0}
    saved = _life(shared, total, taken=True)
    if saved["entries"] or total:
        _write(where, life, saved)
    else:
        _remove(_path(where))
    if total:
        text = f"{sum(total.values())} signals were not handled; they are raised again at the next start"
        log.event("warning", text)


def _total(before: dict[str, Any], there: Counts) -> Counts:
    """What is in the file and in the counters, where who saved may have been killed between any two steps."""
    total = dict(there)
    for name, counts in before.get("pending", {}).items():
        for number, count in counts:
            key = (name, number)
            # Not taken yet, or not all of it: then the counters have a part of what is in the file.
            total[key] = count + there.get(key, 0) if before.get("taken") else max(count, there.get(key, 0))
    return total


def _life(shared: Table, total: Counts, taken: bool) -> dict[str, Any]:
    """A life of the bus as it is in the file."""
    pending: dict[str, list[list[int]]] = {}
    for (name, number), count in total.items():
        pending.setdefault(name, []).append([number, count])
    numbers = {number for _name, number in total} | _apps(shared)
    entries = [[number, _entry(shared, number).hex()] for number in sorted(numbers) if _entry(shared, number)]
    return {"pending": pending, "entries": entries, "taken": taken}


def give(where: Places, found: Description, shared: Table) -> None:
    """Raise again what was saved, at the endpoints this bus has; before any of its processes runs."""
    _take_older(where)
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
    # From this store on the table has them, whatever becomes of this process, and the file does not count;
    # but where the bus cannot be made after all, and its table is removed, it is all there is: see forget().
    shared.cells[table.H_GIVEN] = 1


def forget(where: Places) -> None:
    """Remove the file: the bus is made, and its table has what was in it."""
    _remove(_older(where))
    _remove(_path(where))


def release(shared: Table, raiser: Raiser) -> None:
    """The bus is ready: raise what was raised before the app was loaded; unregistered numbers are dropped."""
    atomics.fence()  # after the state was set: who raises later sees that
    for number in range(SIGNALS):
        while not atomics.take(shared.counter(shared.layout.held, number)):
            raiser.raise_signal(number)


def _names(config: BusConfig) -> dict[str, int]:
    """Every endpoint the new bus has from its start, by name."""
    return dict([*fifos.endpoint_names(config), ("held", Layout.of(config).held)])


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
    start = shared.layout.entries + number * ENTRY
    return shared.memory[start : start + table.REGISTRATION]


def _apps(shared: Table) -> set[int]:
    """Numbers that the app has registered; of a bus that ended before that, those carried over to it."""
    cells = shared.cells
    by_app: set[int] = set()
    carried: set[int] = set()
    for number in range(SIGNALS):
        first = shared.entry(number)
        flags = cells[first + table.E_FLAGS]
        if cells[first + table.E_STAMP] and not flags & table.RUNTIME_ENTRY:
            (carried if flags & table.CARRIED else by_app).add(number)
    return by_app or carried


def _restore(shared: Table, number: int, entry: bytes) -> None:
    cells, first = shared.cells, shared.entry(number)
    start = shared.layout.entries + number * ENTRY
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
    table.reserve(where.table, shared.layout.counter_offset(endpoint), ENDPOINT)
    for number, count in counts:
        for _ in range(count):
            atomics.increment(shared.counter(endpoint, number))


# The file


def _path(where: Places) -> str:
    return where.signals


def _older(where: Places) -> str:
    """Where the file of an older version is once it is this bus's."""
    return f"{where.signals}.older"


def _take_older(where: Places) -> None:
    """An older version's file has no digest in its name: of all buses of this name one can rename it."""
    if not os.path.lexists(_older(where)):
        with contextlib.suppress(FileNotFoundError):
            os.rename(where.older(where.signals), _older(where))


def _read(where: Places) -> dict[str, Any]:
    """The lives that are in the files, by generation; what this version wrote comes before an older one's.

    What is no such file is set aside, and that is logged.
    """
    return {**_read_file(_older(where)), **_read_file(_path(where))}


def _read_file(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        _check(found)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, OSError) and exhaustion.refused(error):
            raise  # that says nothing about the file
        _set_aside(path, error)
        return {}
    return dict(found)


def _check(found: Any) -> None:
    """Raise an error of one of several classes if this is not what _write() writes."""
    for life in found.values():
        for number, entry in life["entries"]:
            _check_number(number)
            bytes.fromhex(entry)
        for counts in life["pending"].values():
            for number, count in counts:
                _check_number(number)
                if type(count) is not int or count < 0:
                    raise ValueError(f"{count!r} is no count of signals")


def _check_number(number: Any) -> None:
    if type(number) is not int or not 0 <= number < SIGNALS:
        raise ValueError(f"{number!r} is no signal")


def _set_aside(path: str, error: Exception) -> None:
    aside = f"{path}.unread.{time.time_ns()}"
    try:
        os.rename(path, aside)
        now = f"they are not raised; the file is kept as {aside}"
    except OSError as failure:
        now = f"and the file cannot be set aside: {failure.strerror}"
    why = f"{error!r}; did another version of ipcmules write them?"
    log.event("error", f"saved signals in {path} cannot be read ({why}): {now}")


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write(where: Places, life: str, saved: dict[str, Any]) -> None:
    private_state(where)
    files.replace(_path(where), json.dumps({life: saved}).encode())
