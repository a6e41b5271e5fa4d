"""The FIFOs that a raiser has open, one an endpoint, from its first wake-up on.

Knows the names of endpoints and FIFOs; what is written there is the raiser's business.
"""

from __future__ import annotations

import os

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.kernel import exhaustion
from ipcmules.kernel.interruption import noted
from ipcmules.signals import fifos


class Descriptors:
    """Of one raiser on one bus. Any thread may use it."""

    def __init__(self, where: Places, config: BusConfig) -> None:
        self._where = where
        self._config = config
        self._open: dict[int, int] = {}

    def find(self, endpoint: int) -> int | None:
        """The endpoint's FIFO, for writing; None if there is none: a worker that has not been there yet.

        Raises LimitError without a descriptor left for it.
        """
        known = self._open.get(endpoint)
        if known is not None:
            return known
        opened: list[int] = []
        try:
            with exhaustion.explained("whoever handles the signal cannot be woken"):
                noted(opened, fifos.open_fifo, self._where.fifo(fifos.name_of(endpoint, self._config)))
            kept = self._open.setdefault(endpoint, opened[0])
        except BaseException as error:
            if opened and self._open.get(endpoint) != opened[0]:  # a signal handler of the program
                os.close(opened[0])
            if isinstance(error, FileNotFoundError) and not opened:
                return None
            raise
        if kept != opened[0]:  # another thread was faster
            os.close(opened[0])
        return kept

    def forget(self, endpoint: int) -> None:
        """The program closed the endpoint's descriptor, or it leads to nothing: find() opens another."""
        self._open.pop(endpoint, None)

    def close(self) -> None:
        """Close them all; find() opens what is needed again."""
        inherited, self._open = self._open, {}
        for descriptor in inherited.values():
            try:
                os.close(descriptor)
            except OSError:
                pass  # the program closed it, as daemons do
