"""What the outlets need of the post: its view of the bus, and what it does when the bus ends.

A Protocol, so that post.py knows the outlets and they do not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import posix_ipc

    from ipcmules.bus.description import QueueSpec
    from ipcmules.bus.places import Places
    from ipcmules.errors import BusStopped
    from ipcmules.messages.lanes.writer import Lane
    from ipcmules.messages.send.standstill import Standstill


class Office(Protocol):
    """The sending side of this process, as an outlet sees it; post.Post is one."""

    where: Places
    ended: bool  #: the bus is over for this process
    cells: memoryview  #: those of the table

    def open(self, spec: QueueSpec) -> posix_ipc.MessageQueue:
        """The queue, opened by name. Raises BusStopped if it is gone."""

    def over(self) -> bool:
        """True if the bus was stopped or built anew since this process joined it."""

    def end(self, outbox: Any) -> None:
        """The bus is over: take back what went to a queue that nobody reads. Raises BusStopped."""

    def stopped(self) -> BusStopped:
        """The error that says so."""

    def waits(self, endpoint: str, timeout: float | None) -> Standstill:
        """A context for a send to that endpoint that waits for room."""

    def stores(self) -> None:
        """A large message is about to be written."""

    def check_alive(self) -> None:
        """Raise BusStopped if the master is gone."""

    def has_reader(self, endpoint: str) -> bool:
        """True if somebody receives from a shared queue."""

    def keep(self, messages: Sequence[bytes], endpoint: str, reason: str) -> None:
        """Put messages away that nobody can take."""

    def urgent(self, endpoint: str) -> None:
        """Tell the receiver that a message of a higher priority came."""

    def end_in_lane(self, outbox: Any, lane: Lane, position: int) -> bool:
        """The bus is over, and a message of ours stands at a position of a lane: True once it is safe."""
