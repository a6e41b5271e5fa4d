"""The registrations of this process: which numbers it uses, and who handles them here.

Exists before the process is on a bus: registrations are recorded first and published when it joins.
Numbers here are *local* (what the app's code says) or *shared* (what the table says); they differ only
where two parts of an app, loaded in different processes or in different order, chose the same number.
Knows identities, entries and the registry lock; nothing of raising or taking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.bus.layout import SIGNALS
from ipcmules.bus.places import Places
from ipcmules.bus.table import H_STATE, STOPPED, Table
from ipcmules.errors import SignalError
from ipcmules.kernel.exhaustion import importing
from ipcmules.signals.identity import Identities, Identity
from ipcmules.signals.threads import threads

Handler = Callable[[int], Any]


class Registration:
    """One registration of this process."""

    def __init__(
        self, identity: Identity, handler: Handler, wish: int | None, number: int | None = None
    ) -> None:
        self.identity = identity
        self.handler = handler
        #: The number asked for; None if it is chosen automatically.
        self.wish = wish
        #: Its number in this process; a chosen one is None until published.
        self.number = number
        #: Its number on the bus, None until published.
        self.shared: int | None = None

    @property
    def target(self) -> str:
        """Who handles the signal, as it was given."""
        return self.identity.target


class Registry:
    """All registrations of a process. Any thread may call; handler(), shared() and local() take no lock."""

    def __init__(self) -> None:
        self._identities = Identities()
        self._records: list[Registration] = []
        self._by_digest: dict[bytes, Registration] = {}
        self._by_local: dict[int, Registration] = {}
        self._where: Places | None = None
        self._table: Table | None = None
        #: Generation of the bus's code that this process runs; 0 in a process the master did not start.
        self.code = 0
        #: Called whenever a number of this process may lead to another one of the bus.
        self.on_change: Callable[[], object] = _nothing
        self._reset_maps()

    def _reset_maps(self) -> None:
        self._to_shared = list(range(SIGNALS))
        self._to_local: dict[int, int] = {}
        self._handlers: dict[int, Handler] = {}
        self.on_change()

    def register(self, number: int, target: str, handler: Handler) -> Registration:
        """Record that this process handles a signal, and say in the table who does.

        number: 0 to 255. The same function of the same file with the same target may register its number
        again (importlib.reload does): its handler is replaced.
        Raises TypeError for wrong types; SignalError for a number or target that cannot be, for a number
        that another handler of this process has, and, outside loading the app, for one that is taken on
        the bus.
        """
        check_number(number)
        _check(target, handler)
        with threads():
            identity = self._identities.of(handler, target, number)
            holder = self._by_local.get(number)
            if holder is not None:
                if not holder.identity.same_function(identity):
                    raise SignalError(_taken_here(number, holder, identity))
                return self._replace(holder, handler, number)
            known = self._by_digest.get(identity.digest)
            if known is not None:  # loaded again, and given another number than the last time
                return self._replace(known, handler, number)
            record = Registration(identity, handler, number, number)
            if self._table is not None:
                self._publish(record)
            self._remember(record)
            self._by_local[number] = record
            return record

    def register_auto(self, target: str, handler: Handler) -> Registration:
        """As register(), with a number that is chosen: the same one in every process that loads the app."""
        _check(target, handler)
        with threads():
            identity = self._identities.of(handler, target, None)
            known = self._by_digest.get(identity.digest)
            if known is not None:
                return self._replace(known, handler, known.number)
            record = Registration(identity, handler, None)
            if self._table is not None:
                self._publish(record)
            self._remember(record)
            return record

    def publish(self, where: Places, table: Table) -> None:
        """Put everything that was recorded into the table of a bus this process has joined.

        What is registered from then on is published at once. A registration made outside loading the app
        whose number is taken on this bus is logged and forgotten: the call that joined is not to blame.
        """
        with threads():
            self._where, self._table = where, table
            self._reset_maps()
            for record in self._records:
                record.shared = None
            self._by_local = {n: each for n, each in self._by_local.items() if each.wish is not None}
            # Numbers that were asked for come first: a chosen one must not take their place.
            for record in sorted(self._records, key=lambda each: each.wish is None):
                try:
                    self._publish(record)
                except SignalError as error:
                    self._forget(record)
                    _complain(record, error)

    def withdraw(self) -> None:
        """This process has left its bus: what is registered now is recorded for the next one."""
        with threads():
            self._where = self._table = None

    def shared(self, number: int) -> int:
        """The bus's number of one of this process's numbers. Raises TypeError, SignalError."""
        if type(number) is int and 0 <= number < SIGNALS:
            return self._to_shared[number]
        known: int = self._to_shared[check_number(number)]
        return known

    def local(self, shared: int) -> int:
        """This process's number of one of the bus's numbers; the same where it registered none."""
        return self._to_local.get(shared, shared)

    def handler(self, shared: int) -> Handler | None:
        """This process's handler of a signal, by its number on the bus; None if it has none."""
        return self._handlers.get(shared)

    def handled(self) -> list[int]:
        """The bus's numbers of all signals that this process has a handler for."""
        return list(self._handlers)

    def registered(self, number: int) -> bool:
        """True if this process registered that number. Raises TypeError, SignalError."""
        return check_number(number) in self._by_local

    def registration(self, number: int) -> Registration | None:
        """What this process registered under a number; None if nothing. Raises TypeError, SignalError."""
        return self._by_local.get(check_number(number))

    def registrations(self) -> list[Registration]:
        """Everything registered, in the order in which it was."""
        return list(self._records)

    def _remember(self, record: Registration) -> None:
        self._records.append(record)
        self._by_digest[record.identity.digest] = record

    def _forget(self, record: Registration) -> None:
        self._records.remove(record)
        self._by_digest.pop(record.identity.digest, None)
        self._by_local = {n: each for n, each in self._by_local.items() if each is not record}

    def _replace(self, record: Registration, handler: Handler, number: int | None) -> Registration:
        record.handler = handler
        record.number = number
        if number is not None:
            self._by_local[number] = record
        if record.shared is not None:
            self._bind(record)
        return record

    def _publish(self, record: Registration) -> None:
        if self._table is None or self._where is None:
            return
        if self._table.cells[H_STATE] == STOPPED:
            return  # its objects are gone or going: the bus that this process joins next has it
        with importing:
            from ipcmules.signals import entries  # with the first registration, as in _check()
            from ipcmules.signals.registry_lock import registry_lock
        with threads(), registry_lock(self._where):
            record.shared = entries.place(self._table, record.identity, record.wish, self.code)
        if record.wish is None:
            record.number = self._free_local(record.shared)
            self._by_local[record.number] = record
        self._bind(record)

    def _free_local(self, shared: int) -> int:
        """A local number for a chosen one: the shared number itself where this process does not use it."""
        if shared not in self._by_local:
            return shared
        for number in range(SIGNALS - 1, -1, -1):
            if number not in self._by_local:
                return number
        raise SignalError(f"this process has used all {SIGNALS} signal numbers: register fewer signals")

    def _bind(self, record: Registration) -> None:
        if record.shared is None or record.number is None:
            return
        # A record may have had several numbers (loaded again): all of them lead to its shared one.
        for number, each in self._by_local.items():
            if each is record:
                self._to_shared[number] = record.shared
        self._to_shared[record.number] = record.shared
        self._to_local[record.shared] = record.number
        self._handlers[record.shared] = record.handler
        self.on_change()


