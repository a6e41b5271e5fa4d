"""Where everything is in the shared table: sizes, and what follows from the numbers of processes and farms.

Specified to the byte in docs/formats-table.md. Arithmetic alone; what stands in the cells says bus/table.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ipcmules.kernel.atomics import COUNTER_SIZE

if TYPE_CHECKING:
    from ipcmules.bus.config import BusConfig

SIGNALS = 256
#: Numbers that attached and started workers can have, from 1.
WORKER_SLOTS = 256

PAGE = 4096
RECORD = 256
#: A spooler's record: as any other, then the task it has in hand.
SPOOLER_RECORD = 1024
ENTRY = 256
ENDPOINT = SIGNALS * COUNTER_SIZE


class Layout(NamedTuple):
    """Where everything is in the segment, from the numbers of mules and farms."""

    mules: int
    farms: int
    spoolers: int = 0
    spools: int = 0  #: directories that have spoolers

    @classmethod
    def of(cls, config: BusConfig) -> Layout:
        """The layout of the bus of a configuration."""
        return cls(len(config.mules), len(config.farms), len(config.spooler_directories), len(config.spooled))

    @property
    def mule_records(self) -> int:
        """Byte offset of the record of mule 1."""
        return PAGE

    @property
    def spooler_records(self) -> int:
        """Byte offset of the record of spooler 1."""
        return self.mule_records + self.mules * RECORD

    @property
    def spool_records(self) -> int:
        """Byte offset of the record of the first spool directory."""
        return self.spooler_records + self.spoolers * SPOOLER_RECORD

    @property
    def worker_records(self) -> int:
        """Byte offset of the record of worker 1."""
        return self.spool_records + self.spools * RECORD

    @property
    def entries(self) -> int:
        """Byte offset of the entry of signal 0."""
        return self.worker_records + WORKER_SLOTS * RECORD

    @property
    def overflow(self) -> int:
        """One cell an endpoint: not 0 while its FIFO may hold fewer wake-up bytes than there are signals."""
        return self.entries + SIGNALS * ENTRY

    @property
    def endpoints(self) -> int:
        """How many signal endpoints there are: mule0, worker0, farms, mules, spools, held, workers."""
        return self.worker_endpoint(WORKER_SLOTS) + 1

    @property
    def counters(self) -> int:
        """Byte offset of the counters of endpoint 0, on a page of their own."""
        end = self.overflow + 8 * self.endpoints
        return -(-end // PAGE) * PAGE

    @property
    def reserved(self) -> int:
        """Bytes reserved at creation: all but the workers' counters, reserved when one takes its number."""
        return self.counter_offset(self.worker_endpoint(1))

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return self.counters + self.endpoints * ENDPOINT

    # Endpoint numbers.
    @property
    def mule_pool(self) -> int:
        """Endpoint of the first available mule."""
        return 0

    @property
    def worker_pool(self) -> int:
        """Endpoint of the first available worker."""
        return 1

    def farm_endpoint(self, index: int) -> int:
        """Endpoint of the index-th farm, from 1."""
        return 1 + index

    def mule_endpoint(self, number: int) -> int:
        """Endpoint of a mule, from 1."""
        return 1 + self.farms + number

    @property
    def held(self) -> int:
        """Endpoint of what is raised before the app is loaded, and not registered yet. It has no FIFO."""
        return 2 + self.farms + self.mules + (1 + self.spools if self.spools else 0)

    def spool_endpoint(self, number: int) -> int:
        """Endpoint of the spoolers of a directory, from 1; 0: of all spoolers. Only where there are any."""
        return 2 + self.farms + self.mules + number

    def worker_endpoint(self, number: int) -> int:
        """Endpoint of a worker, from 1."""
        return self.held + number

    def counter_offset(self, endpoint: int, signum: int = 0) -> int:
        """Byte offset of an endpoint's counter of a signal."""
        return self.counters + endpoint * ENDPOINT + signum * COUNTER_SIZE
