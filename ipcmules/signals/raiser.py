"""The raising side of signals: from a number to a count and a wake-up at every target.

Knows the table and the FIFOs; routes says where a signal goes, aside what becomes of one that goes to nobody.
The numbers here are the bus's own (registry.shared gives them). Each raise adds one to the target's counter
and then writes one byte, the signal's number, to its FIFO: the order matters, see taker.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import (
    E_STAMP,
    E_TARGET,
    H_MAGIC,
    H_STATE,
    H_WORKERS_VERSION,
    MARKED,
    NUDGED,
    R_DOING,
    READY,
    STARTING,
    STOPPED,
    STOPPING,
    Table,
)
from ipcmules.errors import BusStopped, LimitError, SignalError
from ipcmules.kernel import atomics
from ipcmules.signals import fifos, handles
from ipcmules.signals.aside import Aside, too_many
from ipcmules.signals.descriptors import Descriptors
from ipcmules.signals.routes import Delivery, Route, Routes
from ipcmules.signals.targets import of_cluster, resolve

_increment = atomics.increment
_write = os.write


class PartlyRaised(BusStopped):
    """The bus ended during a raise at several targets: it missed these endpoints, given by name."""

    def __init__(self, text: str, endpoints: tuple[str, ...]) -> None:
        super().__init__(text)
        self.endpoints = endpoints


class Raiser:
    """Raises signals on one bus. Any thread may use it; it has no lock to hold."""

    def __init__(self, where: Places, description: Description, table: Table) -> None:
        self._where = where
        self._config = description.config
        self._table = table
        self._cells = table.cells
        self._descriptors = Descriptors(where, self._config)
        self._aside = Aside(where, table)
        self._finder = Routes(where, self._config, table, self._descriptors, self._aside)
        self._routes = self._finder.none()

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
            route = self._routes[number] = self._finder.find(number)
        self._deliver(number, route)

    def raise_at(self, number: int, endpoints: tuple[str, ...]) -> None:
        """Raise a signal at some endpoints alone: those that a raise on the bus before this one missed.

        An endpoint that this bus does not have is logged. Raises PartlyRaised if this bus has ended too.
        """
        known = dict(fifos.endpoint_names(self._config))
        there = tuple(known[each] for each in endpoints if each in known)
        if len(there) < len(endpoints):
            missing = ", ".join(each for each in endpoints if each not in known)
            self._aside.drop(number, f"it was raised for {missing}, which this bus does not have")
        self._deliver(number, self._finder.once(number, there), parts=True)

    def _deliver(self, number: int, route: Route, parts: bool = False) -> None:
        cells = self._cells
        for delivery in route.deliveries:
            try:
                if _increment(delivery[0]):
                    raise too_many(number)
                if not cells[delivery[1]]:  # a marked endpoint has a byte already: see taker
                    _write(delivery[2], route.wake)
            except BaseException as error:
                # Also what a Python signal handler raises between the two: a count is never left alone.
                self._mend(delivery, route.wake, error)
        # Afterwards, not before: what is counted before this look is saved by whoever ended the bus.
        if cells[H_STATE] == STOPPED:
            self._take_back(number, route.deliveries, parts)

    def _take_back(self, number: int, deliveries: tuple[Delivery, ...], parts: bool = False) -> None:
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
            if not self._aside.hold(number, (READY, STARTING, STOPPING)):
                return False
            self._aside.say_once(number, "waits for a worker that has its handler")
            # A worker that told of its handler after the look has looked at what is held before it was.
            if not handles.workers(self._table, number) or not self._aside.take(number):
                return True
        idle = [each for each in able if not self._cells[self._table.worker(each) + R_DOING]]
        endpoint = self._table.layout.worker_endpoint((idle or able)[os.getpid() % len(idle or able)])
        self._deliver(number, self._finder.once(number, (endpoint,)))
        return True

    def release_held(self, numbers: Iterable[int]) -> None:
        """Raise what was held until a worker handles it: one does now."""
        if self._cells[H_STATE] != READY:
            return  # what is held while the bus starts the master raises
        for each in numbers:
            while self._aside.take(each):
                self.raise_signal(each)

    def bind(self, number: int) -> Callable[[], None]:
        """A function that raises one signal, given by its shared number: raise_signal() without its look-ups.

        Good for as long as this Raiser is, whatever happens to the entry meanwhile.
        """
        cells = self._cells
        route = self._routes[number] if self._routes[number].stamp > 0 else self._finder.find_lasting(number)
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
                    raise too_many(number)
                if not cells[mark]:
                    _write(descriptor, wake)
            except BaseException as error:
                self._mend(delivery, wake, error)
            if cells[H_STATE] == STOPPED:
                self._take_back(number, deliveries)

        return raise_it

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
        self._routes = self._finder.none()

    close = after_fork

    def raise_once(self, number: int, name: str | None) -> None:
        """As raise_signal(); of several raises of one name on several hosts at a target of the cluster's one
        counts. None is a name of its own.
        """
        target = self._table.text(number, E_TARGET)
        if name is not None and of_cluster(target, self._config):
            self._aside.to_cluster(number, target, name)
        else:
            self.raise_signal(number)

    def raise_here(self, number: int, target: str) -> bool:
        """Raise a signal at a target of this bus that is not its entry's: what of one in the cluster is here.

        False where that names nobody here. Raises BusStopped.
        """
        route = self._finder.here(number, target)
        self._deliver(number, route)
        return bool(route.deliveries)

    def _mend(self, delivery: Delivery, wake: bytes, error: BaseException) -> None:
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

    def _wake_anew(self, delivery: Delivery, wake: bytes) -> None:
        """The descriptor is none: open the FIFO again, and write there.

        Raises LimitError without a descriptor for it; then the count is taken back, if nobody has yet.
        """
        counter, _mark, _descriptor, endpoint = delivery
        self._descriptors.forget(endpoint)
        self._routes = self._finder.none()
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