def _nothing() -> None:
    pass


def check_number(number: object) -> int:
    """Return number if it can be a signal's. Raises TypeError, SignalError."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"a signal is a number from 0 to {SIGNALS - 1}, not {number!r}")
    if not 0 <= number < SIGNALS:
        raise SignalError(f"signal {number} cannot be: signals have numbers 0 to {SIGNALS - 1}")
    return number


def _check(target: str, handler: object) -> None:
    with importing:  # with the first registration: a mere sender needs them not
        from ipcmules.functions import coroutines
        from ipcmules.signals import targets

    targets.check(target)
    if not callable(handler):
        raise TypeError(f"a signal's handler is a function that takes the number, not {handler!r}")
    coroutines.check_runs(handler, "a signal's handler")


def _taken_here(number: int, holder: Registration, wanted: Identity) -> str:
    how = "was chosen automatically for" if holder.wish is None else "is registered already for"
    return (
        f"signal {number} {how} {holder.identity.name}() with target {holder.target!r} in this process, so "
        f"{wanted.name}() with target {wanted.target!r} needs another number: "
        "signal_registered() tells which are free"
    )


def _complain(record: Registration, error: SignalError) -> None:
    with importing:
        from ipcmules.bus import log

    log.event("error", f"the registration of {record.identity.name}() was not published: {error}")
