"""The 256 signal entries of the table: finding, choosing and writing them.

Knows the table's cells and identities. Everything here is called with the registry lock held; readers
take no lock: the stamp is written last, and is 0 while an entry is being written.
"""

from __future__ import annotations

from ipcmules import processes
from ipcmules.errors import SignalError
from ipcmules.processes import ProcessId
from ipcmules.signals.identity import Identity
from ipcmules.table import (
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
    H_GENERATION,
    H_STAMP,
    RUNTIME_ENTRY,
    SIGNALS,
    Table,
)


def place(table: Table, identity: Identity, wish: int | None) -> int:
    """The shared number of a registration: the one it has already, else a new entry. Returns it.

    wish: the number asked for; None to have one chosen, from 255 down. Raises SignalError if a wish made
    outside loading the app is taken, or if all numbers are.
    """
    known = _find(table, identity)
    if known is not None:
        if identity.runtime and not _owner(table, known).alive():
            _own(table, known)
        return known
    number = _choose(table, identity, wish)
    _write(table, number, identity)
    return number


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
    """True if it was registered by a process outside loading the app, and that process is dead."""
    runtime = table.cells[table.entry(number) + E_FLAGS] & RUNTIME_ENTRY
    return bool(runtime) and not _owner(table, number).alive()


def _choose(table: Table, identity: Identity, wish: int | None) -> int:
    if wish is not None:
        if _is_free(table, wish) or _is_abandoned(table, wish):
            return wish
        if identity.runtime:
            raise SignalError(
                f"signal {wish} is taken on this bus by {describe(table, wish)}: choose another number, "
                "or register while the app is being loaded"
            )
    for accept in (_is_free, _is_abandoned):
        for number in range(SIGNALS - 1, -1, -1):
            if accept(table, number):
                return number
    raise SignalError(
        f"all {SIGNALS} signal numbers of this bus are taken: {identity.name}() with target "
        f"{identity.target!r} gets none; register fewer signals, or use one number for several purposes"
    )


def _write(table: Table, number: int, identity: Identity) -> None:
    cells, entry = table.cells, table.entry(number)
    cells[entry + E_STAMP] = 0
    cells[entry + E_IDENTITY], cells[entry + E_IDENTITY2] = _halves(identity)
    cells[entry + E_GENERATION] = cells[H_GENERATION]
    cells[entry + E_RAISED] = 0
    cells[entry + E_FLAGS] = RUNTIME_ENTRY if identity.runtime else 0
    _own(table, number)
    table.set_text(number, E_TARGET, identity.target)
    table.set_text(number, E_HANDLER, _cut(identity.name))
    cells[H_STAMP] += 1
    cells[entry + E_STAMP] = cells[H_STAMP]


def _own(table: Table, number: int) -> None:
    cells, entry, me = table.cells, table.entry(number), processes.current()
    cells[entry + E_OWNER_START] = me.start
    cells[entry + E_OWNER_PID] = me.pid


def _cut(name: str) -> str:
    """A name cut to what the entry holds, at a character's end."""
    return name.encode("utf-8", "replace")[:63].decode("utf-8", "ignore")
