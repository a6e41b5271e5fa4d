"""The raising side of signals: from a number to a count and a wake-up at every target.

Knows the table, the targets and the FIFOs; the numbers here are the bus's own (registry.shared gives
them). Each raise adds one to the target's counter and then writes one byte, the signal's number, to its
FIFO: the order matters, see taker. What an entry's target means is looked up once and remembered until
the entry's stamp or, where it depends on them, the workers' version changes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import (
    E_HANDLER,
    E_STAMP,
    E_TARGET,
    H_DROPPED,
    H_MAGIC,
    H_STATE,
    H_WORKERS_VERSION,
    MARKED,
    NUDGED,
    R_DOING,
    R_LISTENING,
    READY,
    SIGNALS,
    STARTING,
    STOPPED,
    STOPPING,
    WORKER_SLOTS,
    Table,
)
from ipcmules.errors import BusStopped, LimitError, SignalError
from ipcmules.kernel import atomics
from ipcmules.kernel.exhaustion import importing
from ipcmules.signals import awaited, fifos, handles
from ipcmules.signals.descriptors import Descriptors
from ipcmules.signals.targets import of_cluster, resolve

_increment = atomics.increment
_write = os.write
#: The dropped numbers that were logged, each with process and bus: a process may have several raisers of one.
_complained: set[tuple[int, str, int]] = set()


class PartlyRaised(BusStopped):
    """The bus ended during a raise at several targets: it missed these endpoints, given by name."""

    def __init__(self, text: str, endpoints: tuple[str, ...]) -> None:
        super().__init__(text)
        self.endpoints = endpoints


#: In place of a descriptor: the FIFO was removed. What is raised is counted; the master makes it good and
#: wakes everybody (master/objects/upkeep.py). write(2) says EBADF, which has the descriptor looked for again.
_REMOVED = -1

#: Address of an endpoint's counter of the signal, its overflow cell, descriptor of its FIFO, its number.
_Delivery = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Route:
    """Where a signal goes, and what must not have changed for that to hold."""

    __slots__ = ("deliveries", "stamp", "stamp_cell", "version", "wake")

    stamp_cell: int  #: index of the entry's stamp
    stamp: int  #: -1 if it holds for one raise only
    version: int  #: of the workers; -1 if it does not depend on them
    wake: bytes
    deliveries: tuple[_Delivery, ...]


class Raiser:
    """Raises signals on one bus. Any thread may use it; it has no lock to hold."""

    def __init__(self, where: Places, description: Description, table: Table) -> None:
        self._where = where
        self._config = description.config
        self._table = table
        self._cells = table.cells
        self._descriptors = Descriptors(where, self._config)
        self._routes = self._no_routes()

    def raise_signal(self, number: int) -> None:
        """Raise a signal, given by its shared number. Never blocks, never lost.

        A number nobody registered goes to a process that waits in signal_wait(); with none waiting, or
        with a target that names nothing, it is counted as dropped and logged (once a number); while the bus
        is starting it waits for the app to be loaded.
        Raises BusStopped if the bus has ended, PartlyRaised if it ended when some targets had their signal.
        """
        cells = self._cells
        route = self._routes[number]
        if cells[route.stamp_cell] != route.stamp or (
            route.version >= 0 and cells[H_WORKERS_VERSION] != route.version
        ):
            route = self._find_route(number)
        self._deliver(number, route)

    def raise_at(self, number: int, endpoints: tuple[str, ...]) -> None:
        """Raise a signal at some endpoints alone: those that a raise on the bus before this one missed.

        An endpoint that this bus does not have is logged. Raises PartlyRaised if this bus has ended too.
        """
        known = dict(fifos.endpoint_names(self._config))
        there = tuple(known[each] for each in endpoints if each in known)
        if len(there) < len(endpoints):
            missing = ", ".join(each for each in endpoints if each not in known)
            self._drop(number, f"it was raised for {missing}, which this bus does not have")
        route = _Route(
            self._table.entry(number) + E_STAMP, -1, -1, bytes((number,)), self._deliveries(number, there)
        )
        self._deliver(number, route, parts=True)

    def _deliver(self, number: int, route: _Route, parts: bool = False) -> None:
        cells = self._cells
        for delivery in route.deliveries:
            try:
                if _increment(delivery[0]):
                    raise _too_many(number)
                if not cells[delivery[1]]:  # a marked endpoint has a byte already: see taker
                    _write(delivery[2], route.wake)
            except BaseException as error:
                # Also what a Python signal handler raises between the two: a count is never left alone.
                self._mend(delivery, route.wake, error)
        # Afterwards, not before: what is counted before this look is saved by whoever ended the bus.
        if cells[H_STATE] == STOPPED:
            self._take_back(number, route.deliveries, parts)

    def _take_back(self, number: int, deliveries: tuple[_Delivery, ...], parts: bool = False) -> None:
        """The bus has ended: take a count back wherever nobody has taken it, to be handled or saved, yet.

        Where all are gone the signal is raised. Else raises BusStopped, or PartlyRaised with the rest.
        """
        left = [endpoint for counter, _mark, _fifo, endpoint in deliveries if not atomics.take(counter)]
        if not left:
            return
        text = f"bus {self._where.bus!r} has stopped: signal {number} was not raised"
        if len(left) == len(deliveries) and not parts:
            raise BusStopped(text)
        names = tuple(fifos.name_of(each, self._config) for each in left)
        raise PartlyRaised(f"{text} for {', '.join(names)}; its other targets have it", names)

    def hand_on(self, number: int) -> bool:
        """Give a signal for the first available worker to one that has its handler: the caller took it and
        has none.

        Where there is no such worker it is held until one comes. Returns False for a signal with another
        target.
        """
        target = (
            self._table.text(number, E_TARGET) if self._cells[self._table.entry(number) + E_STAMP] else "-"
        )
        if not resolve(target, self._config).first:
            return False
        while not (able := handles.workers(self._table, number)):
            if not self._hold(number, (READY, STARTING, STOPPING)):
                return False
            self._say_once(number, "waits for a worker that has its handler")
            # A worker that told of its handler after the look has looked at what is held before it was.
            if not handles.workers(self._table, number) or atomics.take(self._held(number)):
                return True
        idle = [each for each in able if not self._cells[self._table.worker(each) + R_DOING]]
        endpoint = self._table.layout.worker_endpoint((idle or able)[os.getpid() % len(idle or able)])
        stamp_cell, deliveries = self._table.entry(number) + E_STAMP, self._deliveries(number, (endpoint,))
        self._deliver(number, _Route(stamp_cell, -1, -1, bytes((number,)), deliveries))
        return True

    def _held(self, number: int) -> int:
        """Address of the counter of what waits to be raised."""
        return self._table.counter(self._table.layout.held, number)

    def release_held(self, numbers: Iterable[int]) -> None:
        """Raise what was held until a worker handles it: one does now."""
        if self._cells[H_STATE] != READY:
            return  # what is held while the bus starts the master raises
        for each in numbers:
            while not atomics.take(self._held(each)):
                self.raise_signal(each)

    def bind(self, number: int) -> Callable[[], None]:
        """A function that raises one signal, given by its shared number: raise_signal() without its look-ups.

        Good for as long as this Raiser is, whatever happens to the entry meanwhile.
        """
        cells = self._cells
        route = self._routes[number] if self._routes[number].stamp > 0 else self._find_route_quietly(number)
        if route is None or len(route.deliveries) != 1:
            return lambda: self.raise_signal(number)
        deliveries, delivery = route.deliveries, route.deliveries[0]
        counter, mark, descriptor = delivery[0], delivery[1], delivery[2]
        stamp_cell, stamp, wake = route.stamp_cell, route.stamp, route.wake
        # What does not depend on the workers compares a cell that never changes.
        version_cell = H_WORKERS_VERSION if route.version >= 0 else H_MAGIC
        version = cells[version_cell] if route.version < 0 else route.version

        def raise_it() -> None:
            if cells[stamp_cell] != stamp or cells[version_cell] != version:
                self.raise_signal(number)
                return
            try:
                if _increment(counter):
                    raise _too_many(number)
                if not cells[mark]:
                    _write(descriptor, wake)
            except BaseException as error:
                self._mend(delivery, wake, error)
            if cells[H_STATE] == STOPPED:
                self._take_back(number, deliveries)

        return raise_it

    def _find_route_quietly(self, number: int) -> _Route | None:
        """The lasting route of a registered signal; None where every raise has to look for itself."""
        if not self._cells[self._table.entry(number) + E_STAMP]:
            return None
        if of_cluster(self._table.text(number, E_TARGET), self._config):
            return None
        route = self._find_route(number)
        return route if route.stamp > 0 else None

    def nudge(self, endpoint: str) -> None:
        """Wake one waiter of an endpoint ('mule0', 'farm.mail', 'worker3') to look at all there is.

        For whoever notices that a process died: it may have read a wake-up and not acted on it.
        """
        number = dict(fifos.endpoint_names(self._config)).get(endpoint)
        if number is None:
            number = self._table.layout.worker_endpoint(int(endpoint[len("worker") :]))
        self._cells[self._table.overflow_cell(number)] = NUDGED
        descriptor = self._descriptors.find(number)
        if descriptor is not None:
            self._wake(descriptor, b"\0")

    def after_fork(self) -> None:
        """In a forked child: the parent's descriptors are closed here, this process opens its own."""
        self._descriptors.close()
        self._routes = self._no_routes()

    close = after_fork

    def _no_routes(self) -> list[_Route]:
        return [_Route(self._table.entry(each) + E_STAMP, -1, -1, b"", ()) for each in range(SIGNALS)]

    def _find_route(self, number: int) -> _Route:
        """Look a signal's entry up. Remembers what it found where that can hold."""
        if self._cells[H_STATE] == STOPPED:
            raise BusStopped(f"bus {self._where.bus!r} has stopped: signal {number} was not raised")
        stamp_cell = self._table.entry(number) + E_STAMP
        # The version first: a change while we look makes the next raise look again.
        version = self._cells[H_WORKERS_VERSION]
        while True:
            stamp = self._cells[stamp_cell]
            if not stamp:
                return self._route_to_waiter(number, stamp_cell)
            target = self._table.text(number, E_TARGET)
            if self._cells[stamp_cell] == stamp:  # nobody wrote it meanwhile
                break
        if of_cluster(target, self._config):
            self._to_cluster(number, target)
            return _Route(stamp_cell, -1, -1, b"", ())  # for this raise: the next one comes here as well
        meaning = resolve(target, self._config)
        live: list[int] = []
        if meaning.everyone:
            live = awaited.handling(self._table, number)
        elif meaning.follows_workers:
            live = awaited.expected(self._table)
        waiting = awaited.among(self._table, live)
        endpoints = self._with_room(number, meaning.endpoints(self._table.layout, live), waiting)
        deliveries = self._deliveries(number, endpoints)
        if not deliveries and not waiting:
            self._drop(number, f"its target {target!r} names nobody on this bus who handles it")
        lasting = stamp if deliveries and not waiting else -1
        wake = bytes((number,))
        route = _Route(stamp_cell, lasting, version if meaning.follows_workers else -1, wake, deliveries)
        self._routes[number] = route
        return route

    def _to_cluster(self, number: int, target: str, tick: str = "") -> None:
        """Leave the raise to the carrier, in the outbox. Raises LimitError where the disk is full.

        tick: its name, where it is a tick that other hosts have too.
        """
        with importing:
            from ipcmules.cluster import outbox

        outbox.put_signal(self._where, number, target, self._table.text(number, E_HANDLER), tick)

    def raise_once(self, number: int, name: str | None) -> None:
        """As raise_signal(); of several raises of one name on several hosts at a target of the cluster's one
        counts. None is a name of its own.
        """
        target = self._table.text(number, E_TARGET)
        if name is not None and of_cluster(target, self._config):
            self._to_cluster(number, target, name)
        else:
            self.raise_signal(number)

    def raise_here(self, number: int, target: str) -> bool:
        """Raise a signal at a target of this bus that is not its entry's: what of one in the cluster is here.

        False where that names nobody here. Raises BusStopped.
        """
        meaning = resolve(target, self._config)
        everyone = meaning.everyone
        live = awaited.handling(self._table, number) if everyone else awaited.expected(self._table)
        waiting = awaited.among(self._table, live)
        endpoints = self._with_room(number, meaning.endpoints(self._table.layout, live), waiting)
        deliveries = self._deliveries(number, endpoints)
        stamp_cell = self._table.entry(number) + E_STAMP
        self._deliver(number, _Route(stamp_cell, -1, -1, bytes((number,)), deliveries))
        return bool(deliveries)

    def _with_room(self, number: int, endpoints: tuple[int, ...], waiting: list[int]) -> tuple[int, ...]:
        """The endpoints without those of awaited workers that have enough already."""
        first = self._table.layout.worker_endpoint(0)
        full = [each for each in waiting if awaited.is_full(self._table, each, number)]
        for each in full:
            if first + each in endpoints:
                self._drop(number, f"{awaited.MOST} of it wait already for worker {each} to be started again")
        return tuple(each for each in endpoints if each - first not in full)

    def _route_to_waiter(self, number: int, stamp_cell: int) -> _Route:
        """One of the processes that wait in signal_wait(), for a number that nobody registered."""
        deliveries = self._deliveries(number, self._waiters()[:1])
        if not deliveries:
            if self._cells[H_STATE] == STARTING:
                if not self._hold(number):
                    return self._find_route(number)
            else:
                self._drop(number, "nobody registered it and nobody waits in signal_wait()")
        return _Route(stamp_cell, -1, -1, bytes((number,)), deliveries)

    def _hold(self, number: int, states: tuple[int, ...] = (STARTING, STOPPING)) -> bool:
        """The app is being loaded and may register it: the master raises it when the bus is ready.

        Returns False if it was too late for that. As in _take_back: who finds its count gone had it taken.
        """
        counter = self._held(number)
        if _increment(counter):
            raise _too_many(number)
        # A bus may stop without having been ready: what is held then is saved.
        if self._cells[H_STATE] in states:
            return True
        return bool(atomics.take(counter))

    def _deliveries(self, number: int, endpoints: tuple[int, ...]) -> tuple[_Delivery, ...]:
        found = []
        for endpoint in endpoints:
            descriptor = self._descriptors.find(endpoint)
            if descriptor is None and self._cells[H_STATE] == STOPPED:
                raise BusStopped(f"bus {self._where.bus!r} has stopped: signal {number} was not raised")
            if descriptor is None and self._is_there(endpoint):
                descriptor = _REMOVED
            if descriptor is not None:
                counter, mark = self._table.counter(endpoint, number), self._table.overflow_cell(endpoint)
                found.append((counter, mark, descriptor, endpoint))
        return tuple(found)

    def _is_there(self, endpoint: int) -> bool:
        """True for an endpoint that has a FIFO by rights: then somebody has removed it, and it comes back."""
        layout = self._table.layout
        first = layout.worker_endpoint(self._config.processes)
        worker = endpoint - layout.worker_endpoint(0)
        return endpoint <= first or self._table.expected(self._table.worker(worker))

    def _waiters(self) -> tuple[int, ...]:
        table, layout = self._table, self._table.layout
        mules = [(table.mule(each), layout.mule_endpoint(each)) for each in range(1, layout.mules + 1)]
        workers = [(table.worker(each), layout.worker_endpoint(each)) for each in range(1, WORKER_SLOTS + 1)]
        return tuple(
            endpoint
            for record, endpoint in mules + workers
            if self._cells[record + R_LISTENING] and self._table.lives(record)
        )

    def _drop(self, number: int, why: str) -> None:
        self._cells[H_DROPPED] += 1
        self._say_once(number, f"dropped: {why}")

    def _say_once(self, number: int, what: str) -> None:
        said = os.getpid(), self._where.kernel, number
        if said in _complained:
            return
        _complained.add(said)
        with importing:
            from ipcmules.bus import log

        log.event("warning", f"signal {number} {what} (said once a number and process)")

    def _mend(self, delivery: _Delivery, wake: bytes, error: BaseException) -> None:
        """The byte was not written: a full FIFO, a descriptor the program closed, an interruption."""
        _counter, mark, descriptor, _endpoint = delivery
        if isinstance(error, SignalError):
            raise error
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            self._wake_anew(delivery, wake)
            return
        # Marked first, then tried again: a taker that emptied the FIFO in between did not see the mark.
        self._cells[mark] = self._cells[mark] or MARKED
        try:
            self._wake(descriptor, wake)
        except OSError as closed:
            if closed.errno != errno.EBADF:
                raise
            self._wake_anew(delivery, wake)
        if not isinstance(error, BlockingIOError):
            raise error

    def _wake_anew(self, delivery: _Delivery, wake: bytes) -> None:
        """The descriptor is none: open the FIFO again, and write there.

        Raises LimitError without a descriptor for it; then the count is taken back, if nobody has yet.
        """
        counter, _mark, _descriptor, endpoint = delivery
        self._descriptors.forget(endpoint)
        self._routes = self._no_routes()
        try:
            reopened = self._descriptors.find(endpoint)
        except LimitError:
            if atomics.take(counter):
                return  # it is being handled
            raise
        if reopened is not None:
            self._wake(reopened, wake)

    @staticmethod
    def _wake(descriptor: int, wake: bytes) -> None:
        try:
            os.write(descriptor, wake)
        except BlockingIOError:
            pass  # full, so not empty: its takers are awake, and the mark keeps them so


def _too_many(number: int) -> SignalError:
    return SignalError(f"signal {number}: {2**31 - 1} raises are pending at one target already")
