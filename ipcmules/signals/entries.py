"""The 256 signal entries of the table: finding, choosing and writing them.

Knows the table's cells and identities. Everything here is called with the registry lock held; readers
take no lock: the stamp is written last, and is 0 while an entry is being written.
"""

from __future__ import annotations

from ipcmules.bus.layout import ENTRY, SIGNALS
from ipcmules.bus.table import (
    CARRIED,
    E_FLAGS,
    E_GENERATION,
    E_HANDLER,
    E_IDENTITY,
    E_IDENTITY2,
    E_OWNER_PID,
    E_OWNER_START,
    E_RAISED,
    E_STAMP,
    E_TARGET,
    H_STAMP,
    REGISTRATION,
    RUNTIME_ENTRY,
    Table,
)
from ipcmules.errors import SignalError
from ipcmules.kernel import processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.signals.identity import Identity


def place(table: Table, identity: Identity, wish: int | None, code: int) -> int:
    """The shared number of a registration: the one it has already, else a new entry. Returns it.

    wish: the number asked for; None to have one chosen, from 255 down. code: the generation of the bus's
    code that registers; 0 in a process that the master did not start. Raises SignalError if a wish made
    outside loading the app is taken, or if all numbers are.
    """
    known = _find(table, identity)
    if known is not None:
        _renew(table, known, identity, code)
        return known
    number = _choose(table, identity, wish, code)
    _write(table, number, identity, code)
    return number


def drop_outdated(table: Table, code: int) -> list[int]:
    """Free the entries of code older than this generation, after a reload. Returns their numbers.

    What a living process registered outside loading the app stays, and so does what only processes
    registered that the master did not start.
    """
    dropped = [number for number in range(SIGNALS) if _is_outdated(table, number, code)]
    for number in dropped:
        table.cells[table.entry(number) + E_STAMP] = 0
    return dropped


def snapshot(table: Table) -> bytes:
    """All entries as they are, for take_back()."""
    start = table.layout.entries
    return bytes(table.memory[start : start + SIGNALS * ENTRY])


def take_back(table: Table, before: bytes, code: int) -> None:
    """Undo what code of this generation registered: its entries are again what they were in the snapshot."""
    cells = table.cells
    for number in range(SIGNALS):
        entry = table.entry(number)
        if cells[entry + E_GENERATION] != code or not cells[entry + E_STAMP]:
            continue
        old = memoryview(before[number * ENTRY : (number + 1) * ENTRY]).cast("Q")
        same = old[E_IDENTITY] == cells[entry + E_IDENTITY] and old[E_IDENTITY2] == cells[entry + E_IDENTITY2]
        cells[entry + E_STAMP] = 0
        # What was counted meanwhile stays counted.
        for cell in range(1, (REGISTRATION if same and old[E_STAMP] else ENTRY) // 8):
            cells[entry + cell] = old[cell]
        if old[E_STAMP]:
            _stamp(table, entry)


def _renew(table: Table, number: int, identity: Identity, code: int) -> None:
    """It is registered again: by a new owner if the first one is dead, by newer code."""
    entry = table.entry(number)
    table.cells[entry + E_FLAGS] &= ~CARRIED
    before = table.cells[entry + E_GENERATION]
    if not before and code and _owner(table, number).alive():
        return  # a process that the master did not start needs it, whatever the code does
    if identity.runtime and not _owner(table, number).alive():
        _own(table, number)
    table.cells[entry + E_GENERATION] = max(before, code)


def describe(table: Table, number: int) -> str:
    """Who has a number, for people."""
    text = f"{table.text(number, E_HANDLER)}() with target {table.text(number, E_TARGET)!r}"
    if table.cells[table.entry(number) + E_FLAGS] & RUNTIME_ENTRY:
        text += f", registered by process {_owner(table, number).pid}"
    return text


def _halves(identity: Identity) -> tuple[int, int]:
    return int.from_bytes(identity.digest[:8], "little"), int.from_bytes(identity.digest[8:], "little")


def _find(table: Table, identity: Identity) -> int | None:
    cells, (first, second) = table.cells, _halves(identity)
    for number in range(SIGNALS):
        entry = table.entry(number)
        if (
            cells[entry + E_IDENTITY] == first
            and cells[entry + E_IDENTITY2] == second
            and cells[entry + E_STAMP]
        ):
            return number
    return None


def _owner(table: Table, number: int) -> ProcessId:
    entry = table.entry(number)
    return ProcessId(table.cells[entry + E_OWNER_PID], table.cells[entry + E_OWNER_START])


def _is_free(table: Table, number: int) -> bool:
    return table.cells[table.entry(number) + E_STAMP] == 0


def _is_abandoned(table: Table, number: int) -> bool:
    """True if the bus before this one left it, or a process that is dead registered it outside loading."""
    flags = table.cells[table.entry(number) + E_FLAGS]
    if flags & CARRIED:
        return True
    return bool(flags & RUNTIME_ENTRY) and not _owner(table, number).alive()


def _is_outdated(table: Table, number: int, code: int) -> bool:
    """True if it was registered by older code of the bus, and no living process depends on it."""
    entry, cells = table.entry(number), table.cells
    if not cells[entry + E_STAMP] or not 0 < cells[entry + E_GENERATION] < code:
        return False
    return not cells[entry + E_FLAGS] & RUNTIME_ENTRY or not _owner(table, number).alive()


def _choose(table: Table, identity: Identity, wish: int | None, code: int) -> int:
    def is_outdated(table: Table, number: int) -> bool:
        return _is_outdated(table, number, code)

    if wish is not None:
        # New code that gives a number to another handler takes it over: raisers by number mean that one.
        if _is_free(table, wish) or _is_abandoned(table, wish) or is_outdated(table, wish):
            return wish
        if identity.runtime:
            raise SignalError(
                f"signal {wish} is taken on this bus by {describe(table, wish)}: choose another number, "
                "or register while the app is being loaded"
            )
    for accept in (_is_free, _is_abandoned, is_outdated):
        for number in range(SIGNALS - 1, -1, -1):
            if accept(table, number):
                return number
    raise SignalError(
        f"all {SIGNALS} signal numbers of this bus are taken: {identity.name}() with target "
        f"{identity.target!r} gets none; register fewer signals, or use one number for several purposes"
    )


def _write(table: Table, number: int, identity: Identity, code: int) -> None:
    cells, entry = table.cells, table.entry(number)
    cells[entry + E_STAMP] = 0
    cells[entry + E_IDENTITY], cells[entry + E_IDENTITY2] = _halves(identity)
    cells[entry + E_GENERATION] = code
    cells[entry + E_RAISED] = 0
    cells[entry + E_FLAGS] = RUNTIME_ENTRY if identity.runtime else 0
    for cell in range(REGISTRATION // 8, ENTRY // 8):
        cells[entry + cell] = 0
    _own(table, number)
    table.set_text(number, E_TARGET, identity.target)
    table.set_text(number, E_HANDLER, _cut(identity.name))
    _stamp(table, entry)


def _stamp(table: Table, entry: int) -> None:
    table.cells[H_STAMP] += 1
    table.cells[entry + E_STAMP] = table.cells[H_STAMP]


def _own(table: Table, number: int) -> None:
    cells, entry, me = table.cells, table.entry(number), processes.current()
    cells[entry + E_OWNER_START] = me.start
    cells[entry + E_OWNER_PID] = me.pid


def _cut(name: str) -> str:
    """A name cut to what the entry holds, at a character's end."""
    return name.encode("utf-8", "replace")[:63].decode("utf-8", "ignore")
