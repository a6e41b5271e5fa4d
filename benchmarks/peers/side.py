"""What every side has in common: a started thing with agents that can be asked for a measure.

A side is a context manager; `agents` are its programmed mules by number from 1.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from benchmarks.workspace import Agent


class Side(Protocol):
    """A running bus, of ours or of uWSGI's."""

    agents: dict[int, Agent]

    def __enter__(self) -> Side: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def stream(side: Side, size: int, count: int, timeout: float = 60) -> float:
    """Messages a second from mule 2 to mule 1, from the first send to the last receive."""
    receiver, sender = side.agents[1], side.agents[2]
    receiver.ask("receive", count)
    sender.ask("send", 1, size, count)
    start = sender.answer(timeout)
    return float(count / (receiver.answer(timeout) - start))


def shared(side: Side, request: str, arguments: list[object], readers: list[int], work: float) -> float:
    """Seconds until the readers have worked off what the sender sent to their shared queue.

    The last argument but the readers' number is how many; every one must have been handled once.
    """
    sender = side.agents[max(side.agents)]
    for number in readers:
        side.agents[number].ask("drain", work)
    sender.ask(request, *arguments, len(readers))
    start = sender.answer()
    handled, ends = zip(*(side.agents[number].answer() for number in readers), strict=True)
    if sum(handled) != arguments[-1]:
        raise RuntimeError(f"{sum(handled)} of {arguments[-1]} messages were handled")
    return float(max(ends) - start)


def shared_by(side: Side, senders: list[int], arguments: list[object], readers: list[int]) -> float:
    """As shared(), for one sender a reader: each sends `arguments` (farm, size, how many) and one stop."""
    for number in readers:
        side.agents[number].ask("drain", 0)
    for number in senders:
        side.agents[number].ask("send_farm", *arguments, 1)
    start = min(side.agents[number].answer() for number in senders)
    handled, ends = zip(*(side.agents[number].answer() for number in readers), strict=True)
    if sum(handled) != len(senders) * int(str(arguments[-1])):
        raise RuntimeError(f"{sum(handled)} messages were handled")
    return float(max(ends) - start)


def pingpong(side: Side, size: int, count: int) -> float:
    """Seconds a round trip between mules 1 and 2."""
    side.agents[1].ask("pong", 2, size, count)
    result = side.agents[2].call("ping", 1, size, count)
    side.agents[1].answer()
    return float(result)
