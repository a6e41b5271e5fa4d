"""What this process registered that raises signals: timers, crons, file monitors. Exists before there is a
bus.

As signals/registry.py for signals: recorded first, published when the process joins a bus, and published
again to its successor. Knows identities and registrations; nothing of masters or sockets.
"""

from __future__ import annotations

import os

from ipcmules.events.specs import AlarmSpec, MonitorSpec, Spec
from ipcmules.kernel import unpatched
from ipcmules.signals.identity import Occurrences, digest, loading
from ipcmules.signals.registry import Registration, Registry, check_number


class Record:
    """One event of this process. Which signal it raises is known on the bus when that one is published."""

    def __init__(self, spec: Spec, signal: int | Registration, name: bytes, runtime: bool) -> None:
        self.spec = spec
        self._signal = signal
        #: What makes it the same event in every process that registers it, 16 bytes.
        self.digest = name
        self.runtime = runtime  #: registered outside loading the app
        #: Generation of the bus that has it, 0: none.
        self.published = 0

    def local(self) -> int | None:
        """The signal's number in this process; None if it is not chosen yet."""
        return self._signal.number if isinstance(self._signal, Registration) else self._signal

    def shared(self, registry: Registry) -> int | None:
        """The signal's number on the bus; None if it could not be published."""
        number = self.local()
        return None if number is None else registry.shared(number)


class Recorder:
    """All events that this process registered. Any thread may call."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._occurrences = Occurrences()
        self._records: dict[bytes, Record] = {}
        self._lock = unpatched.RLock()
        os.register_at_fork(after_in_child=self._after_fork)

    def record(self, spec: Spec, signal: int | Registration) -> Record:
        """Record an event. Must be called in the stack of the code that registers it.

        signal: the number in this process, or the registration whose number may not be chosen yet. The same
        event of a file that is loaded again replaces the former one.
        Raises TypeError, SignalError for a number that cannot be a signal's.
        """
        if not isinstance(signal, Registration):
            check_number(signal)
        with self._lock:
            name, runtime = self._identity(spec, signal)
            made = Record(spec, signal, name, runtime)
            self._records[name] = made
            return made

    def forget(self, record: Record) -> None:
        """It is not to be published any more."""
        with self._lock:
            self._records.pop(record.digest, None)

    def forget_all(self, kinds: tuple[str, ...], number: int, path: str | None = None) -> int:
        """Forget every event of these kinds on a signal of this process. Returns how many there were."""
        with self._lock:
            found = [
                each
                for each in self._records.values()
                if each.spec.kind in kinds
                and each.local() == number
                and (path is None or _path(each.spec) == path)
            ]
            for each in found:
                del self._records[each.digest]
        return len(found)

    def records(self) -> list[Record]:
        """Everything recorded, in the order in which it was."""
        with self._lock:
            return list(self._records.values())

    def _identity(self, spec: Spec, signal: int | Registration) -> tuple[bytes, bool]:
        """The digest, and whether it is made outside loading: then it is a new event, whatever there is."""
        found = loading()
        if found is None:
            return os.urandom(16), True
        source, run = found
        # The interval is not part of it, so that an edit changes the event; of a monitor the path is.
        what = ("event", spec.kind, source, self._signal_name(signal), _path(spec))
        return digest(*what, str(self._occurrences.next(run, what))), False

    def _signal_name(self, signal: int | Registration) -> str:
        known = signal if isinstance(signal, Registration) else self._registry.registration(signal)
        return f"number {signal}" if known is None else known.identity.digest.hex()

    def _after_fork(self) -> None:
        self._lock = unpatched.RLock()


def _path(spec: Spec) -> str:
    if isinstance(spec, AlarmSpec):
        return spec.name
    return spec.path if isinstance(spec, MonitorSpec) else ""
