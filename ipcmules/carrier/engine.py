"""What the carrier needs of the cluster's engine; nats.py is one. Knows nothing of a bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Refused(Exception):
    """The cluster will not take a message, however often it is sent. Its text says why."""


class Unknown(Refused):
    """There is nobody of that address, on any host that the cluster knows."""


class Away(Exception):
    """The cluster has not answered within the time. Its text says what it was last heard to say."""


@dataclass(frozen=True)
class Taken:
    """A delivery of a message. token: by which it is acknowledged. place: the same each time. large: what the
    engine knows its body by where that was too large for one message.
    """

    token: str
    place: str
    deliveries: int
    body: bytes
    large: str = ""


@dataclass(frozen=True)
class Raised:
    """A signal raised in the cluster: its number, its target (PROCESSES@HOSTS), its handler's name."""

    signal: int
    target: str
    handler: str

    @property
    def processes(self) -> str:
        """The target on each host."""
        return self.target.rpartition("@")[0]

    @property
    def hosts(self) -> str:
        """'all', 'any', or a host's name."""
        return self.target.rpartition("@")[2]


class Taker(Protocol):
    """Takes the messages of one farm, or signals."""

    async def take(self) -> Taken | None:
        """Wait for the next message; None every now and then, where there was none."""


class Engine(Protocol):
    """A cluster's servers."""

    async def run(self) -> None:
        """Connect, and see to the connection and what must exist there, until cancelled."""

    async def publish(self, farm: str, name: str, body: bytes, seconds: float) -> None:
        """Store a message to a farm, or to an address (NAME@HOST); a second one of that name is dropped.

        Raises Refused, Unknown, Away.
        """

    async def publish_signal(self, raised: Raised, name: str, seconds: float) -> None:
        """Store a signal for its hosts; a second one of that name is dropped. Raises Refused, Away."""

    def taker(self, farm: str) -> Taker:
        """What takes messages of a farm, or to an address of this host, one at a time."""

    def signal_takers(self) -> list[Taker]:
        """What takes the signals that are for this host: those for all, for it alone, and for any."""

    @staticmethod
    def raised(taken: Taken) -> Raised | None:
        """The signal that was taken; None where the bytes are none, as of another version of ipcmules."""

    async def forget(self, host: str) -> bool:
        """Keep no signals any more for a host that has left for good. False: none is known of that name."""

    async def call(self, host: str, data: bytes, seconds: float) -> bytes:
        """What another host answers, asked once. Raises Unknown where it is away, Refused, Away."""

    def serve_calls(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Have others that call() this host answered by answer(data)."""

    async def extend(self, token: str) -> None:
        """The delivery is being worked on: its deadline begins anew."""

    async def done(self, token: str) -> None:
        """The message is done: returns when the cluster has removed it."""

    async def back(self, token: str) -> None:
        """Nobody here works on it: another one is to get it now."""

    async def dead(self, farm: str, taken: Taken, reason: str) -> None:
        """Put the message among the dead letters, then remove it from the farm. Raises Away."""

    async def letters(self, most: int) -> list[dict[str, Any]]:
        """The dead letters, oldest first, at most so many. Raises Away."""

    async def letter(self, number: int) -> tuple[str, bytes]:
        """The farm and the body of a dead letter, by its id. Raises Away, Refused where there is none."""

    async def drop(self, number: int) -> None:
        """Remove a dead letter. Raises Away, Refused where there is none."""

    async def watch(self) -> dict[str, Any]:
        """What is to be said of the cluster: hosts, farms, how much waits. Raises Away."""

    async def close(self) -> None:
        """Say what is still to be said, and hang up."""
