"""Where a signal goes: from the entry of its number to counters and FIFOs, remembered while that holds.

Knows the table, the targets and the FIFOs; raises nothing itself. What an entry's target means is looked up
once and remembered until the entry's stamp or, where it depends on them, the workers' version changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import SIGNALS, WORKER_SLOTS
from ipcmules.bus.places import Places
from ipcmules.bus.table import (
    E_STAMP,
    E_TARGET,
    H_STATE,
    H_WORKERS_VERSION,
    R_LISTENING,
    STARTING,
    STOPPED,
    Table,
)
from ipcmules.errors import BusStopped
from ipcmules.signals import awaited
from ipcmules.signals.aside import Aside
from ipcmules.signals.descriptors import Descriptors
from ipcmules.signals.targets import of_cluster, resolve

#: In place of a descriptor: the FIFO was removed. What is raised is counted; the master makes it good and
#: wakes everybody (master/objects/upkeep.py). write(2) says EBADF, which has the descriptor looked for again.
_REMOVED = -1

#: Address of an endpoint's counter of the signal, its overflow cell, descriptor of its FIFO, its number.
Delivery = tuple[int, int, int, int]


@dataclass(frozen=True)
class Route:
    """Where a signal goes, and what must not have changed for that to hold."""

    __slots__ = ("deliveries", "stamp", "stamp_cell", "version", "wake")

    stamp_cell: int  #: index of the entry's stamp
    stamp: int  #: -1 if it holds for one raise only
    version: int  #: of the workers; -1 if it does not depend on them
    wake: bytes
    deliveries: tuple[Delivery, ...]


class Routes:
    """Of one raiser on one bus. Any thread may use it."""

    def __init__(
        self, where: Places, config: BusConfig, table: Table, descriptors: Descriptors, aside: Aside
    ) -> None:
        self._where = where
        self._config = config
        self._table = table
        self._cells = table.cells
        self._descriptors = descriptors
        self._aside = aside

    def none(self) -> list[Route]:
        """By number, before anything is known: a route that does not hold."""
        return [self.once(number, ()) for number in range(SIGNALS)]

    def once(self, number: int, endpoints: tuple[int, ...]) -> Route:
        """A route to some endpoints, for one raise. Raises BusStopped."""
        deliveries = self._deliveries(number, endpoints)
        return Route(self._table.entry(number) + E_STAMP, -1, -1, bytes((number,)), deliveries)

    def find(self, number: int) -> Route:
        """Look a signal's entry up; what is for no process now is set aside. Raises BusStopped."""
        if self._cells[H_STATE] == STOPPED:
            raise self._stopped(number)
        stamp_cell = self._table.entry(number) + E_STAMP
        # The version first: a change while we look makes the next raise look again.
        version = self._cells[H_WORKERS_VERSION]
        while True:
            stamp = self._cells[stamp_cell]
            if not stamp:
                return self._to_waiter(number)
            target = self._table.text(number, E_TARGET)
            if self._cells[stamp_cell] == stamp:  # nobody wrote it meanwhile
                break
        if of_cluster(target, self._config):
            self._aside.to_cluster(number, target)
            return self.once(number, ())  # for this raise: the next one comes here as well
        follows, waiting, endpoints = self._meant(number, target)
        deliveries = self._deliveries(number, endpoints)
        if not deliveries and not waiting:
            self._aside.drop(number, f"its target {target!r} names nobody on this bus who handles it")
        lasting = stamp if deliveries and not waiting else -1
        return Route(stamp_cell, lasting, version if follows else -1, bytes((number,)), deliveries)

    def find_lasting(self, number: int) -> Route | None:
        """The lasting route of a registered signal; None where every raise has to look for itself."""
        if not self._cells[self._table.entry(number) + E_STAMP]:
            return None
        if of_cluster(self._table.text(number, E_TARGET), self._config):
            return None
        route = self.find(number)
        return route if route.stamp > 0 else None

    def here(self, number: int, target: str) -> Route:
        """The route to a target of this bus that is not its entry's, for one raise. Raises BusStopped."""
        _follows, _waiting, endpoints = self._meant(number, target)
        return self.once(number, endpoints)

    def _meant(self, number: int, target: str) -> tuple[bool, list[int], tuple[int, ...]]:
        """Whether a target depends on the workers, those of it that are awaited, its endpoints with room."""
        meaning = resolve(target, self._config)
        live: list[int] = []
        if meaning.everyone:
            live = awaited.handling(self._table, number)
        elif meaning.follows_workers:
            live = awaited.expected(self._table)
        waiting = awaited.among(self._table, live)
        endpoints = self._with_room(number, meaning.endpoints(self._table.layout, live), waiting)
        return meaning.follows_workers, waiting, endpoints

    def _with_room(self, number: int, endpoints: tuple[int, ...], waiting: list[int]) -> tuple[int, ...]:
        """The endpoints without those of awaited workers that have enough already."""
        first = self._table.layout.worker_endpoint(0)
        full = [each for each in waiting if awaited.is_full(self._table, each, number)]
        for each in full:
            if first + each in endpoints:
                why = f"{awaited.MOST} of it wait already for worker {each} to be started again"
                self._aside.drop(number, why)
        return tuple(each for each in endpoints if each - first not in full)

    def _to_waiter(self, number: int) -> Route:
        """One of the processes that wait in signal_wait(), for a number that nobody registered."""
        route = self.once(number, self._waiters()[:1])
        if route.deliveries:
            return route
        if self._cells[H_STATE] != STARTING:
            self._aside.drop(number, "nobody registered it and nobody waits in signal_wait()")
        elif not self._aside.hold(number):
            return self.find(number)
        return route

    def _deliveries(self, number: int, endpoints: tuple[int, ...]) -> tuple[Delivery, ...]:
        found = []
        for endpoint in endpoints:
            descriptor = self._descriptors.find(endpoint)
            if descriptor is None and self._cells[H_STATE] == STOPPED:
                raise self._stopped(number)
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

    def _stopped(self, number: int) -> BusStopped:
        return BusStopped(f"bus {self._where.bus!r} has stopped: signal {number} was not raised")
