"""Signals from the table, and events as the master tells them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ipcmules.bus import control, table
from ipcmules.bus.description import Description
from ipcmules.bus.layout import SIGNALS, WORKER_SLOTS
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import atomics
from ipcmules.signals import running
from ipcmules.signals.counts import all_counts
from ipcmules.snapshot.values import Event, Signal


def registered(found: Description, shared: Table | None) -> tuple[Signal, ...]:
    """The signals that are registered, by number, and those that are raised without."""
    if shared is None:
        return ()
    pending: dict[int, int] = {}
    for (_endpoint, number), count in all_counts(shared, found.config, atomics.value).items():
        pending[number] = pending.get(number, 0) + count
    records = _records(found, shared)
    return tuple(
        _signal(shared, number, pending.get(number, 0), records)
        for number in range(SIGNALS)
        if shared.cells[shared.entry(number) + table.E_STAMP] or number in pending
    )


def _records(found: Description, shared: Table) -> list[int]:
    """First cells of the records of processes that live."""
    config = found.config
    numbers = [("mule", each + 1) for each in range(len(config.mules))]
    numbers += [("spooler", each + 1) for each in range(len(config.spooler_directories))]
    numbers += [("worker", each + 1) for each in range(WORKER_SLOTS)]
    records = (shared.record(*each) for each in numbers)
    return [each for each in records if shared.cells[each + table.R_PID]]


def _signal(shared: Table, number: int, pending: int, records: list[int]) -> Signal:
    cells, entry = shared.cells, shared.entry(number)
    runs = atomics.value(shared.runs(number))
    ended = cells[entry + table.E_ENDED]
    return Signal(
        number=number,
        target=shared.text(number, table.E_TARGET),
        handler=shared.text(number, table.E_HANDLER),
        runs=runs,
        exceptions=int(cells[entry + table.E_EXCEPTIONS]),
        pending=pending,
        running=sum(running.is_held(cells, each, number) for each in records),
        last=_moment(ended) if ended else None,
        last_duration=cells[entry + table.E_DURATION] / 1e9 if ended else None,
        spent=cells[entry + table.E_SPENT] / 1e9,
    )


def _moment(clock: int) -> float:
    """A moment of the monotonic clock as seconds since 1970."""
    return time.time() - (time.monotonic_ns() - clock) / 1e9


def events(
    where: Places, shared: Table | None, signals: Sequence[Signal], patience: float
) -> tuple[Event, ...] | None:
    """What raises signals by itself; None where the master does not answer within so many seconds."""
    try:
        rows = control.ask(where, {"do": "events.list"}, patience)["events"]
    except (IpcMulesError, ValueError, OSError, KeyError):
        return None
    waiting = {each.number for each in signals if each.pending}
    return tuple(_event(each, shared, each["signal"] in waiting) for each in rows)


def _event(row: dict[str, Any], shared: Table | None, waits: bool) -> Event:
    return Event(
        kind=row["kind"],
        signal=row["signal"],
        schedule=row["schedule"],
        handler=row["handler"] or "",
        target=row["target"] or "",
        next=row["next"],
        last=row["last"],
        late=_late(row, shared, waits),
        ticks=row["ticks"],
        skips=row["skips"],
        runs=row["runs"],
        exceptions=row["exceptions"],
        last_duration=row["last_duration"],
        row=row,
    )


def _late(row: dict[str, Any], shared: Table | None, waits: bool) -> float | None:
    """See Event: by when the run that ended last began."""
    number = row["signal"]
    if not row["last"] or number is None or shared is None:
        return None
    raised = float(row["last"])
    cells, entry = shared.cells, shared.entry(number)
    ended = cells[entry + table.E_ENDED]
    began = _moment(ended - cells[entry + table.E_DURATION]) if ended else 0.0
    # Two clocks are read one after the other: a moment before is the same moment.
    if began >= raised - 0.005:
        return round(max(began - raised, 0.0), 3)
    return round(time.time() - raised, 3) if waits else None
