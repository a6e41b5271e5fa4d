"""What waits in an outbox, and how it is packed into the next frame. Knows frames, and how large ones lie."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ipcmules import log
from ipcmules.messages import frames, large


class Large(bytes):
    """A waiting reference to a message that is stored elsewhere; weighs what the message weighs."""

    weight: int = 0


def weight(data: bytes) -> int:
    """Bytes that a waiting message counts against the buffer: a small one what it takes in a frame."""
    return data.weight if type(data) is Large else len(data) + frames.EACH


def total(waiting: Sequence[bytes], larges: int) -> int:
    """What they weigh together, if so many are large."""
    if larges:
        return sum(map(weight, waiting))
    return sum(map(len, waiting)) + frames.EACH * len(waiting)


def single(data: bytes) -> bytes:
    """A frame of one message, large or not."""
    return frames.large(data) if type(data) is Large else frames.SINGLE + data


def whole(waiting: Sequence[tuple[bytes, int]], endpoint: str) -> list[tuple[bytes, int]]:
    """Messages with their priorities, the large ones loaded. One that is gone is logged: the others go on."""
    found: list[tuple[bytes, int]] = []
    for data, priority in waiting:
        try:
            found.append((large.load(data) if type(data) is Large else data, priority))
        except (OSError, ValueError) as error:
            log.event("error", f"a buffered large message to {endpoint} is lost: {error}")
    return found


def _is_plain(data: bytes) -> bool:
    return type(data) is not Large


class Packer:
    """Fills frames of a capacity. With the outbox's lock held."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._guess = 1

    def next(self, waiting: Sequence[bytes], larges: int) -> tuple[bytes, int]:
        """The next frame of the waiting messages, of which so many are large, and how many it carries."""
        if larges:
            if type(waiting[0]) is Large:
                return frames.large(waiting[0]), 1
            chunk: Sequence[bytes] = list(itertools.takewhile(_is_plain, waiting[: frames.MOST]))
        else:
            # Most messages of a program are of one size: as many as last time fill the frame again.
            count = self._guess
            chunk = waiting[:count]
            if count < len(waiting) and frames.fills(chunk, waiting[count], self._capacity):
                return frames.pack(chunk), count
            chunk = waiting[: frames.MOST]
        count = self._guess = frames.fitting(chunk, self._capacity)
        return frames.pack(chunk[:count]), count
